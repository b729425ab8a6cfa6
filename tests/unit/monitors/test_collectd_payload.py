"""What notifications of collectd mean."""

from typing import Any

import pytest

from doctor.drivers.monitors.collectd.payload import payload
from doctor.model.errors import RejectedError
from tests.unit.monitors.payloads import NOW, sample, the_event, understood

CAPTURED = [
    pytest.param(
        "connectivity_down", "compute.host.nic.error", "compute-1", "down", "critical", id="link-down"
    ),
    pytest.param("connectivity_up", "compute.host.nic.error", "compute-1", "up", "cleared", id="link-up"),
    pytest.param(
        "ping_droprate_failure", "collectd_ping_droprate", "10.99.0.2", "down", "critical", id="ping"
    ),
    pytest.param(
        "ping_droprate_okay", "collectd_ping_droprate", "10.99.0.2", "up", "cleared", id="ping-okay"
    ),
    pytest.param("ipmi_threshold", "compute.power.degraded", "compute-1", "down", "", id="psu-that-is-okay"),
]


@pytest.mark.parametrize(("name", "kind", "resource", "status", "severity"), CAPTURED)
def test_what_was_captured_is_understood(
    name: str, kind: str, resource: str, status: str, severity: str
) -> None:
    event = the_event(payload, sample(f"collectd/write_http_notification_{name}.json"))
    assert (event.type, event.resource, event.status, event.severity) == (kind, resource, status, severity)


def test_the_clock_of_a_bmc_is_not_believed() -> None:
    """It says 1970, as it was captured."""
    assert the_event(payload, sample("collectd/write_http_notification_ipmi_threshold.json")).time == NOW


def test_the_end_is_of_the_same_thing() -> None:
    down, up = (
        the_event(payload, sample(f"collectd/write_http_notification_connectivity_{way}.json"))
        for way in ("down", "up")
    )
    assert down.monitor_event_id == up.monitor_event_id == "collectd_connectivity_gauge/h3c0/interface_status"


def supply(**notes: str) -> list[dict[str, Any]]:
    (said,) = sample("collectd/write_http_notification_ipmi_threshold.json")
    said["annotations"].update(notes)
    return [said]


def test_that_there_is_a_power_supply_is_no_fault_of_it() -> None:
    present = the_event(payload, supply(offset="0"))
    assert present.type == "collectd_ipmi_power_supply"
    over = the_event(payload, supply(**{"assert": "false"}))
    assert (over.type, over.status) == ("compute.power.degraded", "up")


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        pytest.param({}, [""], id="no-list"),
        pytest.param(
            [{"labels": {}}], ["/0/labels/alertname", "/0/labels/instance", "/0/labels/severity"], id="bare"
        ),
        pytest.param([{"values": [1], "dstypes": ["gauge"]}], ["/0/labels"], id="metrics"),
        pytest.param(["x"], ["/0"], id="text"),
    ],
)
def test_what_is_wrong_is_told_with_the_place(document: Any, pointers: list[str]) -> None:
    with pytest.raises(RejectedError) as refused:
        understood(payload, document)
    assert [flaw.pointer for flaw in refused.value.flaws] == pointers
