"""What a service that speaks Redfish answers, as findings.

Vendors fill in what they like, and leave out what they like: whatever is not there says nothing, whatever makes no sense
is counted. Health that a BMC states counts as much as a threshold that a reading has crossed: many state only one of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from doctor.drivers.monitors.bmc.findings import (
    CHASSIS_DEGRADED,
    CPU_CORRECTED,
    CPU_FAILURE,
    HOST_DOWN,
    MEMORY_CORRECTED,
    MEMORY_FAILURE,
    POWER_DEGRADED,
    Finding,
    Look,
    printable,
)
from doctor.model.fault import Severity

MOST_ITEMS = 512  # sensors of one kind; more are counted as flaws
SYSTEMS = "/redfish/v1/Systems/"
OFF = "Off"
RUN_WITH_THE_HOST = ("fan", "voltage")  # without power they are low, and nothing is wrong with them
HEALTH = {"OK": None, "Warning": Severity.WARNING, "Critical": Severity.MAJOR}  # the host still runs
UPPER = {
    "UpperThresholdNonCritical": Severity.WARNING,
    "UpperThresholdCritical": Severity.MAJOR,
    "UpperThresholdFatal": Severity.CRITICAL,
}
LOWER = {
    "LowerThresholdNonCritical": Severity.WARNING,
    "LowerThresholdCritical": Severity.MAJOR,
    "LowerThresholdFatal": Severity.CRITICAL,
}
THRESHOLDS = {  # of a Sensor
    "UpperCaution": ("UpperThresholdNonCritical"),
    "UpperCritical": ("UpperThresholdCritical"),
    "UpperFatal": ("UpperThresholdFatal"),
    "LowerCaution": ("LowerThresholdNonCritical"),
    "LowerCritical": ("LowerThresholdCritical"),
    "LowerFatal": ("LowerThresholdFatal"),
}

Document = Mapping[str, Any]


class Answers(NamedTuple):
    """What was read of one host: its system, the chassis that it is in, and what these have.

    ``fans``, ``supplies`` and ``sensors`` are of services that have each of them for itself.
    """

    path: str
    system: Document
    chassis: Sequence[Document] = ()
    thermal: Sequence[Document] = ()
    power: Sequence[Document] = ()
    fans: Sequence[Document] = ()
    supplies: Sequence[Document] = ()
    sensors: Sequence[Document] = ()


def read(answers: Answers) -> Look:
    """Return what is wrong by these answers."""
    reader = _Reader(answers.path)
    findings = list(reader.findings(answers))
    return Look(findings, flaws=reader.flaws)


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path.rstrip("/")
        self._is_on = True
        self.flaws = 0

    def findings(self, answers: Answers) -> Iterator[Finding]:
        yield from self._power(answers.system)
        found = [*self._parts(answers)]
        yield from found
        if not found:  # what it says of the whole is news only if no part of it is known to be the cause
            yield from self._whole(answers.system, "system")
            for index, chassis in enumerate(answers.chassis):
                yield from self._whole(chassis, f"chassis {index}")

    def _power(self, system: Document) -> Iterator[Finding]:
        state = system.get("PowerState")
        if state is not None and not isinstance(state, str):
            self.flaws += 1
        elif state == OFF:
            self._is_on = False
            yield Finding(
                HOST_DOWN,
                "power",
                Severity.CRITICAL,
                "its BMC says that it has no power",
                {"power_state": OFF},
            )

    def _parts(self, answers: Answers) -> Iterator[Finding]:
        yield from self._summary(answers.system, "MemorySummary", "memory", MEMORY_FAILURE, MEMORY_CORRECTED)
        yield from self._summary(answers.system, "ProcessorSummary", "processors", CPU_FAILURE, CPU_CORRECTED)
        for document in answers.thermal:
            for one in self._items(document, "Temperatures"):
                yield from self._measured(
                    one, "temperature", CHASSIS_DEGRADED, "ReadingCelsius", "degrees Celsius"
                )
            for one in self._items(document, "Fans"):
                yield from self._measured(one, "fan", CHASSIS_DEGRADED, "Reading", _units(one))
            for one in self._items(document, "Redundancy"):
                yield from self._stated(one, "cooling redundancy", CHASSIS_DEGRADED)
        for document in answers.power:
            for one in self._items(document, "PowerSupplies"):
                yield from self._stated(one, "power supply", POWER_DEGRADED)
            for one in self._items(document, "Voltages"):
                yield from self._measured(one, "voltage", POWER_DEGRADED, "ReadingVolts", "V")
            for one in self._items(document, "Redundancy"):
                yield from self._stated(one, "power redundancy", POWER_DEGRADED)
        for one in answers.fans:
            yield from self._stated(one, "fan", CHASSIS_DEGRADED)
        for one in answers.supplies:
            yield from self._stated(one, "power supply", POWER_DEGRADED)
        for one in answers.sensors:
            yield from self._sensor(one)

    def _summary(
        self, system: Document, key: str, part: str, failure: str, corrected: str
    ) -> Iterator[Finding]:
        summary = self._mapping(system, key)
        severity = self._health(summary)
        if severity is not None:
            kind = failure if severity > Severity.WARNING else corrected
            worst = Severity.CRITICAL if kind == failure else severity
            yield Finding(kind, part, worst, f"its BMC says that its {part} are not well", {"part": part})

    def _whole(self, document: Document, part: str) -> Iterator[Finding]:
        severity = self._health(document)
        if severity is not None:
            yield Finding(
                CHASSIS_DEGRADED, part, severity, f"its BMC says that the {part} is not well", {"part": part}
            )

    def _stated(self, one: Document, what: str, kind: str) -> Iterator[Finding]:
        severity = self._health(one)
        if severity is not None and self._is_ours(one):
            name = _name(one)
            yield Finding(kind, f"{what} {name}", severity, f"{what} {name} is not well", {"part": name})

    def _measured(self, one: Document, what: str, kind: str, key: str, units: str) -> Iterator[Finding]:
        if not _is_there(one) or not self._is_ours(one):
            return
        if not self._is_on and what in RUN_WITH_THE_HOST:
            return
        reading = self._number(one, key)
        crossed, limit = self._crossed(one, reading, is_hot=what == "temperature")
        stated = self._health(one)
        severity = max((one for one in (crossed, stated) if one is not None), default=None)
        if severity is None:
            return
        name = _name(one)
        value = "" if reading is None else f": {reading:g} {units}"
        beyond = "" if limit is None else f", and {limit:g} is the limit"
        details = {"part": name, "reading": reading, "units": units, "threshold": limit}
        yield Finding(kind, f"{what} {name}", severity, f"{what} {name} is not well{value}{beyond}", details)

    def _sensor(self, one: Document) -> Iterator[Finding]:
        what = {"Temperature": "temperature", "Rotational": "fan", "Voltage": "voltage"}.get(
            str(one.get("ReadingType"))
        )
        if what is None:
            return
        limits = self._mapping(one, "Thresholds")
        flat = {
            THRESHOLDS[key]: self._mapping(limits, key).get("Reading") for key in THRESHOLDS if key in limits
        }
        kind = POWER_DEGRADED if what == "voltage" else CHASSIS_DEGRADED
        units = printable(one.get("ReadingUnits") or "", 20)
        yield from self._measured({**one, **flat}, what, kind, "Reading", units)

    def _crossed(
        self, one: Document, reading: float | None, *, is_hot: bool
    ) -> tuple[Severity | None, float | None]:
        """Return how bad a reading is by the thresholds, and the one it has crossed.

        A temperature with a limit of zero or less has none: that is how some BMCs leave it out.
        """
        worst: tuple[Severity | None, float | None] = (None, None)
        if reading is None:
            return worst
        for key, severity in UPPER.items():
            limit = self._number(one, key)
            if limit is not None and reading >= limit and not (is_hot and limit <= 0):
                worst = severity, limit
        for key, severity in LOWER.items():
            limit = self._number(one, key)
            if limit is not None and reading < limit:
                worst = severity, limit
        return worst

    def _is_ours(self, one: Document) -> bool:
        """Tell whether something is of our system too, where several are in one chassis."""
        related = [str(item.get("@odata.id", "")) for item in self._items(one, "RelatedItem")]
        systems = [path for path in related if path.startswith(SYSTEMS)]
        chassis = [path for path in related if not path.startswith(SYSTEMS)]
        return (
            not systems
            or bool(chassis)
            or any(path == self._path or path.startswith(self._path + "/") for path in systems)
        )

    def _health(self, document: Document) -> Severity | None:
        """Return how bad it is by what is stated; nothing, an unknown word and what is not there are not bad."""
        if not _is_there(document):
            return None
        status = self._mapping(document, "Status")
        health = status.get("Health") or status.get("HealthRollup") or status.get("HealthRollUp") or "OK"
        if not isinstance(health, str) or health not in HEALTH:
            self.flaws += 1
            return None
        return HEALTH[health]

    def _mapping(self, document: Document, key: str) -> Document:
        found = document.get(key)
        if isinstance(found, dict):
            return found
        if found is not None:
            self.flaws += 1
        return {}

    def _items(self, document: Document, key: str) -> Iterator[Document]:
        found = document.get(key)
        if found is None:
            return
        if not isinstance(found, list):
            self.flaws += 1
            return
        self.flaws += max(len(found) - MOST_ITEMS, 0)
        for one in found[:MOST_ITEMS]:
            if isinstance(one, dict):
                yield one
            else:
                self.flaws += 1

    def _number(self, document: Document, key: str) -> float | None:
        found = document.get(key)
        if found is None:
            return None
        if (
            isinstance(found, bool)
            or not isinstance(found, int | float)
            or abs(found) > 1e9
            or found != found
        ):
            self.flaws += 1
            return None
        return float(found)


def _is_there(document: Document) -> bool:
    """Tell whether something is there and works at all: an empty slot is no failure."""
    status = document.get("Status")
    state = status.get("State") if isinstance(status, dict) else None
    return state not in ("Absent", "Disabled", "InTest", "Starting", "Updating")


def _name(one: Document) -> str:
    """Return what tells one sensor from others: its name may be there twice, and its number may change with a slot."""
    number = one.get("MemberId", one.get("Id", ""))
    return printable(f"{one.get('Name') or one.get('FanName') or ''} {number}") or "without a name"


def _units(one: Document) -> str:
    return printable(one.get("ReadingUnits") or "RPM", 20)
