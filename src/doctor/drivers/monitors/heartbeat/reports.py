"""What is found out about hosts by their heartbeats as raw events."""

from datetime import datetime

import msgspec

from doctor.drivers.monitors.heartbeat.verdicts import AgentSilent
from doctor.model.event import RawEvent
from doctor.model.fault import Severity
from doctor.model.resource import HOST
from doctor.model.vantage import VANTAGE

SILENT = "monitor.silent"
RESTARTED = "hypervisor.restarted"


def agent_of(host: str) -> str:
    """Return what the agent of a host is called: a monitor, which is no resource of any map."""
    return f"agent@{host}"


def report_agent(verdict: AgentSilent, *, source: str, now: datetime) -> RawEvent:
    """Return the event that an agent is silent on a host that answers, or speaks again. It is the Administrator's."""
    status = "down" if verdict.is_silent else "up"
    severity = (Severity.WARNING if verdict.is_silent else Severity.CLEARED).perceived
    details = {
        "resource_id": agent_of(verdict.host),
        "resource_type": VANTAGE,
        "agent_host": verdict.host,
        "status": status,
        "severity": severity,
        "source": source,
        "monitor_event_id": verdict.host,
        "cause": "no heartbeat, and the host answers" if verdict.is_silent else "heartbeats come again",
    }
    return RawEvent(
        time=now,
        type=SILENT,
        resource=agent_of(verdict.host),
        resource_type=VANTAGE,
        source=source,
        status=status,
        severity=severity,
        monitor_event_id=verdict.host,
        raw_details=msgspec.json.encode(details),
    )


def report_restart(host: str, *, was_boot: bytes, boot: bytes, source: str, now: datetime) -> RawEvent:
    """Return the event that a host has started anew: what ran on it runs no more."""
    details = {
        "hostname": host,
        "status": "down",
        "source": source,
        "monitor_event_id": f"{host} {boot.hex()}",
        "cause": "the host has another boot id than before",
        "boot_id": boot.hex(),
        "boot_id_before": was_boot.hex(),
    }
    return RawEvent(
        time=now,
        type=RESTARTED,
        resource=host,
        resource_type=HOST,
        source=source,
        status="down",
        monitor_event_id=f"{host} {boot.hex()}",
        raw_details=msgspec.json.encode(details),
    )
