"""What owners have said beforehand, and what of it holds for a machine [D 3.3.6].

The narrower word counts: of the machine, the wish that is written down with it, of its group, of its level. Where no
owner has said anything there is no policy, and nothing is done.
"""

import re
from collections.abc import Iterator, Mapping

from doctor.model.errors import Flaw
from doctor.model.instruction import Action
from doctor.model.recovery import Handler, RecoveryPolicy, RecoveryStep
from doctor.model.resource import VirtualResource
from doctor.model.scope import Scope, ScopeBook, ScopeKind
from doctor.recovery.acceptance import flaws as parameter_flaws

ACTIONS = (
    Action.REBOOT,
    Action.REBUILD,
    Action.EVACUATE,
    Action.MIGRATE,
    Action.LIVE_MIGRATE,
    Action.LEAVE,
)
HARD = {"type": "hard"}  # who does not answer does not shut down either
MOST_STEPS = 10


class PolicyBook(ScopeBook[RecoveryPolicy]):
    """All recovery policies."""

    def of(self, machine: VirtualResource) -> RecoveryPolicy | None:
        """Return what holds for a machine, None if nobody has said anything."""
        own = self.of_machine(machine) or wish_of(machine)
        return own or self.of_group(machine) or self.of_level(machine)

    def after_groups(self, machine: VirtualResource) -> tuple[str, ...]:
        """Return the groups that go before that of a machine, whatever is said of the machine itself."""
        found = self.of_group(machine)
        return () if found is None else found.after_groups


def wish_of(machine: VirtualResource) -> RecoveryPolicy | None:
    """Return the policy that is written down with a machine: actions, one after the other. What cannot be read is none."""
    words = [word for word in re.split(r"[\s,]+", machine.recovery or "") if word]
    if not words or any(word not in ACTIONS for word in words) or len(words) > MOST_STEPS:
        return None
    steps = [with_usual(RecoveryStep(action=Action(word))) for word in words]
    return RecoveryPolicy(
        project=machine.owner,
        scope=Scope(ScopeKind.MACHINE, machine.id),
        steps=tuple(steps),
        handled_by=Handler.DOCTOR,
    )


def with_usual(step: RecoveryStep) -> RecoveryStep:
    """Return a step with the parameters that it has unless its author says otherwise."""
    if step.action is Action.REBOOT and not step.parameters:
        return RecoveryStep(
            action=step.action,
            parameters=HARD,
            timeout=step.timeout,
            fault_type=step.fault_type,
            zone_id=step.zone_id,
        )
    return step


def flaws(policy: RecoveryPolicy, others: PolicyBook) -> Iterator[Flaw]:
    """Return what is wrong with a policy that is to stand beside others."""
    for index, step in enumerate(policy.steps):
        place = f"/steps/{index}"
        if step.action not in ACTIONS:
            yield Flaw(f"{place}/action", f"use one of: {', '.join(ACTIONS)}")
            continue
        for one in parameter_flaws(step.action, step.parameters):
            yield Flaw(f"{place}{one.pointer}", one.detail)
        if step.action is Action.LEAVE and index + 1 < len(policy.steps) and not _is_for_some(step):
            yield Flaw(f"/steps/{index + 1}", "is never reached: the step before leaves the machine as it is")
    if policy.after and policy.handled_by is Handler.OWNER:
        yield Flaw("/after", "is for handled_by: doctor; otherwise it begins by the word switched_over")
    if policy.after_groups and policy.scope.kind is not ScopeKind.GROUP:
        yield Flaw("/after_groups", "is between groups: say it in the policy of a group")
    elif way := _circle(policy, others):
        yield Flaw("/after_groups", f"runs in a circle: {' after '.join(way)}")


def _is_for_some(step: RecoveryStep) -> bool:
    return bool(step.fault_type or step.zone_id)


def _circle(policy: RecoveryPolicy, others: PolicyBook) -> list[str]:
    """Return the way from a group back to itself that a policy would make, nothing if it makes none."""
    before: Mapping[str, tuple[str, ...]] = {
        one.scope.name: one.after_groups
        for one in others
        if one.project == policy.project and one.scope.kind is ScopeKind.GROUP
    }
    start = policy.scope.name
    ways = [[start, one] for one in policy.after_groups]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == start:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [[*way, one] for one in before.get(way[-1], ())]
    return []
