"""What alerts of Prometheus and Alertmanager mean."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from doctor.drivers.monitors.alertmanager.payload import fingerprint, payload
from doctor.model.errors import RejectedError
from doctor.ports.payload import Alive, Stated
from tests.unit.monitors.payloads import NOW, read, sample, the_event, understood

BEGAN = datetime(2026, 11, 21, 0, 58, 44, 606000, tzinfo=UTC)


def alert(labels: dict[str, str] | None = None, **said: Any) -> list[dict[str, Any]]:
    """Return an alert as Prometheus posts it."""
    return [{"labels": {"alertname": "HostDown", "host": "compute-1", **(labels or {})}, **said}]


def test_a_captured_alert_begins_and_ends_as_one_thing() -> None:
    firing = the_event(payload, sample("prometheus/alertmanager_webhook_firing.json"))
    resolved = the_event(payload, sample("prometheus/alertmanager_webhook_resolved.json"))
    assert (firing.type, firing.resource, firing.status, firing.severity) == (
        *("nic.link.down", "compute-1"),
        *("down", "critical"),
    )
    assert (firing.source, firing.monitor_event_id) == ("somebody", "3727bacafbdff478")
    assert (resolved.status, resolved.severity) == ("up", "cleared")
    assert resolved.monitor_event_id == firing.monitor_event_id
    assert firing.time == BEGAN
    assert resolved.time == BEGAN + timedelta(seconds=4)
    assert firing.details["labels"]["device"] == "ens1f0"
    assert firing.details["cause"] == "ens1f0 on compute-1 lost carrier"


def test_the_fingerprint_is_that_of_prometheus() -> None:
    (told,) = sample("prometheus/alertmanager_webhook_firing.json")["alerts"]
    assert fingerprint(told["labels"]) == told["fingerprint"]
    (bare,) = (the_event(payload, [{"labels": told["labels"]}]),)
    assert bare.monitor_event_id == told["fingerprint"]


@pytest.mark.parametrize(
    ("labels", "resource"),
    [
        pytest.param({}, "compute-1", id="host"),
        pytest.param({"instance": "compute-2:9100"}, "compute-1", id="host-before-instance"),
        pytest.param({"host": "", "instance": "compute-2:9100"}, "compute-2", id="instance-without-port"),
        pytest.param({"host": "", "instance": "[2001:db8::1]:9100"}, "2001:db8::1", id="ipv6"),
        pytest.param({"host": "", "instance": "2001:db8::1"}, "2001:db8::1", id="ipv6-bare"),
        pytest.param({"host": "", "instance": "https://x/"}, "https://x/", id="url"),
        pytest.param({"resource_id": "tor-1"}, "tor-1", id="resource"),
        pytest.param({"host": ""}, "", id="nothing"),
    ],
)
def test_labels_say_what_it_is_about(labels: dict[str, str], resource: str) -> None:
    assert the_event(payload, alert(labels)).resource == resource


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", "critical"),
        ("Page", "critical"),
        ("info", "indeterminate"),
        ("sev1", ""),
        ("ok", ""),
        ("", ""),
    ],
)
def test_a_word_of_severity_that_nobody_knows_is_left_to_the_policy(word: str, severity: str) -> None:
    """Nor does one that means that all is well end what fires."""
    event = the_event(payload, alert({"severity": word}))
    assert (event.severity, event.status) == (severity, "down")


def test_an_alert_without_a_type_of_ours_goes_by_its_name() -> None:
    assert the_event(payload, alert()).type == "HostDown"
    assert the_event(payload, alert({"doctor_type": "compute.host.down"})).type == "compute.host.down"


def test_the_time_of_go_that_is_none_is_none() -> None:
    unset = "0001-01-01T00:00:00Z"
    event = the_event(payload, alert(startsAt=unset, endsAt=unset))
    assert (event.time, event.status) == (NOW, "down")


def test_an_alert_stands_until_the_end_that_it_says() -> None:
    later = NOW + timedelta(minutes=4)
    (stated,) = read(payload, alert(startsAt=BEGAN.isoformat(), endsAt=later.isoformat()))
    assert isinstance(stated, Stated)
    assert (stated.until, stated.event.status) == (later, "down")
    (ended,) = read(payload, alert(startsAt=BEGAN.isoformat(), endsAt=NOW.isoformat()))
    assert isinstance(ended, Stated)
    assert (ended.until, ended.event.status, ended.event.time) == (None, "up", NOW)


@pytest.mark.parametrize(
    ("said", "until"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"endsAt": "2026-11-21T01:04:00Z"}, NOW + timedelta(minutes=4), id="prometheus"),
        pytest.param(
            {"annotations": {"doctor_silent_after": "600"}}, NOW + timedelta(minutes=10), id="annotation"
        ),
        pytest.param({"annotations": {"doctor_silent_after": "soon"}}, None, id="nonsense"),
        pytest.param({"annotations": {"doctor_silent_after": "1e300"}}, None, id="too-far"),
    ],
)
def test_the_watchdog_is_a_sign_of_life(said: dict[str, Any], until: datetime | None) -> None:
    assert read(payload, alert({"alertname": "Watchdog"}, **said)) == [Alive(until)]
    assert read(payload, alert({"doctor_type": "monitor.heartbeat"}, **said)) == [Alive(until)]


def test_the_form_of_alertmanagers_own_api_is_understood() -> None:
    said: dict[str, Any] = {"status": {"state": "active", "silencedBy": []}, "receivers": [{"name": "x"}]}
    assert the_event(payload, alert(**said)).status == "down"


def test_what_is_too_long_is_cut_and_the_alert_stays() -> None:
    notes = {"summary": "x" * 5000, **{f"note{number}": "y" * 1000 for number in range(60)}}
    event = the_event(payload, alert(annotations=notes))
    assert len(event.raw_details) < 16 * 1024
    assert event.details["cause"].endswith(" ...")
    assert "annotations" not in event.details


WRONG = [
    pytest.param({"alerts": {}}, ["/alerts"], id="alerts-no-list"),
    pytest.param({}, ["/alerts"], id="no-alerts"),
    pytest.param("x", [""], id="text"),
    pytest.param([{"labels": {}}], ["/0/labels"], id="no-name"),
    pytest.param([{}], ["/0/labels"], id="no-labels"),
    pytest.param([{"labels": {"alertname": 1}}], ["/0/labels/alertname"], id="number"),
    pytest.param(
        {"alerts": [{"labels": {"alertname": "x"}, "startsAt": "noon"}]}, ["/alerts/0/startsAt"], id="time"
    ),
    pytest.param([7], ["/0"], id="no-object"),
    pytest.param(alert({"host": "a\nb"}), ["/0"], id="unprintable"),
    pytest.param(alert({"host": "a" * 300}), ["/0"], id="too-long"),
]


@pytest.mark.parametrize(("document", "pointers"), WRONG)
def test_what_is_wrong_is_told_with_the_place(document: Any, pointers: list[str]) -> None:
    with pytest.raises(RejectedError) as refused:
        understood(payload, document)
    assert [flaw.pointer for flaw in refused.value.flaws] == pointers


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[", id="cut-off"),
        pytest.param(b"\xff", id="no-utf8"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(
            b'[{"labels": {"alertname": "x"}, "more": ' + b"[" * 20 + b"]" * 20 + b"}]", id="nested"
        ),
        pytest.param(b'[{"labels": {"alertname": "\\ud800"}}]', id="half-a-pair"),
        pytest.param(b'[{"labels": {"alertname": "say "no""}}]', id="unescaped-quote"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(RejectedError):
        understood(payload, body)


def test_the_good_of_a_list_is_taken() -> None:
    found = understood(payload, [*alert(), {"labels": {}}, *alert({"host": "compute-2"})])
    assert (len(found.readings), found.indexes, [one.index for one in found.rejected]) == (2, [0, 2], [1])


def test_a_list_of_nothing_is_no_mistake() -> None:
    assert read(payload, []) == []


def test_a_control_character_that_nobody_escaped_is_forgiven() -> None:
    event = the_event(payload, b'[{"labels": {"alertname": "x"}, "annotations": {"summary": "two\nlines"}}]')
    assert event.details["cause"] == "two\nlines"


def test_too_many_are_too_many() -> None:
    with pytest.raises(RejectedError, match="5000 at most"):
        understood(payload, alert() * 5001)
