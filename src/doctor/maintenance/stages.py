"""The way of a host through a session: the table, and nothing that is not in it [D 3.4.2].

    WAITING -> EMPTYING -> EMPTY -> RETURNED, with the exits FAILED and ABORTED

EMPTYING is the requirement's going-to-maintenance, EMPTY its in-maintenance; in all others the host is enabled. None
stays EMPTYING past its deadline [I-26].
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from doctor.model.fault import ResourceState
from doctor.model.maintenance import Guest, GuestState, HostStage, HostWork, Session, SessionState


class Trigger(StrEnum):
    """What brings a host from one stage to the next."""

    BEGIN = "begin"  # it is its turn
    EMPTIED = "emptied"  # nobody is on it any more who is in the way
    GIVE_UP = "give_up"  # its time is over, or it has failed itself
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
    """Return the hosts whose turn it is, in the order of the session."""
    if session.state not in (SessionState.PLANNED, SessionState.RUNNING) or now < session.starts:
        return []
    all_ = list(works)
    waiting = [one for one in all_ if one.stage is HostStage.WAITING]
    if session.at_once is None:
        return waiting
    away = sum(one.stage in (HostStage.EMPTYING, HostStage.EMPTY) for one in all_)
    return waiting[: max(0, session.at_once - away)]


def outcome(session: Session, works: Iterable[HostWork]) -> tuple[SessionState, str] | None:
    """Decide whether the one response can be given, and what it says: whether every host could be emptied.

    Where all hosts are emptied together it is given when the last one is empty or has been given up; where they go in
    turns, when the last has been given back.
    """
    all_ = list(works)
    settled = (
        all(one.stage.is_over or one.stage is HostStage.EMPTY for one in all_)
        if session.at_once is None
        else all(one.stage.is_over for one in all_)
    )
    if not settled:
        return None
    failed = [one for one in all_ if one.stage is HostStage.FAILED]
    aborted = [one for one in all_ if one.stage is HostStage.ABORTED]
    if failed:
        said = "; ".join(f"{one.host}: {one.reason}" for one in failed[:MOST_NAMED])
        more = len(failed) - MOST_NAMED
        return SessionState.FAILED, said + (f"; and {more} more hosts" if more > 0 else "")
    if aborted:
        return SessionState.ABORTED, aborted[0].reason
    return SessionState.DONE, ""
