"""What a level of a fence plan proves, beforehand and afterwards."""

from collections.abc import Mapping, Sequence

from doctor.model.fence_plan import MANUAL, DeviceFacts, FencePlan, Level, Rule
from doctor.model.fencing import Cut, Fenced, FenceOutcome, NotFenced, Switched, SwitchOutcome, Unknown


def objection(level: Level, devices: Mapping[str, DeviceFacts]) -> str | None:
    """Say why a level could never prove that a host is cut off, or None.

    A host without power harms nobody. One without network may still write to its storage, and the other way round, so
    those count only together. Of what a host may have several of (feeds, ports), each must be off.
    """
    facts = [devices[step.device] for step in level.steps]
    if level.rule is Rule.ANY_OF:
        if any(one.cuts is not Cut.POWER for one in facts):
            return "any_of is for power alone: network and storage count only together, so write all_of"
        if sum(one.partial for one in facts) > 1:
            return "any_of with several outlets: a host that has one feed left runs, so write all_of"
        return None
    cut = {one.cuts for one in facts}
    if Cut.POWER not in cut and not {Cut.NETWORK, Cut.STORAGE} <= cut:
        missing = (Cut.STORAGE if Cut.NETWORK in cut else Cut.NETWORK).value
        return f"cuts only the {'/'.join(sorted(cut))}: add a fence that cuts the {missing}, or the power"
    return None


def judge(level: Level, outcomes: Sequence[FenceOutcome]) -> FenceOutcome:
    """Return what the outcomes of the steps mean together; there is one for each step.

    One that is not fenced outweighs one that is unknown: it tells more.
    """
    fenced = [one for one in outcomes if isinstance(one, Fenced)]
    enough = bool(fenced) if level.rule is Rule.ANY_OF else len(fenced) == len(level.steps)
    if enough:
        return Fenced(
            readings=tuple(reading for one in fenced for reading in one.readings),
            vantages=frozenset(vantage for one in fenced for vantage in one.vantages),
        )
    for kind in (NotFenced, Unknown):
        for one in outcomes:
            if isinstance(one, kind):
                return one
    raise ValueError("a level has at least one step")


def automatic(plan: FencePlan, devices: Mapping[str, DeviceFacts]) -> tuple[Level, ...]:
    """Return the levels of a plan that need no person, in their order."""
    return tuple(
        level for level in plan.levels if all(devices[step.device].kind != MANUAL for step in level.steps)
    )


def is_taken(level: Level, outcomes: Sequence[SwitchOutcome]) -> bool:
    """Tell whether the devices of a level read as they were told to: a claim, which has yet to be confirmed."""
    switched = [isinstance(one, Switched) for one in outcomes]
    return any(switched) if level.rule is Rule.ANY_OF else all(switched)


def trouble_of(outcomes: Sequence[SwitchOutcome]) -> str:
    """Say why devices did not switch."""
    return "; ".join(f"{one.doubt.value}: {one.detail}" for one in outcomes if not isinstance(one, Switched))


def unnamed(levels: Sequence[Level]) -> list[str]:
    """Return the devices of which nobody has said how to know that they are behind the right machine."""
    steps = [step for level in levels for step in level.steps]
    return list(dict.fromkeys(step.device for step in steps if step.identity is None))
