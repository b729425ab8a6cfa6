"""What a notice of a device means, as a raw event.

In comes what was said, whose device that is and the rules; out goes the event. There is no socket and no clock here: the
time is when the notice came, for devices count from their own start or from 1970.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from doctor.drivers.monitors.details import CLEARED, encoded
from doctor.drivers.monitors.snmp.ber import Missing, Value
from doctor.drivers.monitors.snmp.mapping import OWN_TYPE, UNMAPPED, TrapRule
from doctor.drivers.monitors.snmp.message import Binding, Notice
from doctor.kit.pattern import pattern
from doctor.model.event import DOWN, UP, RawEvent
from doctor.model.fault import Severity
from doctor.model.vantage import VANTAGE
from doctor.ports.payload import Happened, Stated

KIND = "snmp"
NIC = "nic"
LONGEST_PART = 80
MOST_SHOWN = 32  # bindings

IF_ENTRY, IF_NAME = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1.1"
IF_INDEX, IF_DESCR, IF_ADMIN = f"{IF_ENTRY}.1", f"{IF_ENTRY}.2", f"{IF_ENTRY}.7"
ADMIN_DOWN = 2
PORT_DOWN, LINK_DOWN = "network.port.down", "1.3.6.1.6.3.1.1.5.3"
SILENT = "monitor.silent"
PORT, READING, SILENCE = "port", "reading", "silence"  # keys of what no table is about


def mark_of(key: str, part: str = "") -> str:
    """Return what tells a thing that is wrong with a device from others; all of one key begin the same."""
    return f"{key}: {part}".rstrip()


class Device(NamedTuple):
    """A resource of the map that speaks SNMP."""

    id: str
    type: str


class Origin(NamedTuple):
    """From where a notice is: the device, who says so (the name of the source), by which version, and when it came."""

    device: Device
    source: str
    version: str
    received: datetime


class PortNames:
    """What the ports of devices are called, by their numbers: most traps have only those."""

    def __init__(self) -> None:
        self._names: dict[str, dict[int, str]] = {}

    def learn(self, device: str, names: Mapping[int, str]) -> None:
        """Take all names of a device."""
        self._names[device] = dict(names)

    def hears(self, device: str, number: int, name: str) -> None:
        """Take one that a trap has said."""
        self._names.setdefault(device, {})[number] = name

    def name(self, device: str, number: int) -> str:
        """Return what a port is called; one without a name by its number."""
        return self._names.get(device, {}).get(number) or f"if{number}"

    def keep(self, devices: Iterable[str]) -> None:
        """Forget all but these devices."""
        wanted = set(devices)
        for gone in self._names.keys() - wanted:
            del self._names[gone]


def text_of(value: Value) -> str:
    """Return a value in words that can be printed."""
    match value:
        case bytes():
            text = value.rstrip(b"\0").decode(errors="replace")
            return text if text.isprintable() else value.hex(" ")
        case Missing() | None:
            return ""
        case _:
            return str(value)


def part_name(text: str) -> str:
    """Return the name of a part as it can be shown and used in an id."""
    shown = "".join(char if char.isprintable() else "?" for char in text).strip()
    return shown[:LONGEST_PART]


def _at(bindings: Iterable[Binding], column: str | None) -> Binding | None:
    """Return the binding of an object: of any row, where it is a column."""
    if column is None:
        return None
    below = f"{column}."
    return next((one for one in bindings if one[0].startswith(below) or one[0] == column), None)


def _value(bindings: Iterable[Binding], column: str | None) -> str:
    found = _at(bindings, column)
    return "" if found is None else text_of(found[1])


@lru_cache(maxsize=256)
def _finder(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


def state_of(notice: Notice, rule: TrapRule) -> str | None:
    """Return whether what a trap tells of stands or has ended; None: it says neither."""
    if rule.by is None:
        return rule.status or ("" if not rule.type else DOWN)
    said = _value(notice.bindings, rule.by)
    if said in map(str, rule.down):
        return DOWN
    return UP if said in map(str, rule.up) else None


def port_of(notice: Notice, device: Device, names: PortNames) -> str | None:
    """Return the name of the port that a trap is about, and learn it; None if it says none."""
    found = _at(notice.bindings, IF_INDEX) or _at(notice.bindings, IF_ENTRY)
    if found is None:
        return None
    tail = found[0].rpartition(".")[2]
    number = found[1] if found[0].startswith(f"{IF_INDEX}.") and isinstance(found[1], int) else int(tail)
    name = part_name(_value(notice.bindings, IF_NAME) or _value(notice.bindings, IF_DESCR))
    if name:
        names.hears(device.id, number, name)
    return names.name(device.id, number)


def fact_of(
    notice: Notice, origin: Origin, rule: TrapRule | None, names: PortNames
) -> Stated | Happened | None:
    """Return what a notice means by its rule; None: it is of a kind that is known, and says nothing that counts."""
    if rule is None:
        return Happened(_event(notice, origin, UNMAPPED, notice.trap, "", notice.trap, {}))
    status = state_of(notice, rule)
    if status is None:
        return None
    kind = _kind(notice, rule)
    if not status:
        return Happened(_event(notice, origin, kind, rule.name, "", rule.name, {}, name=rule.name))
    severity = CLEARED if status == UP else _severity(notice, rule)
    if rule.about == "port":
        return _of_port(notice, origin, rule, status, names)
    part = _part(notice, rule)
    mark = mark_of(rule.key or kind, part)
    cause = _value(notice.bindings, rule.text) or f"{rule.name} {part}".rstrip()
    event = _event(
        notice, origin, kind, mark, status, cause, {"part": part}, severity=severity, name=rule.name
    )
    over = rule.over_after
    return Stated(event, None if over is None or status == UP else origin.received + over)


def _of_port(notice: Notice, origin: Origin, rule: TrapRule, status: str, names: PortNames) -> Stated | None:
    port = port_of(notice, origin.device, names)
    if port is None:
        return None
    is_wanted = _value(notice.bindings, IF_ADMIN) == str(ADMIN_DOWN)
    return port_fact(
        origin,
        port,
        status,
        "the port was set down" if is_wanted and status == DOWN else rule.name,
        {"trap": rule.name, **_shown(notice)},
        severity=_severity(notice, rule),
        kind=rule.type,
    )


def port_fact(
    origin: Origin,
    port: str,
    status: str,
    cause: str,
    more: Mapping[str, Any],
    *,
    severity: str = "",
    kind: str = PORT_DOWN,
) -> Stated:
    """Return that a port is down, or up again: it has an id of its own, which the map may know."""
    resource = f"{origin.device.id}:{port}"
    return Stated(
        _made(
            origin,
            kind,
            f"{origin.device.id} {mark_of(PORT, port)}",
            status,
            cause,
            {"resource_type": NIC, "interface": port, **more},
            severity=CLEARED if status == UP else severity,
            resource=resource,
            resource_type=NIC,
        )
    )


def wrong_fact(
    origin: Origin, kind: str, mark: str, status: str, cause: str, *, severity: str, part: str
) -> Stated:
    """Return that something is wrong with a part of a device, as it answers."""
    return Stated(
        _made(
            origin,
            kind,
            f"{origin.device.id} {mark}",
            status,
            cause,
            {"part": part},
            severity=severity,
            resource=origin.device.id,
        )
    )


def silence_fact(origin: Origin, why: str) -> Stated:
    """Return that a device does not answer: a fault of its agent, which is no resource of any map."""
    agent = f"{KIND}@{origin.device.id}"
    return Stated(
        _made(
            origin,
            SILENT,
            f"{origin.device.id} {mark_of(SILENCE)}",
            DOWN,
            why,
            {"resource_type": VANTAGE},
            severity=Severity.WARNING.perceived,
            resource=agent,
            resource_type=VANTAGE,
        )
    )


def _kind(notice: Notice, rule: TrapRule) -> str:
    said = _value(notice.bindings, rule.kind_by)
    found = next((one.type for one in rule.kinds if pattern(one.fits)(said)), rule.type)
    return found or OWN_TYPE + rule.name


def _severity(notice: Notice, rule: TrapRule) -> str:
    if isinstance(rule.severity, str):
        return rule.severity
    return rule.severity.get(_value(notice.bindings, rule.by), "")


def _part(notice: Notice, rule: TrapRule) -> str:
    if rule.part_from:
        match = _finder(rule.part_from).search(_value(notice.bindings, rule.text))
        return "" if match is None else part_name(match[1])
    found = _at(notice.bindings, rule.part)
    if found is None or rule.part is None:
        return ""
    name, value = found
    text = part_name(text_of(value)) if isinstance(value, bytes) else ""
    return text or name.removeprefix(f"{rule.part}.")


def _shown(notice: Notice) -> dict[str, Any]:
    return {"trap_oid": notice.trap, "uptime": notice.uptime // 100, "values": notice.bindings[:MOST_SHOWN]}


def _event(
    notice: Notice,
    origin: Origin,
    kind: str,
    mark: str,
    status: str,
    cause: str,
    more: Mapping[str, Any],
    *,
    severity: str = "",
    name: str = "",
) -> RawEvent:
    return _made(
        origin,
        kind,
        f"{origin.device.id} {mark}",
        status,
        cause,
        {"trap": name or notice.trap, **more, **_shown(notice)},
        severity=severity,
        resource=origin.device.id,
    )


def _made(
    origin: Origin,
    kind: str,
    mark: str,
    status: str,
    cause: str,
    more: Mapping[str, Any],
    *,
    severity: str,
    resource: str,
    resource_type: str = "",
) -> RawEvent:
    known = dict(more)
    values = {name: text_of(value) for name, value in known.pop("values", ())}
    details = {
        "hostname": resource,
        "status": status,
        "severity": severity,
        "source": origin.source,
        "monitor_id": KIND,
        "monitor_event_id": mark[:255],
        "type": kind,
        "cause": part_name(cause) if len(cause) < LONGEST_PART else cause,
        "device": origin.device.id,
        "snmp": origin.version,
        **known,
    }
    return RawEvent(
        time=origin.received,
        type=kind,
        resource=resource,
        resource_type=resource_type,
        source=origin.source,
        status=status,
        severity=severity,
        monitor_event_id=mark[:255],
        raw_details=encoded(details, {"values": values}),
    )
