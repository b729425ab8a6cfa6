"""What a BMC says is wrong with its host, and the raw events that tell of it.

The clock of a BMC is never believed: many count from 1970, and some lose their time with the power. When something was
seen is by our own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from doctor.drivers.monitors.details import encoded
from doctor.model.event import DOWN, UP, RawEvent
from doctor.model.fault import Severity
from doctor.model.resource import HOST
from doctor.model.vantage import VANTAGE

HOST_DOWN = "compute.host.down"
CPU_FAILURE, CPU_CORRECTED = "compute.cpu.failure", "compute.cpu.corrected"
MEMORY_FAILURE, MEMORY_CORRECTED = "compute.memory.failure", "compute.memory.corrected"
DISK_CRASH, DISK_AGING = "compute.disk.crash", "compute.disk.aging"
POWER_DEGRADED = "compute.power.degraded"
CHASSIS_DEGRADED = "compute.chassis.degraded"
MAINBOARD_FAILURE = "compute.mainboard.failure"
OS_CRASH = "compute.os.crash"
LOGGED = "bmc.log"  # what no rule names is kept and counted
SILENT = "monitor.silent"

LONGEST_PART = 120
LONGEST_CAUSE = 300


class Finding(NamedTuple):
    """Something that is wrong. ``part`` tells it from others of its type on the same host, and stays the same."""

    type: str
    part: str
    severity: Severity
    cause: str
    details: Mapping[str, Any] = {}


class Record(NamedTuple):
    """What a BMC wrote into its log, which nothing else shows; ``is_over``: it wrote that this has ended."""

    finding: Finding
    is_over: bool = False


class Look(NamedTuple):
    """What a look at a BMC has found.

    ``flaws`` is how much of its answers made no sense, ``lost`` how many records of its log were overwritten or cleared
    before they could be read.
    """

    findings: Sequence[Finding] = ()
    records: Sequence[Record] = ()
    flaws: int = 0
    lost: int = 0


def printable(text: object, longest: int = LONGEST_PART) -> str:
    """Return a text of a BMC as it can be told: in one line, of a sane length."""
    said = "".join(char if char.isprintable() else " " for char in str(text)[: 2 * longest])
    return " ".join(said.split())[:longest].strip()


def ledger_of(driver: str, host: str) -> str:
    """Return under what name is kept what stands at the BMC of a host: each is asked by itself."""
    return f"{driver} {host}"


def event_of(finding: Finding, host: str, *, driver: str, source: str, time: datetime) -> RawEvent:
    """Return the event that something stands."""
    kept = {
        "monitor_id": ledger_of(driver, host),
        "type": finding.type,
    }  # by which it is known after a restart
    return _event(finding, host, kept, is_over=False, source=source, time=time)


def event_of_record(record: Record, host: str, *, source: str, time: datetime) -> RawEvent:
    """Return the event of a record. It is in no list: it stands until a record or a person says that it is over."""
    return _event(record.finding, host, {"is_of_log": True}, is_over=record.is_over, source=source, time=time)


def _event(
    finding: Finding, host: str, more: Mapping[str, Any], *, is_over: bool, source: str, time: datetime
) -> RawEvent:
    part = printable(finding.part)
    status = UP if is_over else DOWN
    severity = (Severity.CLEARED if is_over else finding.severity).perceived
    known = {
        "source": source,
        "monitor_event_id": part,
        "hostname": host,
        "status": status,
        "severity": severity,
        "cause": printable(finding.cause, LONGEST_CAUSE),
        **more,
        **finding.details,
    }
    return RawEvent(
        time=time,
        type=finding.type,
        resource=host,
        resource_type=HOST,
        source=source,
        status=status,
        severity=severity,
        monitor_event_id=part,
        raw_details=encoded(known, {}),
    )


def bmc_of(host: str) -> str:
    """Return what the BMC of a host is called: a monitor, which is no resource of any map."""
    return f"bmc@{host}"


def report_bmc(host: str, trouble: str | None, *, source: str, time: datetime) -> RawEvent:
    """Return the event that a BMC cannot be read, and why, or that it can (None). It is the Administrator's."""
    status = UP if trouble is None else DOWN
    severity = (Severity.CLEARED if trouble is None else Severity.WARNING).perceived
    known = {
        "resource_id": bmc_of(host),
        "resource_type": VANTAGE,
        "bmc_host": host,
        "status": status,
        "severity": severity,
        "source": source,
        "monitor_event_id": host,
        "cause": printable("it answers" if trouble is None else trouble, LONGEST_CAUSE),
    }
    return RawEvent(
        time=time,
        type=SILENT,
        resource=bmc_of(host),
        resource_type=VANTAGE,
        source=source,
        status=status,
        severity=severity,
        monitor_event_id=host,
        raw_details=encoded(known, {}),
    )
