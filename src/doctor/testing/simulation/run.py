"""Runs seeds: one, or many on all processors."""

import gc
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, count, islice
from multiprocessing import get_context
from types import MappingProxyType
from typing import NamedTuple

from doctor.testing.simulation import maintenance_mutants, power_mutants  # noqa: F401 - they register themselves
from doctor.testing.simulation.environment import controlled
from doctor.testing.simulation.loop import SimLoop, StuckError
from doctor.testing.simulation.maintained_world import MaintainedWorld, has_maintenance
from doctor.testing.simulation.maintenance_referee import Figures as WorkFigures
from doctor.testing.simulation.maintenance_referee import judge_maintenance
from doctor.testing.simulation.mutants import MUTANTS, Where
from doctor.testing.simulation.power_verdict import judge_power
from doctor.testing.simulation.powered_world import PoweredWorld, has_power
from doctor.testing.simulation.referee import Figures
from doctor.testing.simulation.trace import Line
from doctor.testing.simulation.verdict import judge
from doctor.testing.simulation.world import World, tidy

MOST_SENTENCES = 20
WORLDS: dict[Where, Callable[[int], bool]] = {
    "anywhere": lambda seed: True,
    "power": has_power,
    "maintenance": has_maintenance,
}


class Outcome(NamedTuple):
    """How one run went: ``broken`` is empty when every promise held."""

    seed: int
    broken: tuple[str, ...]
    fingerprint: str
    virtual_seconds: float
    events: int
    sent: int
    received: int
    crashes: int
    store_failures: int
    power: Figures = Figures()
    work: WorkFigures = WorkFigures()


def world_of(seed: int, loop: SimLoop) -> World:
    """Return the world of a seed: every fourth one has power, some have maintenance as well."""
    if has_power(seed):
        return PoweredWorld(seed, loop)
    return MaintainedWorld(seed, loop) if has_maintenance(seed) else World(seed, loop)


def run(
    seed: int, mutant: str | None = None, on_trace: Callable[[list[Line]], None] | None = None
) -> Outcome:
    """Run one seed, with a planted bug if one is named."""
    with controlled(seed) as patch:
        if mutant is not None:
            MUTANTS[mutant].plant(patch)
        chance = random.Random(f"{seed}/order")
        loop = SimLoop(chance, shuffle=chance.choice([0.0, 0.2, 1.0]))
        world = world_of(seed, loop)
        broken: list[str] = []
        figures = Figures()
        work = WorkFigures()

        def check(moment: str) -> None:
            nonlocal figures, work
            if not broken:
                found = dict.fromkeys(judge(world, moment))
                if isinstance(world, PoweredWorld):
                    sentences, figures = judge_power(world, moment)
                    found |= dict.fromkeys(sentences)
                if isinstance(world, MaintainedWorld):
                    sentences, work = judge_maintenance(world, moment)
                    found |= dict.fromkeys(sentences)
                broken.extend(f"{moment}: {sentence}" for sentence in list(found)[:MOST_SENTENCES])

        with tidy(world):
            try:
                loop.run_until_complete(world.play(check))
            except StuckError as error:
                broken.append(f"stuck: {error}")
            except RuntimeError:
                if world.stuck is None:
                    raise
                broken.append(f"stuck: {world.stuck}")
            broken += [f"defect: {_defect(context)}" for context in loop.defects[:3]]
            outcome = Outcome(
                seed=seed,
                broken=tuple(broken),
                fingerprint=world.trace.fingerprint(),
                virtual_seconds=loop.time(),
                events=sum(len(push.events) for push in world.books.pushes),
                sent=len(world.channel.ledger.sent),
                received=sum(len(rows) for rows in world.channel.ledger.received.values()),
                crashes=world.books.crashes,
                store_failures=world.store.failures,
                power=figures,
                work=work,
            )
            if on_trace is not None:
                on_trace(world.trace.lines)
    return outcome


def _defect(context: dict[str, object]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"


def run_many(seeds: Iterable[int], *, workers: int) -> Iterator[Outcome]:
    """Run seeds side by side; the outcomes come in the order of the seeds."""
    if workers <= 1:
        yield from map(run, seeds)
        return
    with _pool(workers) as pool:
        yield from pool.map(run, seeds, chunksize=5)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_settle)


def _settle() -> None:
    """Let the garbage collector leave the program itself alone: a fifth of the time, and runs make little garbage."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


class Hunt(NamedTuple):
    """How a planted bug was hunted: ``seeds`` that were run, the one that found it, and what gave it away; None if nothing did."""

    mutant: str
    seeds: int
    seed: int | None
    broken: str | None
    seconds: float


def hunt(mutant: str, most: int, start: int = 0, scent: int | None = None) -> Hunt:
    """Run so many seeds until one finds a planted bug, of those in whose worlds it can show itself.

    ``scent`` is a seed that has found it before, and is tried first.
    """
    begun = time.perf_counter()
    seeds = chain(() if scent is None else (scent,), filter(WORLDS[MUTANTS[mutant].where], count(start)))
    for number, seed in enumerate(islice(seeds, most), 1):
        outcome = run(seed, mutant)
        if outcome.broken:
            return Hunt(mutant, number, seed, outcome.broken[0], time.perf_counter() - begun)
    return Hunt(mutant, most, None, None, time.perf_counter() - begun)


def hunt_all(
    most: int, *, workers: int, start: int = 0, scents: Mapping[str, int] = MappingProxyType({})
) -> Iterator[Hunt]:
    """Hunt every planted bug; ``scents`` are seeds that have found some of them before."""
    names = list(MUTANTS)
    known = [scents.get(name) for name in names]
    if workers <= 1:
        yield from (hunt(name, most, start, scent) for name, scent in zip(names, known, strict=True))
        return
    with _pool(workers) as pool:
        yield from pool.map(hunt, names, [most] * len(names), [start] * len(names), known)
