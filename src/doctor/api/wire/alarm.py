"""The shapes of alarms: what is told of one, what has become of it since, and what can be asked of it."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec.structs import asdict

from doctor.flows.alarm import AlarmAction
from doctor.kit.times import in_utc
from doctor.model.ageing import AGEING_SEVERITIES, Keep
from doctor.model.alarm import Alarm, AlarmedFault, AlarmState
from doctor.model.alarm_note import AckState, AlarmNote, Comment
from doctor.model.errors import Flaw, RejectedError
from doctor.model.fault import EventType, Severity
from doctor.model.notification import FaultInfo
from doctor.model.silence import Silence
from doctor.notifier.message import Describer

Person = Annotated[str, msgspec.Meta(max_length=255)]


class SilencedBy(msgspec.Struct, frozen=True, kw_only=True):
    """A silence that covers an alarm. Of the Administrator's an owner sees only that it is there, and until when."""

    silence_id: str | None
    owner: str | None
    reason: str | None
    end: datetime


class AlarmOut(FaultInfo, frozen=True, gc=False, kw_only=True):
    """One alarm [D 5.5.3]: the fields of a fault as owners are told it, its resource, and what people did to it.

    As in IFA 005 there are the kind of alarm of X.733 (`event_type`) and the managed object, which is the resource.
    ``user`` is who acknowledged it. A shelved alarm is open, and its owner does not hear of its changes. A silenced one is
    open too; ``silences`` are those that keep it from being told.
    """

    alarm_name: str
    event_type: EventType
    managed_object_id: str
    resource_id: str
    resource_type: str
    project: str | None
    ack_state: AckState
    acknowledged_time: datetime | None
    user: str | None
    shelved: bool
    shelved_until: datetime | None
    shelved_by: str | None
    silenced: bool
    silences: tuple[SilencedBy, ...]
    comments: tuple[Comment, ...]


class AlarmPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to do to an alarm. ``user`` is who does it (the name of the token), ``until`` the end of a shelving."""

    action: AlarmAction
    user: Person = ""
    until: datetime | None = None


class CommentRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Something to say about an alarm."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    user: Person = ""


class AlarmSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How many alarms are open, by each of what they can be."""

    total: int
    perceived_severity: dict[str, int]
    alarm_state: dict[str, int]
    ack_state: dict[str, int]
    shelved: int
    silenced: int


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """How many subscriptions are told what is open."""

    subscriptions: int


class KeepIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long cleared faults of a severity are kept, and how many of them at most; null is no limit."""

    days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] | None = None
    count: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None


class AgeingIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long what is kept; for a severity that is missing, as long as the settings say."""

    critical: KeepIn | None = None
    major: KeepIn | None = None
    minor: KeepIn | None = None
    warning: KeepIn | None = None
    indeterminate: KeepIn | None = None


class AgeingOut(msgspec.Struct, frozen=True, kw_only=True):
    """How long cleared faults are kept, by their worst severity; null is no limit. Open ones are always kept."""

    critical: KeepIn
    major: KeepIn
    minor: KeepIn
    warning: KeepIn
    indeterminate: KeepIn


def alarm_out(
    record: AlarmedFault,
    alarm: Alarm,
    describer: Describer,
    note: AlarmNote | None = None,
    silences: tuple[Silence, ...] = (),
) -> AlarmOut:
    """Return an alarm as the viewer of the describer may see it."""
    shelving = note.shelving if note and alarm.cleared_time is None else None
    return AlarmOut(
        **asdict(describer.fault(record, alarm)),
        alarm_name=f"{record.fault.fault_type} on {alarm.resource_id}",
        event_type=record.fault.event_type,
        managed_object_id=alarm.resource_id,
        resource_id=alarm.resource_id,
        resource_type=alarm.resource_type,
        project=alarm.project,
        ack_state=note.ack_state if note else AckState.UNACKNOWLEDGED,
        acknowledged_time=note.acknowledged_time if note else None,
        user=note.user if note else None,
        shelved=shelving is not None,
        shelved_until=shelving.until if shelving else None,
        shelved_by=shelving.user if shelving else None,
        silenced=bool(silences),
        silences=tuple(_silenced_by(one, describer) for one in silences),
        comments=note.comments if note else (),
    )


def _silenced_by(silence: Silence, describer: Describer) -> SilencedBy:
    is_hidden = silence.project is None and describer.viewer is not None
    return SilencedBy(
        silence_id=None if is_hidden else silence.silence_id,
        owner=None if is_hidden else silence.owner,
        reason=None if is_hidden else silence.reason,
        end=silence.until,
    )


class Tally:
    """Counts open alarms; what there is none of stands there as 0."""

    def __init__(self) -> None:
        self._severities = {severity.perceived: 0 for severity in AGEING_SEVERITIES}
        self._states = {AlarmState.RAISED.value: 0, AlarmState.CHANGED.value: 0}
        self._acks = {state.value: 0 for state in AckState}
        self._total = self._shelved = self._silenced = 0

    def add(self, alarm: Alarm, note: AlarmNote | None, *, is_silenced: bool) -> None:
        """Count one alarm, with what people noted of it."""
        self._total += 1
        perceived = alarm.severity.perceived
        self._severities[perceived] = self._severities.get(perceived, 0) + 1
        self._states[alarm.alarm_state.value] += 1
        self._acks[(note.ack_state if note else AckState.UNACKNOWLEDGED).value] += 1
        self._shelved += note is not None and note.shelving is not None
        self._silenced += is_silenced

    @property
    def summary(self) -> AlarmSummary:
        """Return the counts."""
        return AlarmSummary(
            total=self._total,
            perceived_severity=self._severities,
            alarm_state=self._states,
            ack_state=self._acks,
            shelved=self._shelved,
            silenced=self._silenced,
        )


def person(user: str) -> str:
    """Return a name as it was given.

    Raises:
        RejectedError: it has characters in it that nobody can read.
    """
    if not user.isprintable():
        raise RejectedError(
            "the name is wrong", flaws=[Flaw("/user", "has characters that cannot be printed")]
        )
    return user


def end_of(given: AlarmPatch) -> datetime | None:
    """Return the end of a shelving in UTC.

    Raises:
        RejectedError: it is so early or late that it does not exist in UTC.
    """
    try:
        return None if given.until is None else in_utc(given.until)
    except OverflowError:
        raise RejectedError("the time is wrong", flaws=[Flaw("/until", "out of range")]) from None


def keep_of(given: AgeingIn) -> dict[Severity, Keep]:
    """Return what was given, by severity."""
    named = ((severity, getattr(given, severity.perceived)) for severity in AGEING_SEVERITIES)
    return {severity: Keep(days=one.days, count=one.count) for severity, one in named if one is not None}


def ageing_out(keep: dict[Severity, Keep]) -> AgeingOut:
    """Return what is in force."""
    shown: dict[str, Any] = {
        severity.perceived: KeepIn(days=one.days, count=one.count) for severity, one in keep.items()
    }
    return AgeingOut(**shown)
