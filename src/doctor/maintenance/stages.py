"""The way of a host through a session: the table, and nothing that is not in it [D 3.4.2].

    WAITING -> EMPTYING -> EMPTY -> RETURNED, with the exits FAILED and ABORTED from each

EMPTYING is the requirement's going-to-maintenance, EMPTY its in-maintenance; in all others the host is enabled. None
stays EMPTYING past its deadline [I-26].
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from doctor.maintenance.actions import Failed, Over, course
from doctor.maintenance.actions import in_words as said_of
from doctor.model.fault import ResourceState
from doctor.model.maintenance import (
    Guest,
    GuestState,
    HostStage,
    HostWork,
    Session,
    SessionState,
    Versions,
)
from doctor.model.maintenance_action import Moment, RunState


class Trigger(StrEnum):
    """What brings a host from one stage to the next."""

    BEGIN = "begin"  # it is its turn
    EMPTIED = "emptied"  # nobody is on it any more who is in the way
    GIVE_UP = "give_up"  # its time is over, or it has failed itself, or has not come back from the work
    GIVE_BACK = "give_back"  # the work is done
    ABORT = "abort"  # somebody has called it off


S, T = HostStage, Trigger

TRANSITIONS: Mapping[tuple[HostStage, Trigger], HostStage] = {
    (S.WAITING, T.BEGIN): S.EMPTYING,
    (S.WAITING, T.GIVE_UP): S.FAILED,
    (S.WAITING, T.ABORT): S.ABORTED,
    (S.EMPTYING, T.EMPTIED): S.EMPTY,
    (S.EMPTYING, T.GIVE_UP): S.FAILED,
    (S.EMPTYING, T.ABORT): S.ABORTED,
    (S.EMPTY, T.GIVE_BACK): S.RETURNED,
    (S.EMPTY, T.GIVE_UP): S.FAILED,
    (S.EMPTY, T.ABORT): S.ABORTED,
}


def moved(work: HostWork, trigger: Trigger, now: datetime, **changes: Any) -> HostWork:
    """Return a host after a step; one that is not in the table is a defect.

    Raises:
        KeyError: there is no such step.
    """
    stage = TRANSITIONS[work.stage, trigger]
    times: dict[str, Any] = {}
    if stage is HostStage.EMPTYING:
        times["began"] = now
    elif stage is HostStage.EMPTY:
        times["emptied"] = now
    elif stage.is_over:
        times["ended"] = now
    return replace(work, stage=stage, **{**times, **changes})


def given_back(
    work: HostWork,
    trigger: Trigger,
    now: datetime,
    versions: Versions | None,
    within: timedelta,
    why: str = "",
) -> HostWork:
    """Return a host that serves again. One that was worked on may take its time to come back."""
    was_worked_on = work.stage is HostStage.EMPTY
    until = now + within if was_worked_on else None
    return moved(work, trigger, now, reason=why, after=versions, watched_until=until)


def watched(work: HostWork, state: ResourceState, versions: Versions | None, now: datetime) -> HostWork:
    """Return a host that was given back as it is now: whether it has come, and what it came back with.

    What a cloud says of versions may be a little old when a host has just come back: so that is looked at for a while.
    """
    if not state.is_out:
        work = replace(work, back=work.back or now, after=versions or work.after)
    is_over = work.watched_until is not None and now >= work.watched_until
    return replace(work, watched_until=None) if is_over else work


def has_stayed_away(work: HostWork, state: ResourceState) -> bool:
    """Tell whether a host that was given back has not come in its time."""
    return work.watched_until is None and work.back is None and state.is_out


def comes_back(work: HostWork, state: ResourceState, within: timedelta, now: datetime) -> datetime | bool:
    """Decide whether a host whose actions are done has come back; a time is until when that is waited for."""
    if not state.is_out:
        return True
    ended = max((one.ended for one in work.runs if one.ended is not None), default=now)
    return False if now >= ended + within else ended + within


NOT_BACK = "it has not come back from the work on it"


def verdict(work: HostWork, state: ResourceState, now: datetime) -> tuple[Trigger, str] | None:
    """Decide whether a host that is being emptied is empty, or never will be; with why.

    ``state`` is of the host itself: one that fails is for those who heal, and is no affair of a session any more.
    """
    if work.stage is not HostStage.EMPTYING:
        return None
    if state.is_out:
        return Trigger.GIVE_UP, "the host has failed"
    if all(one.state.is_out_of_the_way for one in work.guests):
        return Trigger.EMPTIED, ""
    if work.deadline is not None and now >= work.deadline:
        return Trigger.GIVE_UP, f"not empty in time: {in_words(blocking(work))}"
    return None


def blocking(work: HostWork) -> list[Guest]:
    """Return the machines that are in the way."""
    return [one for one in work.guests if not one.state.is_out_of_the_way]


MOST_NAMED = 5


def in_words(guests: Iterable[Guest]) -> str:
    """Say which machines are in the way, and why."""
    named = [f"{one.resource_id}: {why_here(one)}" for one in guests]
    more = len(named) - MOST_NAMED
    return "; ".join(named[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def why_here(guest: Guest) -> str:
    """Say why a machine is still on its host."""
    return guest.reason or _WHY[guest.state]


_WHY = {
    GuestState.ASKED: "its owner has not answered",
    GuestState.AGREED: "it has not had its turn",
    GuestState.MOVING: "it is under way",
    GuestState.STAYS: "its owner wants it to stay",
    GuestState.STUCK: "it could not be done",
    GuestState.AWAY: "it is gone",
    GuestState.STOPPED: "it is off",
}


def may_begin(session: Session, works: Iterable[HostWork], now: datetime) -> list[HostWork]:
    """Return the hosts whose turn it is, in the order of the session.

    A host whose action has failed keeps no other one waiting: whoever has let the session go on has seen it.
    """
    if session.state not in (SessionState.PLANNED, SessionState.RUNNING) or now < session.starts:
        return []
    all_ = list(works)
    waiting = [one for one in all_ if one.stage is HostStage.WAITING]
    if session.at_once is None:
        return waiting
    away = sum(one.stage in (HostStage.EMPTYING, HostStage.EMPTY) and not _has_failed(one) for one in all_)
    return waiting[: max(0, session.at_once - away)]


def _has_failed(work: HostWork) -> bool:
    return bool(work.runs) and work.runs[-1].state is RunState.FAILED


def outcome(session: Session, works: Iterable[HostWork]) -> tuple[SessionState, str] | None:
    """Decide whether the one response can be given, and what it says: whether every host could be emptied, and what was
    asked for be done there.

    Where all hosts are emptied together, and nothing else is asked for, it is given when the last one is empty or has been
    given up; where they go in turns, are given back by themselves, or actions are done, when the last has been given back and all actions are over.
    """
    all_ = list(works)
    waits_for_return = session.at_once is not None or session.auto_return or bool(session.actions)
    if not all(one.stage.is_over or (one.stage is HostStage.EMPTY and not waits_for_return) for one in all_):
        return None
    before = course(session.asks_for(Moment.PRE), Moment.PRE, session.runs)
    after = course(session.asks_for(Moment.POST), Moment.POST, session.runs)
    if isinstance(before, Failed):
        return SessionState.FAILED, said_of(before.run)
    if isinstance(before, Over) and not isinstance(after, Over | Failed):
        return None
    failed = [f"{one.host}: {one.reason}" for one in all_ if one.stage is HostStage.FAILED]
    failed += [
        f"{one.host}: {said_of(one.runs[-1])}"
        for one in all_
        if one.stage is not HostStage.FAILED and _has_failed(one)
    ]
    failed += [said_of(after.run)] if isinstance(after, Failed) else []
    aborted = [one for one in all_ if one.stage is HostStage.ABORTED]
    if failed:
        more = len(failed) - MOST_NAMED
        said = "; ".join(failed[:MOST_NAMED])
        return SessionState.FAILED, said + (f"; and {more} more hosts" if more > 0 else "")
    if aborted:
        return SessionState.ABORTED, aborted[0].reason
    return SessionState.DONE, ""
