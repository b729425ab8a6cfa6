"""``python -m doctor.testing.simulation``: run seeds, replay one, or hunt planted bugs."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence

from doctor.testing.simulation.mutants import MUTANTS
from doctor.testing.simulation.run import Hunt, Outcome, hunt_all, run, run_many
from doctor.testing.simulation.trace import Line

MOST_HUNTED = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; the status is 1 when a promise was broken or a planted bug was not found."""
    asked = _parser().parse_args(arguments)
    if asked.replay is not None:
        return replay(asked.replay, asked.mutant, as_json=asked.json)
    if asked.mutants:
        return hunt(asked.seeds or MOST_HUNTED, asked.start, asked.workers, as_json=asked.json)
    return simulate(asked.start, asked.seeds or 1000, asked.workers, as_json=asked.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m doctor.testing.simulation",
        description="Run the production flows in a world where everything goes wrong, by the seed.",
    )
    parser.add_argument("--seeds", type=int, help="how many (1000; for --mutants at most 200 for each)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and tell what happened")
    parser.add_argument("--mutants", action="store_true", help="hunt the planted bugs")
    parser.add_argument(
        "--mutant",
        choices=list(MUTANTS),
        metavar="BUG",
        help="with --replay: plant this bug (--mutants lists them)",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (all processors)")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


def replay(seed: int, mutant: str | None, *, as_json: bool) -> int:
    """Run one seed and print who did what when."""
    lines: list[Line] = []
    outcome = run(seed, mutant, on_trace=lines.extend)
    if as_json:
        print(json.dumps({**outcome._asdict(), "trace": [str(line) for line in lines]}, indent=1))
    else:
        for line in lines:
            print(line)
        print(_in_words(outcome))
    return 1 if outcome.broken else 0


def simulate(start: int, seeds: int, workers: int, *, as_json: bool) -> int:
    """Run many seeds and print what is broken, and figures."""
    begun = time.perf_counter()
    outcomes: list[Outcome] = []
    for outcome in run_many(range(start, start + seeds), workers=workers):
        outcomes.append(outcome)
        if outcome.broken:
            _say(_in_words(outcome))
        if len(outcomes) % 50 == 0 or len(outcomes) == seeds:
            rate = len(outcomes) / (time.perf_counter() - begun)
            broken = sum(1 for one in outcomes if one.broken)
            _say(f"{len(outcomes)} of {seeds} seeds, {broken} broken, {rate:.1f} seeds/s")
    figures = figures_of(outcomes, time.perf_counter() - begun)
    print(json.dumps(figures, indent=1) if as_json else _figures_in_words(figures))
    return 1 if figures["broken"] else 0


def figures_of(outcomes: Iterable[Outcome], seconds: float) -> dict[str, object]:
    """Return the sums over many runs."""
    outcomes = list(outcomes)
    return {
        "seeds": len(outcomes),
        "broken": [{"seed": one.seed, "sentences": one.broken} for one in outcomes if one.broken],
        "seconds": round(seconds, 1),
        "seeds_per_second": round(len(outcomes) / seconds, 1),
        "virtual_hours": round(sum(one.virtual_seconds for one in outcomes) / 3600, 1),
        "events": sum(one.events for one in outcomes),
        "attempts": sum(one.sent for one in outcomes),
        "received": sum(one.received for one in outcomes),
        "crashes": sum(one.crashes for one in outcomes),
        "store_failures": sum(one.store_failures for one in outcomes),
    }


def hunt(most: int, start: int, workers: int, *, as_json: bool) -> int:
    """Hunt every planted bug, and print how many seeds each needed."""
    hunts: list[Hunt] = []
    for one in hunt_all(most, workers=workers, start=start):
        hunts.append(one)
        found = f"found by seed {one.seed} ({one.seeds})" if one.broken else f"NOT FOUND in {most}"
        _say(f"{one.mutant:<34} {found:<28} {one.broken or ''}"[:160])
    missed = [one.mutant for one in hunts if one.broken is None]
    if as_json:
        print(json.dumps({"mutants": [one._asdict() for one in hunts], "missed": missed}, indent=1))
    else:
        print(f"{len(hunts) - len(missed)} of {len(hunts)} planted bugs found")
    return 1 if missed else 0


def _in_words(outcome: Outcome) -> str:
    if not outcome.broken:
        return f"seed {outcome.seed}: every promise held; trace {outcome.fingerprint[:16]}"
    sentences = "\n".join(f"  {sentence}" for sentence in outcome.broken)
    return f"seed {outcome.seed} is broken; python -m doctor.testing.simulation --replay {outcome.seed}\n{sentences}"


def _figures_in_words(figures: dict[str, object]) -> str:
    broken = figures["broken"]
    assert isinstance(broken, list)
    return (
        f"{figures['seeds']} seeds, {len(broken)} broken; {figures['virtual_hours']} virtual hours in "
        f"{figures['seconds']} s ({figures['seeds_per_second']} seeds/s): {figures['events']} events, "
        f"{figures['attempts']} attempts, {figures['received']} received, {figures['crashes']} crashes, "
        f"{figures['store_failures']} failures of the store"
    )


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
