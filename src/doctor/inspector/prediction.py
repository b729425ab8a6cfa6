"""What becomes of a predicted fault: begun, moved, taken back, or not come true [D 2.1.2, 3.3.2].

In comes what a source foresees, or only the time; out goes what that means. Several sources may foresee the same fault:
the earliest counts, and it is over when the last of them has taken it back or was wrong. What the predicted fault would
take down is for `doctor.inspector.impact` to say.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from doctor.inspector.condition import Details, look_up, steps
from doctor.inspector.words import number_of
from doctor.kit.times import in_utc, parse_duration
from doctor.model.fault import Claim, Fault, Outcome, Prediction, ResourceState, Severity
from doctor.model.policy import FaultRule, Foresight, RecommendedAction

SUFFIX = ".predicted"  # ends the types of events that foresee what the type before it says
PREFIX = "predicted "  # begins the fault types of what is foreseen, and of nothing else
MOVES_BY = 0.1  # of confidence: what is less is no news
MOST_CLAIMS = 16  # the earliest; nobody has more predictors for one resource


class Unusable(NamedTuple):
    """The event does not say what a prediction has to say."""

    reason: str


class Begun(NamedTuple):
    """A fault is foreseen that was not before."""

    prediction: Prediction


class Moved(NamedTuple):
    """It is foreseen for another time, or otherwise: to be told."""

    prediction: Prediction


class Kept(NamedTuple):
    """It is as it was told, though not to the letter: nothing to tell."""

    prediction: Prediction


class Over(NamedTuple):
    """It is foreseen no longer; the outcome says why."""

    prediction: Prediction


class Nothing(NamedTuple):
    """It was not foreseen and is not; ``reason`` is why not."""

    reason: str


Verdict = Begun | Moved | Kept | Over | Nothing


def predicted(fault_type: str) -> str:
    """Return the type of the fault by which one of this type is foreseen."""
    return PREFIX + fault_type


def claim_of(source: str, details: Details, rule: Foresight, now: datetime) -> Claim | Unusable:
    """Read what an event foresees.

    A time is the Monitor's, whose clock may be wrong; how long it will take counts from now.
    """
    try:
        time = _time(details, rule, now)
        deadline = time + rule.grace
    except (ValueError, OverflowError) as error:
        return Unusable(str(error))
    confidence = look_up(details, steps(rule.confidence))
    number = number_of(confidence)
    if confidence is not None and (number is None or not 0 <= number <= 1):
        return Unusable(f"{rule.confidence} is no number from 0 to 1")
    return Claim(source, time, None if number is None else float(number), deadline)


def _time(details: Details, rule: Foresight, now: datetime) -> datetime:
    given = look_up(details, steps(rule.time))
    if given is not None:
        try:
            return in_utc(msgspec.convert(given, datetime))
        except msgspec.ValidationError:
            raise ValueError(f"{rule.time} is no time") from None
    lead = look_up(details, steps(rule.lead))
    if isinstance(lead, str | int | float) and not isinstance(lead, bool):
        return now + parse_duration(lead)
    raise ValueError(f"neither {rule.time} nor {rule.lead} says when")


def claimed(
    known: Prediction | None,
    claim: Claim,
    rule: Foresight,
    expected: FaultRule,
    severity: Severity,
    now: datetime,
) -> Verdict:
    """Say what it means that a source foresees a fault; ``expected`` is the rule by which it would be raised."""
    doubt = _doubt(claim, rule, now)
    others = () if known is None else tuple(one for one in known.claims if one.source != claim.source)
    if doubt:
        return Nothing(doubt) if known is None else _after(known, others, Outcome.WITHDRAWN, now)
    claims = _in_order([*others, claim], now)
    base = Prediction(
        fault_type=expected.fault_type,
        predicted_time=claims[0].predicted_time,
        confidence=claims[0].confidence,
        claims=claims,
        state=expected.state,
        severity=severity,
        action=expected.recommended_action,
        near=rule.near,
    )
    if known is None:
        return Begun(base)
    if _differs(known, base, rule.moves):
        return Moved(base)
    return Kept(replace(base, predicted_time=known.predicted_time, confidence=known.confidence))


def taken_back(known: Prediction, source: str, now: datetime) -> Verdict:
    """Say what it means that a source foresees a fault no longer; one that never did changes nothing."""
    left = tuple(one for one in known.claims if one.source != source)
    return Kept(known) if len(left) == len(known.claims) else _after(known, left, Outcome.WITHDRAWN, now)


def as_of(known: Prediction, now: datetime) -> Verdict:
    """Say what the time has done to a prediction: who was wrong by now foresees nothing any more."""
    left = tuple(one for one in known.claims if one.deadline > now)
    return Kept(known) if len(left) == len(known.claims) else _after(known, left, Outcome.EXPIRED, now)


def ended(known: Prediction, outcome: Outcome) -> Prediction:
    """Return a prediction that is over."""
    return replace(known, outcome=outcome)


def fault_of(expected: Fault, prediction: Prediction, rule: Foresight, now: datetime) -> Fault:
    """Return the fault by which one is foreseen that would be the expected one."""
    return replace(
        expected,
        fault_type=predicted(expected.fault_type),
        rule=rule.name,
        severity=rule.severity,
        state=ResourceState.NORMAL,
        recommended_action=action(prediction, now),
        prediction=prediction,
    )


def moved(fault: Fault, prediction: Prediction, now: datetime) -> Fault:
    """Return a predicted fault as it is now."""
    return replace(
        fault,
        recommended_action=action(prediction, now),
        prediction=prediction,
        changed_time=now,
        transition=fault.transition + 1,
    )


def is_near(prediction: Prediction, now: datetime) -> bool:
    """Tell whether so little time is left that one does as if it had happened [D 3.1]."""
    return prediction.predicted_time - now <= prediction.near


def action(prediction: Prediction, now: datetime) -> str:
    """Return what had best be done now: while there is time, the machines are moved in good order [D 3.1]."""
    if is_near(prediction, now) or not prediction.state.is_out:
        return prediction.action
    return RecommendedAction.LIVE_MIGRATE


def next_look(prediction: Prediction, now: datetime) -> datetime:
    """Return when the time alone may change something: it comes near, or a source was wrong."""
    first = min(claim.deadline for claim in prediction.claims)
    try:
        near = prediction.predicted_time - prediction.near
    except OverflowError:  # nearer than the beginning of time
        return first
    return min(first, near) if near > now else first


def _doubt(claim: Claim, rule: Foresight, now: datetime) -> str:
    """Return why a claim does not count, "" if it does. Who does not say how sure he is is taken at his word."""
    if claim.deadline <= now:
        return "it is over"
    if claim.confidence is not None and claim.confidence < rule.min_confidence:
        return "not sure enough"
    if rule.horizon is not None and claim.predicted_time - now > rule.horizon:
        return "too far away"
    return ""


def _after(known: Prediction, left: tuple[Claim, ...], why: Outcome, now: datetime) -> Verdict:
    """Return what is left of a prediction when claims are gone."""
    left = _in_order(left, now)
    if not left:
        return Over(ended(known, why))
    first = left[0]
    after = replace(known, predicted_time=first.predicted_time, confidence=first.confidence, claims=left)
    if _differs(known, after, timedelta(microseconds=1)):
        return Moved(after)
    return Kept(after)


def _in_order(claims: Iterable[Claim], now: datetime) -> tuple[Claim, ...]:
    current = [claim for claim in claims if claim.deadline > now]
    return tuple(sorted(current, key=lambda claim: (claim.predicted_time, claim.source))[:MOST_CLAIMS])


def _differs(told: Prediction, now: Prediction, moves: timedelta) -> bool:
    """Tell whether it would be news."""
    return (
        abs(now.predicted_time - told.predicted_time) >= moves
        or abs(_certainty(now) - _certainty(told)) > MOVES_BY - 1e-9
        or (now.state, now.severity) != (told.state, told.severity)
    )


def _certainty(prediction: Prediction) -> float:
    return 1.0 if prediction.confidence is None else prediction.confidence
