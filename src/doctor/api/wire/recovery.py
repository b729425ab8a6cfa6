"""The shapes of what owners say beforehand about recovery, and of how far that got."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from doctor.api.wire.duration import Duration, duration_in
from doctor.model.errors import Flaw, RejectedError
from doctor.model.instruction import Action
from doctor.model.recovery import Handler, Recovery, RecoveryPolicy, RecoveryState, RecoveryStep
from doctor.model.scope import Scope

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Names = Annotated[list[Name], msgspec.Meta(max_length=50)]


class StepIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is tried: `reboot`, `rebuild`, `evacuate`, `migrate`, `live_migrate`, or `leave` to stop there.

    A machine that is not well after ``timeout`` is for the next step. ``fault_type`` and ``zone_id`` are of which faults and
    in which zones it is; without them it is for all.
    """

    action: Action
    parameters: dict[str, Any] = {}
    timeout: Duration = 300
    fault_type: Names = []
    zone_id: Names = []


class RecoveryPolicyIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be done to machines of mine that have failed.

    ``steps`` come one after the other, each once; one that does not fit as things are (`evacuate` from a host that works) is
    passed over. With ``handled_by`` `owner` the first begins when I have said `switched_over`, with `doctor` by itself when
    I have not instructed for as long as ``after``. The higher ``priority`` goes first among machines of one level;
    ``after_groups`` are recovered before this one. With ``start_on_return`` machines that stayed on their host are started
    when that is back.
    """

    steps: Annotated[list[StepIn], msgspec.Meta(max_length=10)] = []
    handled_by: Handler = Handler.OWNER
    after: Duration = 0
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    after_groups: Names = []
    start_on_return: bool = False


class StepOut(msgspec.Struct, frozen=True, kw_only=True):
    """A step; ``timeout`` in seconds."""

    action: Action
    parameters: dict[str, Any]
    timeout: float
    fault_type: tuple[str, ...]
    zone_id: tuple[str, ...]


class RecoveryPolicyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A policy, for ``scope`` `machine:ID`, `group:NAME` or `sal:LEVEL`; ``after`` in seconds.

    ``machines`` is how many machines are in the scope now. ``changed`` is null for a wish that is written down with its
    machine.
    """

    project: str
    scope: str
    steps: tuple[StepOut, ...]
    handled_by: Handler
    after: float
    priority: int
    after_groups: tuple[str, ...]
    start_on_return: bool
    machines: int
    user: str
    changed: datetime | None


class HoldingOut(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a machine: null if its owner has said nothing, and nothing is done.

    ``unread_wish`` is what is written down with it and cannot be read.
    """

    virtual_resource_id: str
    policy: RecoveryPolicyOut | None
    unread_wish: str | None


class TryOut(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was begun, the first of a policy is 1; null is the start on a host that is back."""

    step: int | None
    action: Action
    instruction_id: str
    began: datetime


class RecoveryOut(msgspec.Struct, frozen=True, kw_only=True):
    """How far the recovery of a machine got, and why it waits or has ended.

    ``alarm_id`` is the alarm by which it began. ``ended`` is when the machine was well again, or gone.
    """

    virtual_resource_id: str
    project: str
    alarm_id: str
    fault_type: str
    state: RecoveryState
    reason: str | None
    since: datetime
    ended: datetime | None
    steps: tuple[TryOut, ...]


def policy_of(given: RecoveryPolicyIn, project: str, scope: Scope) -> RecoveryPolicy:
    """Return a policy as it was written.

    Raises:
        RejectedError: a duration is none, or too long.
    """
    flaws: list[Flaw] = []
    steps = tuple(
        RecoveryStep(
            action=one.action,
            parameters=one.parameters,
            timeout=duration_in(one.timeout, f"/steps/{index}/timeout", flaws, least=timedelta(seconds=1)),
            fault_type=tuple(one.fault_type),
            zone_id=tuple(one.zone_id),
        )
        for index, one in enumerate(given.steps)
    )
    policy = RecoveryPolicy(
        project=project,
        scope=scope,
        steps=steps,
        handled_by=given.handled_by,
        after=duration_in(given.after, "/after", flaws),
        priority=given.priority,
        after_groups=tuple(dict.fromkeys(given.after_groups)),
        start_on_return=given.start_on_return,
    )
    if flaws:
        raise RejectedError("the recovery policy is wrong", flaws=flaws)
    return policy


def policy_out(policy: RecoveryPolicy, machines: int) -> RecoveryPolicyOut:
    """Return a policy as it is shown."""
    return RecoveryPolicyOut(
        project=policy.project,
        scope=str(policy.scope),
        steps=tuple(
            StepOut(
                action=one.action,
                parameters=one.parameters,
                timeout=one.timeout.total_seconds(),
                fault_type=one.fault_type,
                zone_id=one.zone_id,
            )
            for one in policy.steps
        ),
        handled_by=policy.handled_by,
        after=policy.after.total_seconds(),
        priority=policy.priority,
        after_groups=policy.after_groups,
        start_on_return=policy.start_on_return,
        machines=machines,
        user=policy.user,
        changed=policy.changed,
    )


def recovery_out(one: Recovery) -> RecoveryOut:
    """Return a recovery as its owner may see it."""
    return RecoveryOut(
        virtual_resource_id=one.resource_id,
        project=one.project,
        alarm_id=one.alarm_id,
        fault_type=one.fault_type,
        state=one.state,
        reason=one.reason or None,
        since=one.since,
        ended=one.ended,
        steps=tuple(
            TryOut(
                step=each.step + 1 if each.step >= 0 else None,
                action=each.action,
                instruction_id=each.instruction_id,
                began=each.began,
            )
            for each in one.tries
        ),
    )
