"""The doors of sources that push in forms of their own, and what is known of who reports."""

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_policy_commands import Shell
from tests.monitors.site import Site
from tests.unit.monitors.test_ves_payload import fault
from tests.waiting import until

SAMPLES = Path(__file__).parents[1] / "samples"
DEAD = ("compute-1", "host down")
ALERTS, WEBHOOK = "/api/v2/alerts", "/v1/monitors/alertmanager"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with RunningDoctor(tmp_path_factory.mktemp("doctor")) as doctor:
        yield Site(doctor)


def alert(
    host: str = "compute-1", *, start: str = "2026-03-04T05:00:00Z", end: str = "", **labels: str
) -> Any:
    """Return an alert that a host is down, as Prometheus posts it."""
    known = {
        "alertname": "HostDown",
        "doctor_type": "compute.host.down",
        "host": host,
        "severity": "critical",
    }
    said = {"labels": known | labels, "startsAt": start}
    return said | {"endsAt": end} if end else said


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_captured_webhook_is_taken_once(site: Site) -> None:
    said = json.loads((SAMPLES / "prometheus/alertmanager_webhook_firing.json").read_text())["body"]
    said["alerts"][0]["labels"]["doctor_type"] = "compute.host.down"
    token = site.token("captured")
    status, first = site.push(WEBHOOK, said, token)
    assert (status, first["rejected"]) == (202, [])
    (accepted,) = first["accepted"]
    assert (accepted["index"], accepted["duplicate"]) == (0, False)
    again = site.push(WEBHOOK, said, token)[1]["accepted"]
    assert again == [{"index": 0, "event_id": accepted["event_id"], "duplicate": True}]
    assert DEAD in site.alarms()
    said["alerts"][0] |= {"status": "resolved", "endsAt": "2026-11-21T00:58:48.606Z"}
    assert site.push(WEBHOOK, said, token)[0] == 202
    assert DEAD not in site.alarms()


@pytest.mark.requirement("C4")
def test_what_is_not_in_the_next_list_has_not_ended_by_that(site: Site) -> None:
    token = site.token("prometheus-b")
    assert site.push(ALERTS, [alert(), alert("compute-2")], token) == (200, "")
    assert site.push(ALERTS, [alert("compute-2")], token) == (200, "")
    assert {DEAD, ("compute-2", "host down")} <= site.alarms()
    over = [alert(end="2026-03-04T05:01:00Z"), alert("compute-2", end="2026-03-04T05:01:00Z")]
    assert site.push(ALERTS, over, token) == (200, "")
    assert DEAD not in site.alarms()


def test_two_alerts_of_one_kind_on_one_host_are_over_with_the_second(site: Site) -> None:
    """A host has two links; that one of them is back does not end the fault of the other."""
    links = [{"doctor_type": "compute.host.nic.error", "device": name} for name in ("a", "b")]
    down = [alert(**link) for link in links]
    failed = ("compute-1", "network card failure")
    assert site.push(ALERTS, down)[0] == 200
    assert failed in site.alarms()
    assert site.push(ALERTS, [alert(end="2026-03-04T05:01:00Z", **links[0])])[0] == 200
    assert failed in site.alarms()
    assert site.push(ALERTS, [alert(end="2026-03-04T05:02:00Z", **links[1])])[0] == 200
    assert failed not in site.alarms()


def test_an_agent_of_ves_logs_in_as_it_can_and_speaks(site: Site) -> None:
    """With the token as a password, at the address of its standard."""
    listener = "/v1/monitors/ves/eventListener/v7"
    token = site.token("ves-agent")
    fan = {"alarmCondition": "compute.chassis.degraded", "sourceName": "compute-1"}
    failed = ("compute-1", "chassis problem")

    def send(path: str, body: Any, password: str) -> int:
        login = b64encode(f"anybody:{password}".encode()).decode()
        return site.door.ask("POST", path, body, token=None, authorization=f"Basic {login}")[0]

    assert send(listener, fault(**fan), token) == 202
    assert failed in site.alarms()
    over = fault(**fan, eventSeverity="NORMAL")["event"]
    assert send(f"{listener}/eventBatch", {"eventList": [over]}, token) == 202
    assert failed not in site.alarms()
    assert send(listener, fault(), "wrong") == 401
    assert site.door.ask("POST", listener, fault(), token=None, authorization="Basic %%%")[0] == 401


def test_the_good_of_a_list_is_taken_and_the_bad_is_told(site: Site) -> None:
    token = site.token("half-right")
    status, answer = site.push(WEBHOOK, {"alerts": [{"labels": {}}, alert("compute-2")]}, token)
    assert status == 202
    assert [one["index"] for one in answer["accepted"]] == [1]
    assert answer["rejected"] == [
        {"index": 0, "errors": [{"pointer": "/alerts/0/labels", "detail": "needs alertname, or doctor_type"}]}
    ]
    site.push(ALERTS, [alert("compute-2", end="2026-03-04T05:01:00Z")], token)
    assert site.source("half-right")["rejected"] == 1


WRONG = [
    pytest.param(WEBHOOK, b"{", 400, None, id="malformed"),
    pytest.param(WEBHOOK, b"", 400, None, id="empty"),
    pytest.param(WEBHOOK, {"alerts": "x"}, 400, "/alerts", id="shape"),
    pytest.param(WEBHOOK, [{"labels": {"alertname": 7}}], 400, "/0/labels/alertname", id="type"),
    pytest.param(ALERTS, {"receiver": "x"}, 400, "/alerts", id="no-alerts"),
    pytest.param(ALERTS, b"[" * 20_000, 400, None, id="deep"),
    pytest.param("/v1/monitors/collectd", [{"values": []}], 400, "/0/labels", id="metrics"),
    pytest.param("/v1/monitors/zabbix", {"event_id": "1"}, 400, "/value", id="zabbix"),
    pytest.param("/v1/monitors/nagios", [], 404, None, id="unknown"),
]


@pytest.mark.parametrize(("path", "body", "status", "pointer"), WRONG)
def test_what_is_wrong_is_a_problem_with_the_place(
    site: Site, path: str, body: Any, status: int, pointer: str | None
) -> None:
    answered, problem = site.push(path, body)
    assert (answered, problem["status"]) == (status, status)
    pointers = [flaw["pointer"] for flaw in problem["errors"]]
    assert pointer in pointers if pointer else not pointers


def test_who_may_push_and_who_may_look(site: Site) -> None:
    door = site.door
    for role, pushes, looks, lists in (
        (Role.MONITOR, 200, 403, 200),
        (Role.CONSUMER, 403, 403, 403),
        (Role.AUDITOR, 403, 200, 200),
        (Role.OPERATOR, 200, 200, 200),
    ):
        token = door.token(role, "red" if role is Role.CONSUMER else None)
        assert door.ask("POST", ALERTS, [], token=token)[0] == pushes
        assert door.ask("GET", "/v1/monitors", token=token)[0] == looks
        assert door.ask("GET", ALERTS, token=token)[0] == lists
    for path in (ALERTS, WEBHOOK):
        assert door.ask("POST", path, [], token=None)[0] == 401
    assert door.ask("GET", "/metrics", token=None)[0] == 200  # from this machine


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("", 1),
        ("?active=true&silenced=false&inhibited=false", 1),
        ("?active=false", 0),
        ("?receiver=else", 0),
        ("?receiver=doctor", 1),
        ('?filter=host="compute-2"', 1),
        ("?filter=host=compute-2&filter=severity!=critical", 0),
        ('?filter=nothing!="x"', 1),
    ],
)
def test_alerts_that_stand_are_shown_as_alertmanager_does(site: Site, query: str, number: int) -> None:
    site.push(ALERTS, [alert("compute-2")])
    status, found = site.door.ask("GET", ALERTS + query)
    site.push(ALERTS, [alert("compute-2", end="2026-03-04T05:01:00Z")])
    assert (status, len(found)) == (200, number)


@pytest.mark.parametrize("matcher", ["x", "host=~c.*", "=1", "a b=c"])
def test_a_filter_that_cannot_be_used_is_told(site: Site, matcher: str) -> None:
    status, problem = site.door.ask("GET", f"{ALERTS}?filter={matcher.replace(' ', '%20')}")
    assert (status, problem["errors"][0]["pointer"]) == (400, "/filter/0")


def test_doctor_answers_as_an_alertmanager_that_is_well(site: Site) -> None:
    status, found = site.door.ask("GET", "/api/v2/status")
    assert (status, found["cluster"]["status"]) == (200, "disabled")


def test_prometheus_can_scrape_who_reports(site: Site) -> None:
    site.push(ALERTS, [alert("compute-2", end="2026-03-04T05:01:00Z")], site.token('odd "name'))
    lines = site.door.ask("GET", "/metrics")[1].splitlines()
    assert 'doctor_monitor_events_total{monitor="odd \\"name",kind="alertmanager"} 1' in lines
    assert "# TYPE doctor_monitor_silent gauge" in lines


def test_the_shell_shows_who_reports(site: Site, tmp_path: Path) -> None:
    shell = Shell(site.doctor, tmp_path)
    site.push("/v1/events", {"time": "2026-03-04T05:06:07Z", "type": "x"}, site.token("seen-by-shell"))
    listed = json.loads(shell.run("monitor", "list", "--json").stdout)["items"]
    assert "seen-by-shell" in [one["name"] for one in listed]
    assert "seen-by-shell" in shell.run("monitor", "list").stdout
    shown = json.loads(shell.run("monitor", "status", "seen-by-shell", "--json").stdout)
    assert (shown["state"], shown["kind"], shown["events"], shown["silent_after"]) == (
        "speaks",
        "events",
        1,
        None,
    )
    assert "duplicates" in shell.run("monitor", "status", "seen-by-shell").stdout
    missing = shell.run("monitor", "status", "no/body")
    assert (missing.returncode, "nobody has reported" in missing.stderr) == (1, True)


@pytest.mark.shows("payload alertmanager", "flood")
def test_thousands_of_alerts_in_one_message_are_told_to_the_last(tmp_path: Path) -> None:
    """Those on hosts that nobody knows, too; and the same again costs little."""
    with RunningDoctor(tmp_path) as doctor:
        site = Site(doctor)
        alerts = [alert(f"host-{number}") for number in range(5000)]
        assert site.push(ALERTS, alerts)[0] == 200
        known = site.source("first admin")
        assert (known["events"], known["duplicates"], known["standing"]) == (5000, 0, 5000)
        began = time.monotonic()
        assert site.push(ALERTS, alerts)[0] == 200
        assert time.monotonic() - began < 3
        assert site.source("first admin")["duplicates"] == 5000
        over = [alert(f"host-{number}", end="2026-03-04T05:01:00Z") for number in range(5000)]
        assert site.push(ALERTS, over)[0] == 200
        assert not site.alarms()


@pytest.mark.shows("payload zabbix", "flood")
def test_thousands_of_problems_one_by_one_are_told_to_the_last(site: Site) -> None:
    """As a webhook sends them."""
    token = site.token("flood")
    for value in ("1", "0"):
        for number in range(500):
            problem = {
                "event_id": str(number),
                "value": value,
                "host": f"host-{number}",
                "name": "x",
                "time": f"2026-03-04T05:0{value}:00Z",
                "tags": '[{"tag":"doctor_type","value":"compute.host.down"}]',
            }
            assert site.push("/v1/monitors/zabbix", problem, token)[0] == 202
        assert site.source("flood")["standing"] == (500 if value == "1" else 0)
    assert site.source("flood")["duplicates"] == 0


@pytest.mark.requirement("E20")
def test_a_source_that_should_speak_is_missed_and_comes_back(tmp_path: Path) -> None:
    """Also one that has never spoken, and across a restart; who is not expected any more is missed no more."""
    silent = ("site-zabbix", "monitor silent")
    doctor = RunningDoctor(tmp_path, sources={"site-zabbix": {"silent_after": 1}})
    with doctor:
        site = Site(doctor)
        token = site.token("site-zabbix")
        until(lambda: silent in site.alarms())
        assert site.source("site-zabbix")["alarm_id"] == site.alarm("site-zabbix")["alarm_id"]
        assert site.push("/v1/events", {"time": "2026-03-04T05:06:07Z", "type": "x"}, token)[0] == 202
        until(lambda: silent not in site.alarms())
        until(lambda: silent in site.alarms())
    with doctor:
        site = Site(doctor)
        assert site.source("site-zabbix")["state"] == "silent"
        assert silent in site.alarms()
        site.push(ALERTS, [], token)  # says nothing, and is heard
        until(lambda: silent not in site.alarms())
        until(lambda: silent in site.alarms())
    unasked = RunningDoctor(tmp_path)
    with unasked:
        until(lambda: silent not in Site(unasked).alarms())


def test_what_stood_before_a_kill_stands_after_it_and_is_told_once(tmp_path: Path) -> None:
    """It ends as it would have, and a fault that was ended by hand comes back with the next word of its source."""
    doctor = RunningDoctor(tmp_path)
    said = [alert(start=soon(-60), end=soon(600))]
    with doctor:
        site = Site(doctor)
        token = site.token("prometheus")
        subscription = site.subscribed()
        assert site.push(ALERTS, said, token)[0] == 200
        doctor.kill()
        doctor.start()
        assert site.source("prometheus") == {}
        assert site.push(ALERTS, said, token)[0] == 200
        known = site.source("prometheus")
        assert (known["duplicates"], known["standing"]) == (1, 1)
        assert [kind for kind, _ in site.door.told(subscription)] == ["fault"]
        alarm_id = site.alarm("compute-1")["alarm_id"]
        assert site.door.ask("PATCH", f"/v1/alarms/{alarm_id}", {"action": "clear"})[0] == 200
        doctor.kill()
        doctor.start()
        assert site.push(ALERTS, said, token)[0] == 200
        assert DEAD in site.alarms()
        doctor.kill()
        doctor.start()
        said[0]["endsAt"] = soon(-1)
        assert site.push(ALERTS, said, token)[0] == 200
        assert DEAD not in site.alarms()


def test_what_was_pushed_can_be_tried_on_another_policy(tmp_path: Path) -> None:
    """A dry-run reads from the journal what was understood then."""
    with RunningDoctor(tmp_path / "doctor") as doctor:
        site, shell = Site(doctor), Shell(doctor, tmp_path)
        site.push(ALERTS, [alert(doctor_type="site.lamp"), alert("compute-2", doctor_type="site.lamp")])
        policy = shell.run("policy", "show").stdout.replace(
            "faults:\n",
            "faults:\n  - {name: lamp, when: {type: site.lamp}, fault_type: lamp, severity: minor, state: normal, probable_cause: x, recommended_action: none}\n",
            1,
        )
        shell.write("policy.yaml", policy)
        tried = shell.run("policy", "dry-run", "policy.yaml", "--json")
        assert "lamp" in tried.stdout, tried.stderr
