"""Alerts as Alertmanager's webhook (version 4) and Prometheus (``/api/v2/alerts``) send them.

The label ``doctor_type``, else ``alertname``, is the type of the event; ``resource_id``, else ``host``, else ``instance``
without its port, is what it is about. An alert is told from others by its fingerprint, which is the one of Prometheus:
the same alert is the same event by whichever of the two ways it comes.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from doctor.drivers.monitors.details import (
    CLEARED,
    SILENT_AFTER,
    encoded,
    said_or_received,
    severity_word,
    silent_at,
    without_port,
)
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.event import DOWN, UP, RawEvent
from doctor.ports.payload import Alive, Payload, Reading, Stated, Told

NAME = "alertmanager"
WATCHDOG = "watchdog"  # an alert that always fires, so that its absence says something
HEARTBEAT = "monitor.heartbeat"

_UNSET = datetime(1, 1, 2, tzinfo=UTC)  # Go writes 0001-01-01T00:00:00Z for no time
_OFFSET, _PRIME, _MASK = 14695981039346656037, 1099511628211, (1 << 64) - 1  # FNV-1a, 64 bits


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. The webhook says its ``status``; Prometheus only by ``endsAt``; the API of Alertmanager in an object."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: datetime | None = None  # noqa: N815 - as it is written
    endsAt: datetime | None = None  # noqa: N815
    status: str | dict[str, Any] = ""
    generatorURL: str = ""  # noqa: N815
    fingerprint: str = ""


def items(document: Any) -> Iterator[tuple[str, Any]]:
    """Return the alerts of a webhook's group, or of a bare list."""
    if isinstance(document, list):
        alerts, pointer = document, ""
    elif isinstance(document, dict) and isinstance(document.get("alerts"), list):
        alerts, pointer = document["alerts"], "/alerts"
    else:
        wrong = Flaw("/alerts" if isinstance(document, dict) else "", "must be a list of alerts")
        raise RejectedError(
            "this is neither Alertmanager's webhook nor a list of alerts",
            reason=Reason.MALFORMED,
            flaws=[wrong],
        )
    return ((f"{pointer}/{index}", alert) for index, alert in enumerate(alerts))


def read(alert: Alert, told: Told) -> Reading:
    """Return what an alert says."""
    labels = alert.labels
    kind = labels.get("doctor_type") or labels.get("alertname", "")
    if not kind:
        raise RejectedError(
            "an alert without a name", flaws=[Flaw("/labels", "needs alertname, or doctor_type")]
        )
    ends = _time(alert.endsAt)
    has_ended = alert.status == "resolved" or (ends is not None and ends <= told.received)
    until = None if ends is None or has_ended else ends
    if kind == HEARTBEAT or labels.get("alertname", "").lower() == WATCHDOG:
        return Alive(until or silent_at(alert.annotations.get(SILENT_AFTER), told.received))
    began = said_or_received(_time(alert.startsAt), told.received)
    time = (ends or told.received) if has_ended else began
    return Stated(_event(alert, kind, time, UP if has_ended else DOWN, until, told), until)


def _event(
    alert: Alert, kind: str, time: datetime, status: str, until: datetime | None, told: Told
) -> RawEvent:
    labels = alert.labels
    resource = labels.get("resource_id") or labels.get("host") or without_port(labels.get("instance", ""))
    severity = CLEARED if status == UP else severity_word(labels.get("severity", ""))
    mark = alert.fingerprint or fingerprint(labels)
    details = {
        "hostname": resource,
        "status": status,
        "severity": severity,
        "source": told.source,
        "monitor_id": NAME,
        "monitor_event_id": mark,
        "type": kind,
        "cause": alert.annotations.get("summary") or alert.annotations.get("description"),
        "generator": alert.generatorURL,
        "expires": until,
    }
    return RawEvent(
        time=time,
        type=kind,
        resource=resource,
        resource_type=labels.get("resource_type", ""),
        source=told.source,
        status=status,
        severity=severity,
        monitor_event_id=mark,
        raw_details=encoded(details, {"labels": labels, "annotations": alert.annotations}),
    )


def _time(said: datetime | None) -> datetime | None:
    if said is None:
        return None
    said = said if said.tzinfo else said.replace(tzinfo=UTC)
    return None if said < _UNSET else said.astimezone(UTC)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return what Prometheus calls the fingerprint of labels."""
    found = _OFFSET
    for name in sorted(labels):
        for byte in b"%b\xff%b\xff" % (name.encode(), labels[name].encode()):
            found = ((found ^ byte) * _PRIME) & _MASK
    return f"{found:016x}"


payload = Payload(Alert, items, read)
