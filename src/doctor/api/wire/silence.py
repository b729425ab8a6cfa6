"""The shapes of silences: what is asked for, and what is shown."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec.structs import asdict

from doctor.api.wire.subscription import Warned
from doctor.kit.times import in_utc, parse_duration
from doctor.model.errors import Flaw, RejectedError
from doctor.model.silence import Audience, Silence, SilenceMatcher, SilenceState, Tally
from doctor.notifier.silence_life import SilenceEdit, SilenceOrder

Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Patterns = Annotated[list[Pattern], msgspec.Meta(max_length=100)]
Name = Annotated[str, msgspec.Meta(max_length=255)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Duration = Annotated[str, msgspec.Meta(max_length=40)] | float


class MatcherIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which alarms: all that is given must hold, of each list one word or pattern (`*`, `?`, `[...]`).

    An alarm is meant by its own resource. For the Administrator also by the resource of the fault that it follows from,
    or of one that explains the fault. ``zone_id`` of a machine is that of its host.
    """

    resource_id: Patterns = []
    resource_type: Patterns = []
    zone_id: Patterns = []
    fault_type: Patterns = []
    project: Patterns = []


class SilenceRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A silence to be. It starts now unless ``start`` says otherwise, and has an ``end`` or a ``duration``.

    ``owner`` is who answers for it (the name of the token). ``audience`` is for the Administrator: whether only he is
    not told (`administrator`), or the owners neither (`everybody`). Who means everything says so by ``everything``.
    """

    matcher: MatcherIn
    reason: Reason
    owner: Name = ""
    start: datetime | None = None
    end: datetime | None = None
    duration: Duration | None = None
    audience: Audience | None = None
    everything: bool = False


class SilencePatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; what is missing stays. ``duration`` counts from the start."""

    owner: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    reason: Reason | None = None
    start: datetime | None = None
    end: datetime | None = None
    duration: Duration | None = None


class SilenceMatcherOut(msgspec.Struct, frozen=True, kw_only=True):
    """Which alarms are meant; an empty list is no restriction."""

    resource_id: tuple[str, ...]
    resource_type: tuple[str, ...]
    zone_id: tuple[str, ...]
    fault_type: tuple[str, ...]
    project: tuple[str, ...]


class SilenceChangeOut(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did to a silence."""

    time: datetime
    user: str
    what: str


class SilenceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A silence. ``project`` is null for the Administrator's.

    ``alarms`` are open now and kept from somebody by it; ``withheld_notifications`` and ``withheld_alarms`` count what it
    has withheld since it began.
    """

    silence_id: str
    state: SilenceState
    project: str | None
    audience: Audience
    matcher: SilenceMatcherOut
    owner: str
    reason: str
    start: datetime
    end: datetime
    created: datetime
    created_by: str
    ended_time: datetime | None
    ended_by: str | None
    alarms: int
    withheld_notifications: int
    withheld_alarms: int
    changes: tuple[SilenceChangeOut, ...]


class SilenceResponse(SilenceOut, frozen=True, kw_only=True):
    """A silence that was just made, with what to look at once more."""

    warnings: list[Warned]


def order_of(given: SilenceRequest) -> SilenceOrder:
    """Return what is asked for.

    Raises:
        RejectedError: something is no time or no duration, or cannot be read on one line.
    """
    matcher = matcher_of(given.matcher)
    _check_lines({"/owner": given.owner, "/reason": given.reason})
    return SilenceOrder(
        matcher=matcher,
        audience=given.audience,
        owner=given.owner,
        reason=given.reason,
        start=_time(given.start, "/start"),
        end=_time(given.end, "/end"),
        duration=_duration(given.duration),
        everything=given.everything,
    )


def edit_of(given: SilencePatch) -> SilenceEdit:
    """Return what is to be changed.

    Raises:
        RejectedError: something is no time or no duration, or cannot be read on one line.
    """
    _check_lines({"/owner": given.owner or "", "/reason": given.reason or ""})
    return SilenceEdit(
        owner=given.owner,
        reason=given.reason,
        start=_time(given.start, "/start"),
        end=_time(given.end, "/end"),
        duration=_duration(given.duration),
    )


def matcher_of(given: MatcherIn) -> SilenceMatcher:
    """Return which alarms are meant.

    Raises:
        RejectedError: a word cannot be read on one line.
    """
    words = {name: tuple(getattr(given, name)) for name in MATCHED}
    _check_lines(
        {f"/matcher/{name}/{index}": one for name, ones in words.items() for index, one in enumerate(ones)}
    )
    return SilenceMatcher(**words)


def silence_out(silence: Silence, now: datetime, tally: Tally, alarms: int) -> SilenceOut:
    """Return a silence as it is shown."""
    return SilenceOut(**_shown(silence, now, tally, alarms))


def silence_made(
    silence: Silence, now: datetime, tally: Tally, alarms: int, doubts: list[Flaw]
) -> SilenceResponse:
    """Return a silence that was just made."""
    warnings = [Warned(doubt.pointer, doubt.detail) for doubt in doubts]
    return SilenceResponse(**_shown(silence, now, tally, alarms), warnings=warnings)


def _shown(silence: Silence, now: datetime, tally: Tally, alarms: int) -> dict[str, Any]:
    return {
        **{name: getattr(silence, name) for name in ALIKE},
        "state": silence.state(now),
        "matcher": SilenceMatcherOut(**asdict(silence.matcher)),
        "changes": tuple(SilenceChangeOut(**asdict(change)) for change in silence.changes),
        "alarms": alarms,
        "withheld_notifications": tally.notifications,
        "withheld_alarms": tally.alarms,
    }


def _check_lines(texts: dict[str, str]) -> None:
    flaws = [
        Flaw(pointer, "has characters that cannot be printed")
        for pointer, text in texts.items()
        if not text.isprintable()
    ]
    if flaws:
        raise RejectedError("the text is wrong", flaws=flaws)


def _time(given: datetime | None, pointer: str) -> datetime | None:
    try:
        return None if given is None else in_utc(given)
    except OverflowError:
        raise RejectedError("the time is wrong", flaws=[Flaw(pointer, "out of range")]) from None


def _duration(given: str | float | None) -> timedelta | None:
    try:
        return None if given is None else parse_duration(given)
    except (ValueError, OverflowError) as error:
        raise RejectedError("the duration is wrong", flaws=[Flaw("/duration", str(error))]) from None


MATCHED = SilenceMatcher.__struct_fields__
ALIKE = (
    "silence_id",
    "project",
    "audience",
    "owner",
    "reason",
    "start",
    "end",
    "created",
    "created_by",
    "ended_time",
    "ended_by",
)
