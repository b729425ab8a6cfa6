"""The way of a host from suspected to isolated and back: the table, and nothing that is not in it.

    SUSPECT -> AUTHORISED -> ATTEMPT (level by level) -> CONFIRMING -> FENCED -> UNFENCING -> OBSERVED -> NORMAL

with the exits CONTRADICTED, EXHAUSTED -> NEEDS_HUMAN, CANCELLED. Each step is kept before anything follows from it: a
command is given only in ATTEMPT and UNFENCING, each of them on record before the command [I-17]. FENCED is reached by a
confirmation or by the word of persons, and by nothing else [I-16].
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from doctor.model.fence_job import FenceJob, FenceState
from doctor.model.resource import Isolation

REMEMBERED = timedelta(hours=24)  # commands of a host


class Trigger(StrEnum):
    """What brings a host from one state to the next."""

    AUTHORISE = "authorise"  # the evidence is enough, and no brake holds
    WITHDRAW = "withdraw"  # a brake holds that did not before
    ALIVE = "alive"  # it is alive after all
    BEGIN = "begin"  # the first command may go out
    READS_OFF = "reads_off"
    NEXT_LEVEL = "next_level"
    NO_LEVEL_LEFT = "no_level_left"
    CONFIRM = "confirm"
    CONTRADICT = "contradict"
    GIVE_UP = "give_up"
    VOUCH = "vouch"  # persons say that it is off
    RETRY = "retry"
    RETURN = "return"  # a person has it given back
    READS_ON = "reads_on"
    SETTLE = "settle"


S, T = FenceState, Trigger

TRANSITIONS: Mapping[tuple[FenceState, Trigger], FenceState] = {
    (S.SUSPECT, T.AUTHORISE): S.AUTHORISED,
    (S.SUSPECT, T.ALIVE): S.CANCELLED,
    (S.SUSPECT, T.GIVE_UP): S.NEEDS_HUMAN,
    (S.SUSPECT, T.VOUCH): S.FENCED,
    (S.AUTHORISED, T.BEGIN): S.ATTEMPT,
    (S.AUTHORISED, T.WITHDRAW): S.SUSPECT,
    (S.AUTHORISED, T.ALIVE): S.CANCELLED,
    (S.ATTEMPT, T.READS_OFF): S.CONFIRMING,
    (S.ATTEMPT, T.NEXT_LEVEL): S.ATTEMPT,
    (S.ATTEMPT, T.NO_LEVEL_LEFT): S.EXHAUSTED,
    (S.ATTEMPT, T.CONTRADICT): S.CONTRADICTED,  # found by a successor that has to go on with it
    (S.CONFIRMING, T.CONFIRM): S.FENCED,
    (S.CONFIRMING, T.NEXT_LEVEL): S.ATTEMPT,
    (S.CONFIRMING, T.NO_LEVEL_LEFT): S.EXHAUSTED,
    (S.CONFIRMING, T.CONTRADICT): S.CONTRADICTED,
    (S.FENCED, T.CONTRADICT): S.CONTRADICTED,
    (S.FENCED, T.RETURN): S.UNFENCING,
    (S.CONTRADICTED, T.NEXT_LEVEL): S.ATTEMPT,
    (S.CONTRADICTED, T.GIVE_UP): S.NEEDS_HUMAN,
    (S.EXHAUSTED, T.GIVE_UP): S.NEEDS_HUMAN,
    (S.NEEDS_HUMAN, T.ALIVE): S.CANCELLED,  # only if no command was ever given
    (S.NEEDS_HUMAN, T.VOUCH): S.FENCED,
    (S.NEEDS_HUMAN, T.RETRY): S.SUSPECT,
    (S.NEEDS_HUMAN, T.RETURN): S.UNFENCING,
    (S.UNFENCING, T.READS_ON): S.OBSERVED,
    (S.UNFENCING, T.GIVE_UP): S.NEEDS_HUMAN,
    (S.OBSERVED, T.SETTLE): S.NORMAL,
}

RESTING = frozenset((S.CANCELLED, S.NORMAL))
SERVING = RESTING | {S.OBSERVED}
UNDER_WAY = frozenset((S.AUTHORISED, S.ATTEMPT, S.CONFIRMING))  # counted by the brake on how many at once

_ISOLATION = {
    S.SUSPECT: Isolation.PENDING,
    S.AUTHORISED: Isolation.PENDING,
    S.ATTEMPT: Isolation.PENDING,
    S.CONFIRMING: Isolation.PENDING,
    S.FENCED: Isolation.ISOLATED,
    S.CONTRADICTED: Isolation.FAILED,
    S.EXHAUSTED: Isolation.FAILED,
    S.NEEDS_HUMAN: Isolation.FAILED,
    S.UNFENCING: Isolation.PENDING,  # from its command on the host may run again
}


def isolation_of(job: FenceJob | None) -> Isolation | None:
    """Return what is told of the isolation of a host in this state; None where there is nothing to tell."""
    return None if job is None else _ISOLATION.get(job.state)


def serves(job: FenceJob) -> bool:
    """Tell whether a host may serve as any other: nobody has cut it off, or it was given back."""
    return job.state in SERVING


def suspected(
    host: str, zone: str, fault_key: str, before: FenceJob | None, *, epoch: int, now: datetime
) -> FenceJob:
    """Begin a new generation of a host: it is believed dead."""
    fences = () if before is None else _recent(before.fences, now)
    return FenceJob(
        host=host,
        zone=zone,
        generation=1 if before is None else before.generation + 1,
        revision=1 if before is None else before.revision + 1,
        state=S.SUSPECT,
        fault_key=fault_key,
        since=now,
        changed=now,
        epoch=epoch,
        fences=fences,
        returned=None if before is None else before.returned,
    )


def moved(job: FenceJob, trigger: Trigger, *, epoch: int, now: datetime, **changes: Any) -> FenceJob:
    """Return a job in its next state.

    Raises:
        LookupError: there is no such way; whoever wanted it has not looked.
    """
    state = TRANSITIONS.get((job.state, trigger))
    if state is None or (state is S.CANCELLED and job.cut is not None):
        raise LookupError(f"{job.host} is {job.state}: {trigger} leads nowhere from there")
    now = max(now, job.changed)  # the wall clock may have been set back
    moved = replace(job, state=state, revision=job.revision + 1, epoch=epoch, changed=now)
    if trigger is Trigger.AUTHORISE:
        moved = replace(moved, level=0, fences=(*_recent(job.fences, now), now))
    elif trigger is Trigger.NEXT_LEVEL:
        moved = replace(moved, level=job.level + 1)
    elif trigger is Trigger.RETRY:
        moved = replace(moved, level=0, since=now, words=())
    if state is S.ATTEMPT:
        moved = replace(moved, cut=now, tried=moved.reach)
    elif state is S.FENCED:
        moved = replace(moved, fenced=now)
    elif state is S.OBSERVED:
        moved = replace(moved, returned=now)
    return replace(moved, **changes)


def noted(job: FenceJob, *, epoch: int, **changes: Any) -> FenceJob:
    """Return a job of which something else is known than before, in the same state."""
    return replace(job, revision=job.revision + 1, epoch=epoch, **changes)


def begins_anew(job: FenceJob | None, fault_key: str) -> bool:
    """Tell whether a host that is down by this fault has to be suspected anew; ``fault_key`` of one that was given back is of
    the fault that was open then.
    """
    return job is None or job.state in RESTING or (job.state is S.OBSERVED and job.fault_key != fault_key)


def may_return_at(job: FenceJob, longest_command: timedelta) -> datetime:
    """Return when the opposite of the last command may be given, or a person may vouch for its effect [I-14].

    Until then a Doctor of before may still give it: a device asks nobody for his office.
    """
    return job.changed if job.cut is None else job.cut + longest_command


def silent_before(job: FenceJob, silent: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts that were silent before anything was done to this one.

    What fell silent by an attempt stays suspicious when it is tried again: the first attempt may have cut off another one
    [I-16].
    """
    return tuple(sorted(silent)) if job.cut is None else job.silent


def _recent(times: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    return tuple(one for one in times if now - one < REMEMBERED)
