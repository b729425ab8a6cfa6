"""Problems as the webhook of Zabbix posts them that `doctor monitor setup zabbix` makes.

Zabbix expands macros, so everything is text. The tag ``doctor_type`` says the type of the event, ``doctor_resource`` what
it is about if that is not the host. A problem and its recovery have the same ``event_id``, and the time is that of the
problem (or of its recovery) and not of the message: when the webhook is tried again, or a problem is changed, that is the same event.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from doctor.drivers.monitors.details import CLEARED, SILENT_AFTER, encoded, said_or_received, silent_at
from doctor.model.errors import Flaw, RejectedError
from doctor.model.event import DOWN, UP, RawEvent
from doctor.model.fault import Severity
from doctor.ports.payload import Alive, Payload, Reading, Stated, Told

NAME = "zabbix"
HEARTBEAT = "monitor.heartbeat"
UNTYPED = "zabbix.problem"  # the type of a problem whose trigger has no tag

# By number, since an administrator may have given the words of Zabbix other names.
SEVERITIES = (
    Severity.INDETERMINATE,  # not classified
    Severity.INDETERMINATE,  # information
    Severity.WARNING,
    Severity.MINOR,  # average
    Severity.MAJOR,  # high
    Severity.CRITICAL,  # disaster
)


class Tag(msgspec.Struct, frozen=True):
    """A tag of a trigger or a host."""

    tag: str
    value: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem (``value`` 1) or its recovery (0). ``nseverity`` is the severity by number; ``tags`` may be JSON in text."""

    event_id: str
    value: str
    host: str
    name: str
    time: datetime
    nseverity: str = "0"
    tags: str | list[Tag] = ""
    trigger_id: str = ""
    opdata: str = ""
    url: str = ""


def items(document: Any) -> Iterator[tuple[str, Any]]:
    """Return the problems: one, or a list of them."""
    if isinstance(document, list):
        yield from ((f"/{index}", one) for index, one in enumerate(document))
    else:
        yield "", document


def read(problem: Problem, told: Told) -> Reading:
    """Return what a problem says."""
    flaws = list(_flaws(problem))
    if flaws:
        raise RejectedError("not a problem of Zabbix", flaws=flaws)
    tags = _tags(problem.tags)
    kind = tags.get("doctor_type") or UNTYPED
    if kind == HEARTBEAT:
        return Alive(silent_at(tags.get(SILENT_AFTER), told.received))
    is_over = problem.value == "0"
    severity = CLEARED if is_over else SEVERITIES[int(problem.nseverity)].perceived
    status = UP if is_over else DOWN
    resource = tags.get("doctor_resource") or problem.host
    details = {
        "hostname": resource,
        "status": status,
        "severity": severity,
        "source": told.source,
        "monitor_id": NAME,
        "monitor_event_id": problem.event_id,
        "type": kind,
        "cause": problem.name,
        "host": problem.host,
        "trigger_id": problem.trigger_id,
        "operational_data": problem.opdata,
        "url": problem.url,
    }
    event = RawEvent(
        time=said_or_received(problem.time, told.received),
        type=kind,
        resource=resource,
        source=told.source,
        status=status,
        severity=severity,
        monitor_event_id=problem.event_id,
        raw_details=encoded(details, {"tags": tags}),
    )
    return Stated(event)


def _flaws(problem: Problem) -> Iterator[Flaw]:
    for name in ("event_id", "host"):
        text = getattr(problem, name)
        if not text:
            yield Flaw(f"/{name}", "required")
        elif text.startswith("{") and text.endswith("}"):
            yield Flaw(f"/{name}", f"the macro {text[:60]} was not expanded: there is no problem behind this")
    if problem.value not in ("0", "1"):
        yield Flaw("/value", "is 1 for a problem and 0 for its recovery")
    if problem.nseverity not in "012345" or len(problem.nseverity) != 1:
        yield Flaw("/nseverity", "is a number from 0 to 5")


def _tags(given: str | list[Tag]) -> dict[str, str]:
    """Return the tags by name; of several of one name the last counts. What cannot be read is no reason to lose a problem."""
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given, type=list[Tag])
        except (msgspec.MsgspecError, UnicodeError):
            return {}
    return {one.tag: one.value for one in given}


payload = Payload(Problem, items, read)
