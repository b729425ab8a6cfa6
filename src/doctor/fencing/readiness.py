"""Whether a host could be cut off if it had to be: judged from what its devices answer on a quiet day."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.model.fence_plan import MANUAL, DeviceFacts, FencePlan, Level, Rule, Step
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown


class Readiness(StrEnum):
    """How it stands with the fences of a host."""

    READY = "ready"
    DEGRADED = "degraded"  # it could be cut off, though not in every way that is planned
    UNREADY = "unready"
    MANUAL = "manual"  # only a person could, and that is the plan
    UNCHECKED = "unchecked"


class StepCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What one device answered for one host.

    ``doubt`` and ``detail`` say why it would not do, if it would not; ``remark`` what could be better.
    """

    device: str
    plug: str
    kind: str
    supply: Supply | None = None
    names: tuple[str, ...] = ()
    doubt: Doubt | None = None
    detail: str = ""
    remark: str = ""
    took_ms: int = 0

    @property
    def works(self) -> bool:
        """Tell whether the device would do it."""
        return self.doubt is None


class LevelCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How a level stands; ``detail`` is what keeps it from working as a whole."""

    rule: Rule
    works: bool
    automatic: bool
    steps: tuple[StepCheck, ...]
    detail: str = ""


class HostCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with a host; levels in their order."""

    host: str
    readiness: Readiness
    checked: datetime | None = None
    levels: tuple[LevelCheck, ...] = ()

    @property
    def reason(self) -> str:
        """Return a sentence on what does not work, empty if all does."""
        broken = [
            f"{step.device}{' ' + step.plug if step.plug else ''}: {step.detail}"
            for level in self.levels
            for step in level.steps
            if not step.works
        ]
        broken += [level.detail for level in self.levels if level.detail]
        return "; ".join(dict.fromkeys(broken))


def unchecked(plan: FencePlan) -> HostCheck:
    """Return what is said of a host before the first check."""
    return HostCheck(host=plan.host, readiness=Readiness.UNCHECKED)


def judge_step(
    step: Step, facts: DeviceFacts, identity: Identity, reading: Reading, *, is_up: bool, took_ms: int = 0
) -> StepCheck:
    """Judge what a device answered. ``is_up``: nothing is known that would have the host without power."""
    doubt, detail, remark = _trouble(step, facts, identity, reading, is_up=is_up)
    return StepCheck(
        device=step.device,
        plug=step.plug,
        kind=facts.kind,
        supply=reading.supply if isinstance(reading, Seen) else None,
        names=identity.names if isinstance(identity, Identified) else (),
        doubt=doubt,
        detail=detail,
        remark=remark,
        took_ms=took_ms,
    )


def _trouble(
    step: Step, facts: DeviceFacts, identity: Identity, reading: Reading, *, is_up: bool
) -> tuple[Doubt | None, str, str]:
    if isinstance(reading, Unknown) and facts.kind != MANUAL:
        return reading.doubt, reading.detail, ""
    match identity:
        case Unknown(doubt=Doubt.NOT_OFFERED, detail=detail) if step.identity is None:
            remark = detail
        case Unknown(doubt=doubt, detail=detail):
            return doubt, detail, ""
        case Identified() if step.identity is None:
            remark = (
                f"set identity, so that no other machine is taken for it: it calls it {identity.names[0]}"
            )
        case Identified() if not identity.is_machine(step.identity):
            return Doubt.WRONG_MACHINE, f"it is {identity.names[0]} and not {step.identity}", ""
        case _:
            remark = ""
    if isinstance(reading, Seen) and reading.supply is Supply.OFF and is_up and facts.kind != MANUAL:
        detail = "it reads off, and nothing says that the host is down: is it the right one?"
        return Doubt.WRONG_MACHINE, detail, ""
    return None, "", remark


def judge_host(
    plan: FencePlan,
    checks: Mapping[Step, StepCheck],
    devices: Mapping[str, DeviceFacts],
    *,
    feeds: int = 0,
    now: datetime,
) -> HostCheck:
    """Judge a host by its steps. ``feeds`` is how many feeds of power the resource map knows it to have."""
    levels = tuple(_level(level, checks, devices, feeds) for level in plan.levels)
    automatic = [level for level in levels if level.automatic]
    if not automatic:
        readiness = Readiness.MANUAL
    elif not any(level.works for level in automatic):
        readiness = Readiness.UNREADY
    elif all(level.works and all(step.works for step in level.steps) for level in levels):
        readiness = Readiness.READY
    else:
        readiness = Readiness.DEGRADED
    return HostCheck(host=plan.host, readiness=readiness, checked=now, levels=levels)


def _level(
    level: Level, checks: Mapping[Step, StepCheck], devices: Mapping[str, DeviceFacts], feeds: int
) -> LevelCheck:
    steps = tuple(checks[step] for step in level.steps)
    people = [step.kind == MANUAL for step in steps]
    works = [step.works for step in steps]
    detail = ""
    if level.rule is Rule.ANY_OF:
        automatic, fine = not all(people), any(works)
    else:
        automatic, fine = not any(people), all(works)
        detail = _feeds_left([devices[step.device] for step in level.steps], feeds)
    return LevelCheck(
        rule=level.rule, works=fine and not detail, automatic=automatic, steps=steps, detail=detail
    )


def _feeds_left(facts: Sequence[DeviceFacts], feeds: int) -> str:
    """Say how many feeds a level forgets; a device that cuts all the power forgets none."""
    power = [one for one in facts if one.cuts is Cut.POWER]
    if not power or any(not one.partial for one in power) or len(power) >= feeds:
        return ""
    return f"it switches {len(power)} of the {feeds} feeds that the resource map has for the host"
