"""What devices answer when they are asked, as what is wrong with them.

In come the rows of tables, out goes what stands. A port that was never up is none that fails: switches have many without a
cable. There is no socket and no clock here.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from doctor.drivers.monitors.snmp.ber import Value
from doctor.drivers.monitors.snmp.facts import IF_ENTRY, IF_NAME, part_name, text_of
from doctor.drivers.monitors.snmp.mapping import LimitRule, TableRule
from doctor.kit.pattern import pattern
from doctor.model.event import DOWN

Walked = Mapping[str, Mapping[str, Value]]  # by column and row

IF_ADMIN, IF_OPER, IF_DESCR = f"{IF_ENTRY}.7", f"{IF_ENTRY}.8", f"{IF_ENTRY}.2"
PORT_COLUMNS = (IF_ADMIN, IF_OPER, IF_NAME)
ADMIN_UP, OPER_UP = 1, 1
CARRIES_NOTHING = (
    2,
    6,
    7,
)  # down, not present, a lower layer is down; what is unknown or dormant may carry something

SENSOR = "1.3.6.1.2.1.99.1.1.1"
S_TYPE, S_SCALE, S_PRECISION, S_VALUE, S_STATUS = (f"{SENSOR}.{number}" for number in range(1, 6))
ENTITY_NAME = "1.3.6.1.2.1.47.1.1.1.1.7"
SENSOR_COLUMNS = (S_TYPE, S_SCALE, S_PRECISION, S_VALUE, S_STATUS, ENTITY_NAME)
UNITS = {3: "volts", 4: "volts", 5: "amperes", 6: "watts", 7: "hertz", 8: "celsius", 9: "percent", 10: "rpm"}
SCALE_OF_ONE = 9
IS_OK = 1


class Port(NamedTuple):
    """A port: its name, and whether it is wanted to be up and is."""

    number: int
    name: str
    is_wanted: bool
    carries: bool | None


class Wrong(NamedTuple):
    """Something that is wrong with a part of a device: of which type, by which key, how bad, and in words."""

    type: str
    key: str
    part: str
    status: str
    severity: str
    cause: str


def ports_of(walked: Walked) -> list[Port]:
    """Return the ports of a device."""
    found = []
    names = walked.get(IF_NAME, {}) or walked.get(IF_DESCR, {})
    for index, oper in walked.get(IF_OPER, {}).items():
        if not index.isdigit():
            continue
        name = part_name(text_of(names.get(index))) or f"if{index}"
        carries = True if oper == OPER_UP else False if oper in CARRIES_NOTHING else None
        found.append(Port(int(index), name, walked.get(IF_ADMIN, {}).get(index) == ADMIN_UP, carries))
    return found


class Ports:
    """Which ports were up since we look."""

    def __init__(self) -> None:
        self._were_up: dict[str, set[str]] = {}

    def look(
        self, device: str, ports: Iterable[Port], mapped: Container[str]
    ) -> tuple[dict[str, str], list[str]]:
        """Return the ports that are down, with the reason, and others that are down and no news by themselves.

        ``mapped`` are the names in the resource map: what hangs on such a port is known.
        """
        told: dict[str, str] = {}
        kept: list[str] = []
        were_up = self._were_up.setdefault(device, set())
        for port in ports:
            if port.carries is not False:
                were_up.add(port.name)
            elif f"{device}:{port.name}" in mapped or (port.name in were_up and port.is_wanted):
                told[port.name] = "it carries nothing" if port.is_wanted else "the port was set down"
            else:
                kept.append(port.name)
        return told, kept

    def keep(self, devices: Iterable[str]) -> None:
        """Forget all but these devices."""
        wanted = set(devices)
        for gone in self._were_up.keys() - wanted:
            del self._were_up[gone]


def columns_of(table: TableRule) -> list[str]:
    """Return what is asked for to look at a table."""
    return [table.column] if table.part is None else [table.column, table.part]


def wrong_in(table: TableRule, walked: Walked) -> Iterator[Wrong]:
    """Return what is wrong by a table."""
    down = {str(value) for value in table.down}
    names = {} if table.part is None else walked.get(table.part, {})
    for index, value in walked.get(table.column, {}).items():
        said = text_of(value)
        if said not in down:
            continue
        part = part_name(text_of(names.get(index))) or ("" if index == "0" else index)
        severity = table.severity if isinstance(table.severity, str) else table.severity.get(said, "")
        status = table.states.get(said, DOWN)
        cause = f"{table.name} {part} is {status if status != DOWN else said}".replace("  ", " ")
        yield Wrong(table.type, table.key, part, status, severity, cause)


def readings_of(walked: Walked) -> Iterator[tuple[str, str, float]]:
    """Return the name, unit and value of each sensor that works."""
    for index, raw in walked.get(S_VALUE, {}).items():
        kind, scale, precision, status = (
            walked.get(column, {}).get(index) for column in (S_TYPE, S_SCALE, S_PRECISION, S_STATUS)
        )
        if not isinstance(raw, int) or not isinstance(kind, int) or kind not in UNITS or status != IS_OK:
            continue
        exponent = 3 * (scale - SCALE_OF_ONE) if isinstance(scale, int) and 1 <= scale <= 17 else 0
        exponent -= precision if isinstance(precision, int) and -8 <= precision <= 9 else 0
        name = part_name(text_of(walked.get(ENTITY_NAME, {}).get(index))) or index
        yield name, UNITS[kind], raw * 10.0**exponent


def beyond(limits: Iterable[LimitRule], walked: Walked) -> Iterator[Wrong]:
    """Return which sensors read what they should not; of several limits the first counts."""
    rules = tuple(limits)
    for name, unit, value in readings_of(walked):
        for rule in rules:
            if rule.unit != unit or not pattern(rule.sensor.lower())(name.lower()):
                continue
            if rule.above is not None and value > rule.above:
                bound = f"above {rule.above:g}"
            elif rule.below is not None and value < rule.below:
                bound = f"below {rule.below:g}"
            else:
                continue
            yield Wrong(
                rule.type, "reading", name, DOWN, rule.severity, f"{name} reads {value:g} {unit}, {bound}"
            )
            break
