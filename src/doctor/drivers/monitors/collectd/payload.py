"""Notifications of collectd, as ``write_http`` posts them with ``Format JSON`` and ``Notifications true``.

Each is about the host on which collectd runs, but what its plug-in ``ping`` says is about the host that was pinged. The
type of the event is what collectd calls ``alertname``, but for what the fault catalogue has a name for. The plug-in
``ipmi`` is not believed in two things: it takes its time from the BMC, whose clock may never have been set, and it says
OKAY of anything that is not critical, also when that has just begun.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from doctor.drivers.monitors.details import CLEARED, encoded, said_or_received, severity_word
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.event import DOWN, UP, RawEvent
from doctor.ports.payload import Payload, Stated, Told

NAME = "collectd"
OKAY = "OKAY"
NIC = "compute.host.nic.error"
POWER = "compute.power.degraded"

# What a sensor of the type power supply (IPMI 2.0, table 42-3) can say that means a fault; 0 is that there is one.
POWER_FAULTS = frozenset("123456")


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One notification. The label that is named for the plug-in says which of its instances it is about."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: datetime | None = None  # noqa: N815 - as it is written


def items(document: Any) -> Iterator[tuple[str, Any]]:
    """Return the notifications of a list."""
    if not isinstance(document, list):
        wrong = Flaw("", "must be a list: Format JSON, Metrics false, Notifications true")
        raise RejectedError(
            "this is no list of notifications of collectd", reason=Reason.MALFORMED, flaws=[wrong]
        )
    return ((f"/{index}", one) for index, one in enumerate(document))


def read(said: Notification, told: Told) -> Stated:
    """Return what a notification says."""
    labels, notes = said.labels, said.annotations
    missing = [name for name in ("alertname", "instance", "severity") if not labels.get(name)]
    if missing:
        raise RejectedError(
            "not a notification", flaws=[Flaw(f"/labels/{name}", "required") for name in missing]
        )
    plugin = labels["alertname"].removeprefix("collectd_").partition("_")[0]
    instance = labels.get(plugin, "")
    is_asserted = notes.get("assert") == "true"
    is_over = labels["severity"] == OKAY and not is_asserted
    status, severity = (UP, CLEARED) if is_over else (DOWN, "")
    if not is_over and labels["severity"] != OKAY:
        severity = severity_word(labels["severity"])
    resource = instance if plugin == "ping" and instance else labels["instance"]
    mark = "/".join((labels["alertname"], instance, labels.get("type", "")))
    kind = _type(plugin, labels, notes)
    details = {
        "hostname": resource,
        "status": status,
        "severity": severity,
        "source": told.source,
        "monitor_id": NAME,
        "monitor_event_id": mark,
        "type": kind,
        "cause": notes.get("summary") or None,
        "reporter": labels["instance"],
        "plugin": plugin,
        "plugin_instance": instance,
    }
    event = RawEvent(
        time=said_or_received(said.startsAt, told.received),
        type=kind,
        resource=resource,
        source=told.source,
        status=status,
        severity=severity,
        monitor_event_id=mark,
        raw_details=encoded(details, {"labels": labels, "annotations": notes}),
    )
    return Stated(event)


def _type(plugin: str, labels: dict[str, str], notes: dict[str, str]) -> str:
    if plugin == "connectivity" and labels.get("type") == "interface_status":
        return NIC
    is_supply = labels["alertname"] == "collectd_ipmi_power_supply"
    if is_supply and notes.get("offset") in POWER_FAULTS:
        return POWER
    return labels["alertname"]


payload = Payload(Notification, items, read)
