"""What becomes of a machine whose host is to be emptied.

    asked -> (answer, policy, silence) agreed -> (its turn) moving -> away | stopped
                                       stays                       -> stuck

Whatever its owner says counts until the host is given up; where he has said nothing, beforehand or now, the machine
stays. A machine that has left, by whose hand ever, is out of the way.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from doctor.model.instruction import Action, Task, TaskState
from doctor.model.maintenance import Decider, Deed, Guest, GuestState, MaintenanceLimits, MaintenancePolicy
from doctor.model.resource import VirtualResource
from doctor.recovery.acceptance import objection
from doctor.recovery.rules import RULES, Facts

ACTIVE, STANDBY = "ACT", "STBY"
OFF = "stopped"  # how a machine is that has been shut down, in the words of its controller

ACTIONS: Mapping[Deed, Action] = {
    Deed.MIGRATE: Action.MIGRATE,
    Deed.LIVE_MIGRATE: Action.LIVE_MIGRATE,
    Deed.STOP: Action.STOP,
    Deed.TERMINATE: Action.TERMINATE,
}
MOVES = frozenset((Deed.MIGRATE, Deed.LIVE_MIGRATE))
ANSWERS = (
    Deed.MIGRATE,
    Deed.LIVE_MIGRATE,
    Deed.STOP,
    Deed.TERMINATE,
    Deed.OWN_ACTION,
    Deed.LEAVE,
)  # what an owner may be asked for; the last two he may always say


class Sight(NamedTuple):
    """What is known of a machine when it is decided on.

    ``facts`` None: there is no such machine any more. ``task`` is of the last instruction by which it was to leave, and
    ``target`` where that was to bring it. ``as_of`` is when the map was last known to be true, None where it is told of
    changes as they happen. ``switched_over`` is whether its owner has said since he was told that the
    standby has taken over; ``standby`` is whether its group has one, ``standby_here`` whether one that has still to leave
    goes first.
    """

    facts: Facts | None
    policy: MaintenancePolicy | None = None
    task: Task | None = None
    switched_over: bool = False
    standby: bool = False
    standby_here: bool = False
    recovering_until: datetime | None = None
    as_of: datetime | None = None


def opened(
    machine: VirtualResource, sight: Sight, now: datetime, reply_by: datetime, *, told: datetime | None = None
) -> Guest:
    """Return the record of a machine on a host that is to be emptied, by what its owner has said beforehand."""
    guest = Guest(
        resource_id=machine.id,
        owner=machine.owner,
        state=GuestState.ASKED,
        told=told or now,
        reply_by=reply_by,
        since=now,
    )
    policy = sight.policy
    if is_off(machine):
        return replace(guest, state=GuestState.STOPPED, reason="it was off already")
    if policy is None or policy.action is Deed.ASK:
        return guest
    return decided(guest, policy.action, Decider.POLICY, sight, now)


def decided(
    guest: Guest, deed: Deed, by: Decider, sight: Sight, now: datetime, *, user: str = "", reason: str = ""
) -> Guest:
    """Return the record of a machine of which it is known what is to be done; of one that is off, should it be started."""
    against = objection_to(deed, sight)
    if against or deed is Deed.LEAVE:
        guest = _moved(
            guest, _unless_off(guest, GuestState.STAYS), now, reason=against or reason or _LEFT[by]
        )
    else:
        goal = _unless_off(guest, GuestState.AGREED)
        guest = _moved(guest, goal, now, reason=reason, attempts=0, avoid=())
    return replace(guest, deed=deed, decided_by=by, user=user, retry_at=None)


def _unless_off(guest: Guest, state: GuestState) -> GuestState:
    return guest.state if guest.state is GuestState.STOPPED else state


_LEFT = {
    Decider.OWNER: "its owner wants it to stay",
    Decider.POLICY: "its owner has said beforehand that it stays",
    Decider.SILENCE: "its owner has not answered",
}


def objection_to(deed: Deed, sight: Sight) -> str:
    """Return why something cannot be done to a machine as things are, or nothing."""
    action = ACTIONS.get(deed)
    if action is None or sight.facts is None:
        return ""
    facts = sight.facts._replace(occupied_by="")  # what is under way for it may end
    if against := objection(action, facts, {}):
        return against
    most = None if sight.policy is None else sight.policy.tolerated_interruption
    takes = RULES[action].interrupts
    if most is not None and takes is not None and takes.total_seconds() > most:
        return f"{action} interrupts it for {takes.total_seconds():g} s or more, and its owner tolerates {most:g} s"
    return ""


def allowed(sight: Sight) -> tuple[Deed, ...]:
    """Return what the owner of a machine may answer."""
    return tuple(deed for deed in ANSWERS if not objection_to(deed, sight))


def looked_at(guest: Guest, host: str, sight: Sight, now: datetime, limits: MaintenanceLimits) -> Guest:
    """Return the record of a machine as things are now."""
    machine = None if sight.facts is None else sight.facts.machine
    if machine is None or machine.host != host:
        return _moved(guest, GuestState.AWAY, now, reason="")
    if sight.switched_over and not guest.switched_over:
        guest = replace(guest, switched_over=True)
    if sight.task is not None and not sight.task.state.is_over:
        return _moved(guest, GuestState.MOVING, now, reason=sight.task.reason)
    match guest.state:
        case GuestState.MOVING:
            return _ended(guest, machine, sight, now, limits)
        case GuestState.AWAY:  # it has come back
            return _moved(guest, _BACK.get(guest.deed, GuestState.AGREED), now)
        case GuestState.STOPPED if not is_off(machine):  # somebody has started it
            return _moved(guest, _BACK.get(guest.deed, GuestState.AGREED), now)
        case GuestState.ASKED | GuestState.AGREED | GuestState.STAYS | GuestState.STUCK if is_off(machine):
            return _moved(guest, GuestState.STOPPED, now, reason="")
        case GuestState.ASKED if sight.policy is not None and sight.policy.action is not Deed.ASK:
            return decided(guest, sight.policy.action, Decider.POLICY, sight, now)  # he has said it since
        case GuestState.ASKED if guest.reply_by is not None and now >= guest.reply_by:
            silent = Deed.LEAVE if sight.policy is None else sight.policy.if_silent
            return decided(guest, silent, Decider.SILENCE, sight, now)
        case GuestState.AGREED:
            return replace(guest, reason=waits(guest, sight, now))
        case _:
            return guest


_BACK: Mapping[Deed | None, GuestState] = {None: GuestState.ASKED, Deed.LEAVE: GuestState.STAYS}


def _ended(
    guest: Guest, machine: VirtualResource, sight: Sight, now: datetime, limits: MaintenanceLimits
) -> Guest:
    """Return the record of a machine whose last try is over, and that is still here."""
    if guest.deed is Deed.STOP and is_off(machine):
        return _moved(guest, GuestState.STOPPED, now, reason="")
    task = sight.task
    if task is not None and task.state is TaskState.SUCCEEDED and is_behind(task, sight, now, limits):
        return guest
    why = "it is still here" if task is None else task.reason or "it is still here"
    failed = () if task is None or task.target is None else (task.target,)
    if guest.attempts >= limits.tries:
        return _moved(guest, GuestState.STUCK, now, reason=f"tried {guest.attempts} times: {why}")
    return _moved(
        guest,
        GuestState.AGREED,
        now,
        reason=why,
        avoid=(*guest.avoid, *failed),
        retry_at=now + limits.retry_after,
    )


def is_behind(task: Task, sight: Sight, now: datetime, limits: MaintenanceLimits) -> bool:
    """Tell whether the map may still show a machine as it was before what was done to it."""
    assert task.ended is not None  # it has succeeded
    return now < task.ended + limits.retry_after or (sight.as_of is not None and sight.as_of < task.ended)


def waits(guest: Guest, sight: Sight, now: datetime) -> str:
    """Return why something that is agreed is not begun yet, or nothing."""
    if guest.deed is Deed.OWN_ACTION:
        return "its owner takes it away himself"
    policy = sight.policy
    if policy is not None and not guest.ready and now < guest.told + policy.lead_time:
        return "its owner was promised more notice"
    if guest.retry_at is not None and now < guest.retry_at:
        return guest.reason
    machine = None if sight.facts is None else sight.facts.machine
    if machine is not None and machine.role == ACTIVE and not (guest.switched_over or guest.ready):
        if sight.standby_here:
            return "its standby leaves first"
        if sight.standby and (policy is None or policy.await_switch_over):
            return "its owner has not said yet that the standby has taken over"
    if sight.recovering_until is not None and now < sight.recovering_until:
        return "its group recovers from the one before it"
    if sight.facts is not None and sight.facts.occupied_by:
        return f"instruction {sight.facts.occupied_by} is under way for it"
    return ""


def again_at(guest: Guest, sight: Sight) -> Iterable[datetime]:
    """Return when time alone may change something about a machine."""
    if guest.state is GuestState.ASKED and guest.reply_by is not None:
        yield guest.reply_by
    if guest.state is GuestState.AGREED:
        if sight.policy is not None:
            yield guest.told + sight.policy.lead_time
        if guest.retry_at is not None:
            yield guest.retry_at
        if sight.recovering_until is not None:
            yield sight.recovering_until


def is_off(machine: VirtualResource) -> bool:
    """Tell whether a machine is shut down."""
    return (machine.vim_state or "").split(maxsplit=1)[:1] == [OFF]


def _moved(guest: Guest, state: GuestState, now: datetime, **changes: object) -> Guest:
    since = guest.since if state is guest.state else now
    return replace(guest, state=state, since=since, **changes)
