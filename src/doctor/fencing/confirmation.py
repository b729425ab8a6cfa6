"""Whether a host that reads off is off: the rule by which FENCED is reached [I-16].

Off, read twice in new sessions; no sign of life for two heartbeats from witnesses that would see one; the right machine,
and no other host that went silent at that moment. A device that cannot be reached confirms nothing, and neither does time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from doctor.fencing.evidence import Judgement
from doctor.fencing.limits import Limits
from doctor.model.fence_job import FenceJob, Statement
from doctor.model.fencing import Fenced, FenceOutcome, NotFenced, Unknown, Vantage

BLIND = frozenset((Vantage.OUT_OF_BAND, Vantage.HUMAN))  # they see power, and not whether a host lives


class Confirmed(NamedTuple):
    """It is off."""

    reason: str


class Contradicted(NamedTuple):
    """Something says that it is not, or that it was another one."""

    reason: str


class Unconfirmed(NamedTuple):
    """The devices do not say that it is off, or nobody is left who would see a sign of life."""

    reason: str


class Wait(NamedTuple):
    """It has not been silent for long enough."""

    until: datetime


Confirmation = Confirmed | Contradicted | Unconfirmed | Wait


def confirmation(
    job: FenceJob,
    outcome: FenceOutcome,
    judgement: Judgement,
    life: Sequence[Statement],
    fallen: Sequence[str],
    limits: Limits,
    now: datetime,
    returning: str = "",
) -> Confirmation:
    """Judge a host that is CONFIRMING.

    ``outcome`` is what its devices read; ``life`` are the signs of life since it read off, ``fallen`` the other hosts that
    went silent since the command. ``returning`` is the zone with which it may have its power back at any moment.
    """
    if life:
        return Contradicted(f"{life[0].reporter} has seen it alive after it read off")
    if fallen:
        return Contradicted(f"{', '.join(fallen)} went silent by it: it may have been the wrong machine")
    if returning:
        return Unconfirmed(f"{returning} is being given back, and it is in it")
    match outcome:
        case NotFenced() | Unknown():
            return Unconfirmed(f"{outcome.doubt.value}: {outcome.detail}")
        case Fenced():
            pass
    if not judgement.dead - BLIND:
        return Unconfirmed("nobody is left who would see a sign of life")
    if now - job.changed < limits.quiet:
        return Wait(job.changed + limits.quiet)
    readings = f"read off {len(outcome.readings)} times"
    return Confirmed(f"{readings}, silent for {limits.quiet.total_seconds():g} s, {judgement.summary}")
