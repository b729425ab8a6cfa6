"""What is next for a machine that has failed, by what its owner has said beforehand [D 3.3.6; HA 6.2].

Step by step, each once, and only forward: what does not fit as things are (an evacuation from a host that works) is
passed over. Hence there is an end, whatever happens. A machine whose owner instructs is left to him.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from doctor.model.alarm import Alarm
from doctor.model.instruction import Action, Instruction, Task, TaskState
from doctor.model.recovery import (
    Handler,
    Recovery,
    RecoveryLimits,
    RecoveryPolicy,
    RecoveryState,
    RecoveryStep,
)
from doctor.model.resource import Isolation
from doctor.recovery.rules import RULES, Facts, HostMust, needs_isolation

RETURN = -1  # the step by which a machine that stayed on its host is started there
START = RecoveryStep(action=Action.START)

_NEUTRAL = frozenset((Action.REPAIR, Action.UPDATE))  # they say nothing of what is to become of it


class Word(Enum):
    """What the owner has said since the machine failed."""

    NOTHING = "nothing"
    SWITCHED_OVER = "switched over"
    LEAVES = "leaves it as it is"
    INSTRUCTS = "instructs"


_WORDS = {Action.SWITCHED_OVER: Word.SWITCHED_OVER, Action.LEAVE: Word.LEAVES}


class Known(NamedTuple):
    """All that is known of a recovery when it is decided on.

    ``facts`` None: the machine is gone. ``last`` is what has become of the last step, None if nobody knows any more.
    ``zone_id`` is that of its host. ``first`` is a group that goes before and is not recovered yet.
    """

    facts: Facts | None
    policy: RecoveryPolicy | None
    word: Word = Word.NOTHING
    last: Task | None = None
    zone_id: str | None = None
    first: str = ""


class Hold(NamedTuple):
    """Nothing is to be done before something happens, or before a moment."""

    state: RecoveryState
    reason: str
    until: datetime | None = None


class Due(NamedTuple):
    """This step is next, as soon as it is its turn."""

    step: int
    what: RecoveryStep


class End(NamedTuple):
    """The machine is well again, or gone."""

    state: RecoveryState
    reason: str


def begins_anew(before: Recovery, alarm: Alarm) -> bool:
    """Tell whether a machine is to be recovered by this alarm too: each has its steps once, and one at a time."""
    if alarm.alarm_id == before.alarm_id:
        return False
    has_given_up = before.state in (RecoveryState.LEFT, RecoveryState.EXHAUSTED)
    return before.is_over or (has_given_up and alarm.raised_time > before.since)


def said(instructions: Iterable[Instruction], resource_id: str, since: datetime) -> Word:
    """Return what these instructions say of a machine that failed at a moment. What Doctor was told beforehand, and what
    it has refused, say nothing.
    """
    word = Word.NOTHING
    for one in sorted(instructions, key=lambda one: one.created):
        task = one.task(resource_id)
        is_news = one.created >= since and one.alarm_id is None and one.action not in _NEUTRAL
        if task is None or task.state is TaskState.REFUSED or not is_news:
            continue
        if one.action not in _WORDS:
            return Word.INSTRUCTS
        word = _WORDS[one.action]
    return word


def decide(one: Recovery, known: Known, limits: RecoveryLimits, now: datetime) -> Hold | Due | End:
    """Decide how a recovery goes on."""
    if known.facts is None:
        return End(RecoveryState.LEFT, "it is gone")
    if known.facts.machine.owner != one.project:
        return End(RecoveryState.LEFT, "it has another owner")
    if one.tries and known.last is not None and not known.last.state.is_over:
        return Hold(RecoveryState.RUNNING, known.last.reason)
    if not (known.facts.state.is_out or known.facts.host_state.is_out):
        return _return(one, known, known.facts, limits, now)
    if one.state in (RecoveryState.LEFT, RecoveryState.EXHAUSTED):
        return Hold(one.state, one.reason)
    if known.word is Word.INSTRUCTS:
        return Hold(RecoveryState.LEFT, "its owner instructs")
    if known.word is Word.LEAVES:
        return Hold(RecoveryState.LEFT, "its owner leaves it as it is")
    if known.policy is None or not known.policy.steps:
        return Hold(RecoveryState.LEFT, "no step is said for it")
    if one.tries and known.last is not None and known.last.state is TaskState.SUCCEEDED:
        until = one.tries[-1].until
        if now < until:
            return Hold(RecoveryState.RUNNING, "it was done, and has not helped yet", until)
    return _next(one, known, known.facts, known.policy, limits, now)


def _next(
    one: Recovery,
    known: Known,
    facts: Facts,
    policy: RecoveryPolicy,
    limits: RecoveryLimits,
    now: datetime,
) -> Hold | Due:
    found = _fitting(one, policy, facts, known.zone_id)
    if found is None:
        none = "no step is left" if one.tries else "no step is for what has happened to it"
        return Hold(RecoveryState.EXHAUSTED, none)
    if found.what.action is Action.LEAVE:
        return Hold(RecoveryState.LEFT, "by its policy it stays as it is")
    if not one.tries and known.word is not Word.SWITCHED_OVER:
        if policy.handled_by is Handler.OWNER:
            return Hold(RecoveryState.WAITING, "its owner has not said yet that he has switched over")
        if now < one.since + policy.after:
            return Hold(RecoveryState.WAITING, "its owner may still instruct", one.since + policy.after)
    if (spent := _too_often(one, limits, now)) is not None:
        return spent
    if known.first:
        return Hold(RecoveryState.WAITING, f"the group {known.first} comes first")
    can_wait = facts.can_isolate or facts.isolation is Isolation.ISOLATED
    if needs_isolation(found.what.action, facts) and facts.isolation is not Isolation.ISOLATED and can_wait:
        return Hold(RecoveryState.WAITING, "its host is not isolated yet")
    return found


def _fitting(one: Recovery, policy: RecoveryPolicy, facts: Facts, zone_id: str | None) -> Due | None:
    """Return the next step that is for what has happened, as things are."""
    begun = max((each.step for each in one.tries), default=RETURN)
    for index, step in enumerate(policy.steps):
        must = RULES[step.action].host
        is_out = facts.host_state.is_out
        fits_host = must is HostMust.BE_ANYHOW or (must is HostMust.BE_OUT) is is_out
        is_meant = (not step.fault_type or one.fault_type in step.fault_type) and (
            not step.zone_id or zone_id in step.zone_id
        )
        if index > begun and fits_host and is_meant:
            return Due(index, step)
    return None


def _return(
    one: Recovery, known: Known, facts: Facts, limits: RecoveryLimits, now: datetime
) -> Hold | Due | End:
    """Decide on a machine that is not out any more: one that stayed on its host may have to be started [D 5.5.1]."""
    last = one.tries[-1] if one.tries else None
    if last is not None and last.step == RETURN:
        if known.last is None or known.last.state is TaskState.SUCCEEDED:
            return End(RecoveryState.SUCCEEDED, "its host is back, and it was started there")
        return End(RecoveryState.EXHAUSTED, known.last.reason)
    policy = known.policy
    was_started = any(each.step == RETURN for each in one.tries)
    has_stayed = one.host_failed and facts.machine.host == one.host and not was_started
    if not (has_stayed and one.ran and policy is not None and policy.start_on_return):
        return End(RecoveryState.SUCCEEDED, "it is well again")
    if known.word is Word.INSTRUCTS:
        return End(RecoveryState.LEFT, "its owner instructs")
    if facts.isolation is not Isolation.NOT_REQUIRED:
        return Hold(one.state, "its host has not been given back yet")
    if _too_often(one, limits, now) is not None:
        return End(RecoveryState.EXHAUSTED, "it fails again and again")
    return Due(RETURN, START)


def _too_often(one: Recovery, limits: RecoveryLimits, now: datetime) -> Hold | None:
    if len(lately(one, limits, now)) < limits.most:
        return None
    return Hold(RecoveryState.EXHAUSTED, "it fails again and again: it needs a person")


def lately(one: Recovery, limits: RecoveryLimits, now: datetime) -> tuple[datetime, ...]:
    """Return when steps were begun for a machine, as far back as it counts."""
    return tuple(time for time in one.spent if now - time < limits.within)
