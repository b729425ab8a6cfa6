"""What the webhook of Zabbix means."""

from datetime import timedelta
from typing import Any

import pytest

from doctor.drivers.monitors.zabbix.payload import payload
from doctor.model.errors import RejectedError
from doctor.ports.payload import Alive
from tests.unit.monitors.payloads import NOW, read, sample, the_event, understood

TYPED = '[{"tag":"doctor_type","value":"compute.host.down"}]'


def problem(**said: Any) -> dict[str, Any]:
    """Return a problem as the webhook posts it."""
    return {
        "event_id": "18",
        "value": "1",
        "host": "compute-1",
        "name": 'trap "down"',
        "time": "2026-11-21T00:58:43.000Z",
        "nseverity": "5",
        "tags": TYPED,
    } | said


def test_what_was_captured_is_understood() -> None:
    """The times are Zabbix's own, to the second, and the same for problem and heartbeat alike."""
    begins = the_event(payload, sample("zabbix/webhook_problem.json"))
    assert (begins.type, begins.resource, begins.severity) == ("compute.host.down", "compute-1", "critical")
    assert begins.details["cause"] == 'the "state" of compute-1'
    assert begins.time.microsecond == 0
    assert read(payload, sample("zabbix/webhook_heartbeat.json")) == [Alive(NOW + timedelta(seconds=180))]


def test_a_problem_and_its_recovery_are_one_thing() -> None:
    begins = the_event(payload, problem())
    ends = the_event(payload, problem(value="0", time="2026-11-21T00:58:49.000Z"))
    assert (begins.type, begins.resource, begins.status, begins.severity) == (
        *("compute.host.down", "compute-1"),
        *("down", "critical"),
    )
    assert (ends.status, ends.severity, ends.monitor_event_id) == ("up", "cleared", begins.monitor_event_id)


def test_a_webhook_that_is_tried_again_says_the_same_event() -> None:
    assert the_event(payload, problem()).identity == the_event(payload, [problem()]).identity


def test_a_change_of_an_open_problem_is_the_same_event_with_another_severity() -> None:
    before, changed = the_event(payload, problem()), the_event(payload, problem(nseverity="2"))
    assert before.identity == changed.identity
    assert (before.severity, changed.severity) == ("critical", "warning")


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        ("0", "indeterminate"),
        ("1", "indeterminate"),
        ("2", "warning"),
        ("3", "minor"),
        ("4", "major"),
        ("5", "critical"),
    ],
)
def test_the_number_of_a_severity_counts_whatever_it_is_called(number: str, severity: str) -> None:
    assert the_event(payload, problem(nseverity=number)).severity == severity


@pytest.mark.parametrize("tags", ["", "[{", '{"tag": 1}', []])
def test_a_problem_without_tags_that_can_be_read_is_a_problem(tags: Any) -> None:
    assert the_event(payload, problem(tags=tags)).type == "zabbix.problem"


def test_tags_may_be_a_list_and_name_another_resource() -> None:
    tags = [
        {"tag": "doctor_type", "value": "network.switch.down"},
        {"tag": "doctor_resource", "value": "tor-1"},
    ]
    event = the_event(payload, problem(tags=tags))
    assert (event.type, event.resource, event.details["host"]) == (
        "network.switch.down",
        "tor-1",
        "compute-1",
    )


@pytest.mark.parametrize(("value", "until"), [("90", NOW + timedelta(seconds=90)), ("", None)])
def test_a_heartbeat_is_a_sign_of_life(value: str, until: Any) -> None:
    tags = [
        {"tag": "doctor_type", "value": "monitor.heartbeat"},
        {"tag": "doctor_silent_after", "value": value},
    ]
    assert read(payload, problem(tags=tags)) == [Alive(until)]


@pytest.mark.parametrize(
    ("said", "pointers"),
    [
        pytest.param({"host": "{HOST.HOST}"}, ["/host"], id="the-test-button"),
        pytest.param({"host": ""}, ["/host"], id="no-host"),
        pytest.param({"event_id": ""}, ["/event_id"], id="no-id"),
        pytest.param({"value": "2"}, ["/value"], id="value"),
        pytest.param({"nseverity": "6"}, ["/nseverity"], id="severity"),
        pytest.param({"nseverity": ""}, ["/nseverity"], id="no-severity"),
        pytest.param({"time": "2026.11.21 00:58:43"}, ["/time"], id="time"),
        pytest.param({"value": 1, "host": None}, ["/value", "/host"], id="types"),
    ],
)
def test_what_is_wrong_is_told_with_the_place(said: Any, pointers: list[str]) -> None:
    with pytest.raises(RejectedError) as refused:
        understood(payload, problem(**said))
    assert [flaw.pointer for flaw in refused.value.flaws] == pointers
