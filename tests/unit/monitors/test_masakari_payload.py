"""What notifications of masakari-monitors mean."""

from typing import Any

import pytest

from doctor.drivers.monitors.masakari.payload import payload
from doctor.model.errors import RejectedError
from doctor.ports.payload import Stated
from tests.unit.monitors.payloads import NOW, read, the_event

VM_ID = "5d2b0a5e-0b5a-4c5e-9a52-0d2a1d3a4f10"


def notification(
    kind: str, host: str = "compute-1", *, at: str = "2026-11-21T00:59:58.123456", **content: str
) -> dict[str, Any]:
    """Return a notification, as openstacksdk writes it: its time has no zone."""
    said = {"type": kind, "hostname": host, "generated_time": at, "payload": content}
    return {"notification": said}


def process(event: str = "STOPPED", name: str = "nova-compute") -> dict[str, Any]:
    return notification("PROCESS", process_name=name, event=event)


def host(event: str, status: str = "NORMAL", cluster: str = "OFFLINE") -> dict[str, Any]:
    return notification("COMPUTE_HOST", event=event, host_status=status, cluster_status=cluster)


def machine(event: str, detail: str) -> dict[str, Any]:
    return notification("VM", event=event, instance_uuid=VM_ID, vir_domain_event=detail)


def test_a_process_is_a_service_of_the_cloud_on_its_host() -> None:
    """Machines run on without it."""
    event = the_event(payload, process())
    assert (event.type, event.resource, event.resource_type, event.status) == (
        "vim.service.failure",
        "compute-1:nova-compute",
        "vim_service",
        "down",
    )
    assert event.time.isoformat() == "2026-11-21T00:59:58.123456+00:00"
    assert event.details["reporter"] == "compute-1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        pytest.param("NORMAL", "compute.host.down", id="power-seen-off"),
        pytest.param("UNKNOWN", "hypervisor.unreachable", id="nobody-knows"),
        pytest.param("unknown", "hypervisor.unreachable", id="in-small-letters"),
    ],
)
def test_a_host_is_down_if_its_power_was_seen_to_be_off(status: str, kind: str) -> None:
    event = the_event(payload, host("STOPPED", status))
    assert (event.type, event.resource, event.resource_type, event.status) == (
        kind,
        "compute-1",
        "host",
        "down",
    )


def test_a_host_that_is_back_is_neither_down_nor_unreachable() -> None:
    events = [
        reading.event
        for reading in read(payload, host("Started", cluster="ONLINE"))
        if isinstance(reading, Stated)
    ]
    assert [(one.type, one.resource, one.status) for one in events] == [
        ("compute.host.down", "compute-1", "up"),
        ("hypervisor.unreachable", "compute-1", "up"),
    ]
    stopped = the_event(payload, host("STOPPED"))
    assert stopped.monitor_event_id == events[0].monitor_event_id


@pytest.mark.parametrize(
    ("event", "detail", "kind"),
    [
        ("LIFECYCLE", "STOPPED_FAILED", "compute.instance.down"),
        ("IO_ERROR", "IO_ERROR_REPORT", "compute.instance.error"),
        ("QEMU_GUEST_AGENT_ERROR", "STOPPED_FAILED", "compute.instance.error"),
        ("WATCHDOG", "WATCHDOG_RESET", "compute.instance.error"),
        ("lifecycle", "stopped_failed", "compute.instance.down"),
        ("LIFECYCLE", "STOPPED_DESTROYED", "masakari.vm.lifecycle"),
        ("REBOOT", "UNKNOWN", "masakari.vm.reboot"),
    ],
)
def test_of_machines_only_failures_are_faults(event: str, detail: str, kind: str) -> None:
    said = the_event(payload, machine(event, detail))
    assert (said.type, said.resource, said.resource_type) == (kind, VM_ID, "virtual machine")


def test_a_clock_that_was_never_set_is_not_believed() -> None:
    said = notification("PROCESS", at="1970-01-01T00:00:07", process_name="libvirtd", event="STOPPED")
    assert the_event(payload, said).time == NOW


def test_what_a_sender_says_of_our_own_field_does_not_count() -> None:
    said = host("STOPPED")
    said["notification"]["about"] = "anything"
    assert the_event(payload, said).type == "compute.host.down"


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        pytest.param([], "/notification", id="a-list"),
        pytest.param({"notification": 7}, "/notification", id="no-object"),
        pytest.param(notification("RACK"), "/notification/payload/event", id="no-event"),
        pytest.param(notification("RACK", event="STOPPED"), "/notification/type", id="no-such-type"),
        pytest.param(process("PAUSED"), "/notification/payload/event", id="no-such-event"),
        pytest.param(process(name=""), "/notification/payload/process_name", id="no-process"),
        pytest.param(
            notification("VM", event="LIFECYCLE"), "/notification/payload/instance_uuid", id="no-machine"
        ),
        pytest.param(
            notification("PROCESS", "", process_name="x", event="STOPPED"),
            "/notification/hostname",
            id="no-host",
        ),
        pytest.param(
            notification("PROCESS", at="yesterday", process_name="x", event="STOPPED"),
            "/notification/generated_time",
            id="no-time",
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_place(said: Any, pointer: str) -> None:
    with pytest.raises(RejectedError) as caught:
        read(payload, said)
    assert pointer in [flaw.pointer for flaw in caught.value.flaws]
