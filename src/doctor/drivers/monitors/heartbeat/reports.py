"""What is found out about hosts by their heartbeats as raw events."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from doctor.drivers.monitors.heartbeat.verdicts import AgentSilent, Unreachable
from doctor.drivers.monitors.ping.reports import HOST_DOWN
from doctor.model.event import RawEvent
from doctor.model.fault import Severity
from doctor.model.resource import HOST
from doctor.model.vantage import VANTAGE

SILENT = "monitor.silent"
RESTARTED = "hypervisor.restarted"
UNREACHABLE = "hypervisor.unreachable"


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


def report_reach(verdict: Unreachable, *, source: str, now: datetime) -> RawEvent:
    """Return the event that we cannot reach a host that its peers hear, or that this is over."""
    cause = "no heartbeat and no answer to ping here, and its peers hear it"
    return _on_host(
        UNREACHABLE,
        verdict.host,
        "down" if verdict.is_unreachable else "up",
        cause if verdict.is_unreachable else "it is heard again, or its peers do not hear it either",
        source=source,
        now=now,
    )


def report_peers(host: str, *, is_dead: bool, peers: Collection[str], source: str, now: datetime) -> RawEvent:
    """Return the event that the peers of a host hear it no more, or that they need not be asked any more."""
    return _on_host(
        HOST_DOWN,
        host,
        "down" if is_dead else "up",
        "its peers do not hear it" if is_dead else "it is heard",
        source=source,
        now=now,
        peers=sorted(peers),
    )


def _on_host(
    kind: str, host: str, status: str, cause: str, *, source: str, now: datetime, **more: object
) -> RawEvent:
    details = {
        "hostname": host,
        "status": status,
        "source": source,
        "monitor_event_id": host,
        "cause": cause,
        **more,
    }
    return RawEvent(
        time=now,
        type=kind,
        resource=host,
        resource_type=HOST,
        source=source,
        status=status,
        monitor_event_id=host,
        raw_details=msgspec.json.encode(details),
    )
