"""What each command asks, and what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor, notification, problem, stream_of

ALARM = {
    "alarm_id": "a1",
    "fault_id": "f1",
    "fault_type": "host down",
    "alarm_state": "raised",
    "perceived_severity": "critical",
    "raised_time": "2026-03-04T05:06:07.123456Z",
    "resource_id": "compute-1",
    "fault_details": {"misses": 3, "note": "\x1b[31mred"},
    "is_root_cause": True,
    "correlated_fault_id": ["f2", "f3"],
    "history": [{"what": "raised"}, {"what": "told"}],
}
MACHINE = {
    "virtual_resource_id": "vm-1-1",
    "virtual_resource_type": "virtual machine",
    "virtual_resource_state": "error",
    "host_status": "UNKNOWN",
    "location": {"zone_id": "az1", "host_ref": "h-1"},
    "isolation": "pending",
    "faults": [ALARM],
}
VNF = {
    "owner": "red",
    "group": "g1",
    "machine": None,
    "machines": 2,
    "sal": "1",
    "availability": 0.999,
    "failures": 1,
    "longest_recovery": 7.5,
    "impact": 0.5,
    "breaches": [{"promise": "recovery"}],
}
ZONE = {
    "zone_id": "az1",
    "hosts": {"total": 2, "available": 1, "down": 1, "maintenance": 0},
    "vcpus": {"total": 8, "available": 3},
    "memory_mb": {"total": 100, "available": 50},
    "changed_by": None,
}
HOST = {
    "physical_resource_id": "compute-1",
    "physical_resource_type": "host",
    "physical_resource_state": "normal",
    "maintenance_state": "enabled",
    "zone_id": "az1",
    "faults": [],
}
SUBSCRIPTION = {
    "subscription_id": "s1",
    "project": "red",
    "endpoints": [{"endpoint_id": "e1", "url": "https://vnfm.example/"}],
    "subscribe_filter": {
        "virtual_resource_id": ["vm-1-1"],
        "fault_type": [],
        "min_severity": "warning",
        "event": ["fault", "maintenance", "capacity", "vim"],
    },
}
TOKEN = {"token_id": "t1", "role": "consumer", "project": "red", "name": "vnfm", "expires": None}


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# --- every list, both ways ---


@pytest.mark.parametrize(
    ("words", "path", "item", "row"),
    [
        pytest.param(["alarm", "list"], "/v1/alarms", ALARM, "critical", id="alarms"),
        pytest.param(["alarm", "list", "--all"], "/v1/alarms", ALARM, "raised", id="all alarms"),
        pytest.param(["report"], "/v1/availability", VNF, "99.90000", id="report"),
        pytest.param(["capacity"], "/v1/capacity", ZONE, "az1", id="capacity"),
        pytest.param(["fault", "list"], "/v1/faults", MACHINE, "host down", id="faults"),
        pytest.param(
            ["resource", "list", "virtual"], "/v1/virtual-resources", MACHINE, "UNKNOWN", id="virtual"
        ),
        pytest.param(
            ["resource", "list", "physical"], "/v1/physical-resources", HOST, "enabled", id="physical"
        ),
        pytest.param(
            ["subscription", "list"], "/v1/subscriptions", SUBSCRIPTION, "vnfm.example", id="subscriptions"
        ),
        pytest.param(["token", "list"], "/v1/tokens", TOKEN, "consumer", id="tokens"),
        pytest.param(
            ["notification", "list", "--subscription", "s1"],
            "/v1/notifications",
            notification(7),
            "vm-1-1 is error: host down raised (critical)",
            id="notifications",
        ),
    ],
)
def test_a_list_is_a_table_or_json(
    run: Run, doctor: FakeDoctor, words: list[str], path: str, item: dict[str, Any], row: str
) -> None:
    doctor.lists(path, [item])
    table = run(*words).stdout
    assert len(table.splitlines()) == 2
    assert table.splitlines()[0] == table.splitlines()[0].upper()
    assert row in table.splitlines()[1]
    assert json.loads(run(*words, "--json").stdout) == {"items": [item], "next": None}

    doctor.lists(path, [])
    nothing = run(*words)
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert nothing.stderr.startswith("no ")
    assert json.loads(run(*words, "--json").stdout) == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (["alarm", "list"], {"state": ["active"]}),
        (
            ["alarm", "list", "--all", "--severity", "major", "--resource", "vm-1", "--limit", "3"],
            {"state": ["all"], "min_severity": ["major"], "resource_id": ["vm-1"], "limit": ["3"]},
        ),
        (
            [
                "fault",
                "list",
                "--resource",
                "a",
                "--resource",
                "b",
                "--cause",
                "c",
                "--since",
                "2026-03-04T00:00:00Z",
            ],
            {
                "virtual_resource_id": ["a", "b"],
                "probable_cause": ["c"],
                "event_start_time": ["2026-03-04T00:00:00Z"],
            },
        ),
        (
            [
                "fault",
                "list",
                "--host",
                "h",
                "--zone",
                "z",
                "--state",
                "all",
                "--until",
                "t",
                "--fault-id",
                "f",
            ],
            {
                "physical_resource_id": ["h"],
                "zone_id": ["z"],
                "state": ["all"],
                "event_end_time": ["t"],
                "fault_id": ["f"],
            },
        ),
        (
            ["resource", "list", "physical", "--zone", "az1", "--state", "down"],
            {"zone_id": ["az1"], "physical_resource_state": ["down"]},
        ),
        (
            [
                "resource",
                "list",
                "virtual",
                "--group",
                "g1",
                "--role",
                "ACT",
                "--host",
                "c1",
                "--sort",
                "-role",
            ],
            {"group": ["g1"], "role": ["ACT"], "host": ["c1"], "sort": ["-role"]},
        ),
        (["fault", "list", "--sort", "-severity"], {"sort": ["-severity"]}),
        (
            ["resource", "list", "virtual", "--owner", "red", "--id", "vm-1"],
            {"owner": ["red"], "virtual_resource_id": ["vm-1"]},
        ),
        (
            ["notification", "list", "--subscription", "s1", "--after", "41"],
            {"subscription_id": ["s1"], "after": ["41"]},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_filters_go_to_the_door(
    run: Run, doctor: FakeDoctor, words: list[str], query: dict[str, list[str]]
) -> None:
    for path in ("alarms", "faults", "physical-resources", "virtual-resources", "notifications"):
        doctor.lists(f"/v1/{path}", [])
    assert run(*words).exit_code == 0
    assert {"limit": ["500"]} | query == doctor.last.query


@pytest.mark.parametrize(
    "words", [["physical", "--owner", "red"], ["physical", "--host", "c1"], ["virtual", "--zone", "az1"]]
)
def test_filters_of_the_other_side_are_refused(run: Run, words: list[str]) -> None:
    assert run("resource", "list", *words).exit_code == 2


# --- one thing ---


@pytest.mark.parametrize(
    ("words", "path", "thing"),
    [
        (["alarm", "show", "a/1"], "/v1/alarms/a%2F1", ALARM),
        (["subscription", "show", "s1"], "/v1/subscriptions/s1", SUBSCRIPTION),
    ],
)
def test_one_thing_is_shown(
    run: Run, doctor: FakeDoctor, words: list[str], path: str, thing: dict[str, Any]
) -> None:
    doctor.answers("GET", path, Answer(body=thing))
    shown = run(*words)
    assert shown.exit_code == 0
    assert all(f"{name} " in shown.stdout or f"{name}\n" in shown.stdout for name in thing)
    assert "\x1b" not in shown.stdout
    assert json.loads(run(*words, "--json").stdout) == thing


def test_what_is_nested_is_indented(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", "/v1/alarms/a1", Answer(body=ALARM))
    shown = run("alarm", "show", "a1").stdout
    assert "is_root_cause        yes\n" in shown
    assert "correlated_fault_id  f2, f3\n" in shown
    assert "fault_details\n  misses  3\n  note    \N{REPLACEMENT CHARACTER}[31mred\n" in shown
    assert "history 1\n  what  raised\nhistory 2\n  what  told" in shown


def test_a_resource_is_found_on_either_side(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/virtual-resources", [MACHINE])
    assert json.loads(run("resource", "show", "vm-1-1", "--json").stdout) == MACHINE
    doctor.lists("/v1/virtual-resources", [])
    doctor.lists("/v1/physical-resources", [HOST])
    assert "maintenance_state" in run("resource", "show", "compute-1").stdout


def test_a_consumer_who_may_not_see_hosts_is_told_that_there_is_none(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/virtual-resources", [])
    doctor.answers("GET", "/v1/physical-resources", problem(403, "not for consumers"))
    result = run("resource", "show", "compute-1")
    assert (result.exit_code, result.stderr) == (1, "Error: no resource 'compute-1', or none of yours\n")
    doctor.answers("GET", "/v1/virtual-resources", problem(500, "oh"))
    assert "Error: oh" in run("resource", "show", "compute-1").stderr


# --- events ---

ACCEPTED = Answer(202, {"accepted": [{"index": 0, "event_id": "e1", "duplicate": False}], "rejected": []})


def test_an_event_is_sent(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/events", ACCEPTED)
    words = ["compute.cpu.failure", "--host", "compute-1", "--status", "down", "--severity", "minor"]
    more = [
        "--source",
        "me",
        "--detail",
        "core=7",
        "--detail",
        "hot:=[97.5, true]",
        "--time",
        "2026-03-04T05:06:07Z",
    ]
    result = run("event", "send", *words, *more)
    assert (result.exit_code, result.stdout) == (0, "accepted e1\n")
    assert doctor.last.json == {
        "event": {
            "time": "2026-03-04T05:06:07Z",
            "type": "compute.cpu.failure",
            "details": {
                "hostname": "compute-1",
                "status": "down",
                "severity": "minor",
                "source": "me",
                "core": "7",
                "hot": [97.5, True],
            },
        }
    }


def test_an_event_without_a_time_is_of_now(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/events", ACCEPTED)
    assert json.loads(run("event", "send", "x", "--json").stdout) == ACCEPTED.body
    assert doctor.last.json["event"]["time"].endswith("Z")


@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_file_of_events_is_sent_as_it_is(
    run: Run, doctor: FakeDoctor, tmp_path: Path, from_stdin: bool
) -> None:
    file = tmp_path / "events.json"
    file.write_bytes(b'[ {"type": 1} ]')
    both = [
        {"index": 0, "event_id": "e1", "duplicate": False},
        {"index": 1, "event_id": "e2", "duplicate": True},
    ]
    doctor.answers("POST", "/v1/events", Answer(202, {"accepted": both, "rejected": []}))
    result = run("event", "send", "--file", "-" if from_stdin else str(file), stdin=file.read_bytes())
    assert doctor.last.body == b'[ {"type": 1} ]'
    assert result.stdout == "accepted e1\naccepted e2  (known already: a repeat)\n"
    assert result.stderr == "2 events accepted\n"


def test_events_that_are_rejected_make_it_fail(run: Run, doctor: FakeDoctor) -> None:
    body = {
        "accepted": [{"index": 0, "event_id": "e1", "duplicate": False}],
        "rejected": [{"index": 1, "errors": [{"pointer": "/events/1/event/time", "detail": "required"}]}],
    }
    doctor.answers("POST", "/v1/events", Answer(202, body))
    result = run("event", "send", "--file", "-", stdin="[]")
    assert (result.exit_code, result.stdout) == (1, "accepted e1\n")
    assert result.stderr == "Error: 1 of 2 events were rejected\n  /events/1/event/time: required\n"
    result = run("event", "send", "--file", "-", "--json", stdin="[]")
    assert (result.exit_code, json.loads(result.stdout)) == (1, body)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="nothing"),
        pytest.param(["x", "--file", "-"], id="both"),
        pytest.param(["x", "--detail", "word"], id="no detail"),
        pytest.param(["x", "--detail", "=word"], id="no name"),
        pytest.param(["x", "--detail", "a:=word"], id="no JSON"),
    ],
)
def test_an_event_is_written_wrongly(run: Run, doctor: FakeDoctor, words: list[str]) -> None:
    assert run("event", "send", *words, stdin="{}").exit_code == 2
    assert doctor.asked == []


# --- the map ---

COUNTS = {"version": 3, "physical_resources": 1000, "virtual_resources": 1_000_000, "relations": 24}


@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_map_is_loaded(run: Run, doctor: FakeDoctor, tmp_path: Path, from_stdin: bool) -> None:
    file = tmp_path / "map.json"
    file.write_bytes(b"{}" * 200_000)
    doctor.answers("PUT", "/v1/resource-map", Answer(body=COUNTS))
    name = "-" if from_stdin else str(file)
    result = run("resource", "load", name, stdin=file.read_bytes())
    assert result.stdout == "version 3: 1,000 physical and 1,000,000 virtual resources, 24 relations\n"
    assert len(doctor.last.body) == 400_000
    result = run("resource", "load", name, "--json", stdin=file.read_bytes())
    assert (json.loads(result.stdout), result.stderr) == (COUNTS, "")


def test_a_map_with_flaws_is_refused(run: Run, doctor: FakeDoctor, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text("{}")
    doctor.answers(
        "PUT", "/v1/resource-map", problem(422, "1 flaw", __virtual_resources__0__host="none of them")
    )
    result = run("resource", "load", str(tmp_path / "map.json"))
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: 1 flaw\n  /virtual_resources/0/host: none of them\n",
    )


def test_a_map_that_is_not_there(run: Run) -> None:
    assert run("resource", "load", "/nowhere.json").exit_code == 2


# --- subscriptions ---


def test_a_subscription_is_made(run: Run, doctor: FakeDoctor, tmp_path: Path) -> None:
    made = {
        "subscription_id": "s1",
        "virtual_resource_info": [MACHINE, MACHINE | {"virtual_resource_state": "normal"}],
        "next": None,
        "warnings": [{"url": "http://a/", "detail": "no answer"}, "mind the gap"],
    }
    doctor.answers("POST", "/v1/subscriptions", Answer(201, made))
    secret = tmp_path / "secret"
    secret.write_text("whsec_QUJD\n")
    words = ["--endpoint", "http://a/", "--endpoint", "http://b/", "--secret-file", str(secret)]
    filters = ["--resource", "vm-1-1", "--type", "virtual machine", "--fault-type", "x", "--event", "fault"]
    result = run("subscription", "create", *words, *filters, "--min-severity", "major", "--cause", "c")
    assert (result.exit_code, result.stdout) == (0, "s1\n")
    assert result.stderr == "warning: http://a/: no answer\nwarning: mind the gap\nnow: vm-1-1 is error\n"
    assert doctor.last.json == {
        "subscribe_filter": {
            "virtual_resource_id": ["vm-1-1"],
            "virtual_resource_type": ["virtual machine"],
            "fault_type": ["x"],
            "probable_cause": ["c"],
            "event": ["fault"],
            "min_severity": "major",
        },
        "endpoints": [
            {"url": "http://a/", "secret": "whsec_QUJD"},
            {"url": "http://b/", "secret": "whsec_QUJD"},
        ],
    }
    result = run("subscription", "create", "--json")
    assert json.loads(result.stdout) == made
    assert doctor.last.json == {"subscribe_filter": {}, "endpoints": []}


def test_a_secret_that_is_none_is_not_sent_and_not_shown(
    run: Run, doctor: FakeDoctor, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password")
    result = run("subscription", "create", "--endpoint", "http://a/", "--secret-file", str(secret))
    assert result.exit_code == 2
    assert "password" not in result.output
    assert doctor.asked == []
    secret.write_text("whsec_QUJD")
    assert run("subscription", "create", "--secret-file", str(secret)).exit_code == 2


def test_a_filter_that_is_empty_is_all(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/subscriptions", [SUBSCRIPTION | {"subscribe_filter": {}}, SUBSCRIPTION])
    first, second = run("subscription", "list").stdout.splitlines()[1:]
    assert first.endswith("all")
    assert second.endswith("resource_id=vm-1-1; min_severity=warning")


def test_how_to_be_told_is_said_in_words(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/subscriptions", Answer(201, {"subscription_id": "s1"}))
    group = ["--group", "web", "--role", "STBY", "--more-than", "1", "--within", "PT5M"]
    others = ["--when-isolated", "--acknowledge", "--heartbeat", "PT10S"]
    endpoint = ["--endpoint", "http://a/", "--format", "cloudevents"]
    assert run("subscription", "create", *endpoint, *group, *others).exit_code == 0
    assert doctor.last.json == {
        "subscribe_filter": {},
        "endpoints": [{"url": "http://a/", "format": "cloudevents"}],
        "policy": {
            "aggregate": {"group": "web", "role": "STBY", "more_than": 1, "within": "PT5M"},
            "when": "isolated",
            "acknowledge": "explicit",
            "heartbeat": "PT10S",
        },
    }
    assert run("subscription", "create", "--role", "STBY").exit_code == 2


def test_what_is_parked_is_listed(run: Run, doctor: FakeDoctor) -> None:
    row = {"sequence": 17, "endpoint_id": "e1", "url": "http://a/", "attempts": 3, "error": "answered 422"}
    doctor.lists("/v1/subscriptions/s1/parked", [row])
    result = run("subscription", "parked", "s1")
    assert lines(result.stdout)[1] == ["17", "http://a/", "3", "answered", "422"]
    assert json.loads(run("subscription", "parked", "s1", "--json").stdout)["items"] == [row]
    doctor.lists("/v1/subscriptions/s1/parked", [])
    assert run("subscription", "parked", "s1").stderr == "nothing is parked\n"


def test_a_range_is_replayed(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/subscriptions/s1/replay", Answer(202, {"deliveries": 2}))
    result = run("subscription", "replay", "s1", "--from", "3", "--to", "4", "--all", "--endpoint", "e1")
    assert (result.exit_code, result.stderr) == (0, "deliveries to be made: 2\n")
    assert doctor.last.json == {"from": 3, "to": 4, "parked_only": False, "endpoint_id": "e1"}
    assert json.loads(run("subscription", "replay", "s1", "--from", "3", "--json").stdout) == {
        "deliveries": 2
    }
    assert doctor.last.json == {"from": 3, "to": 3, "parked_only": True}


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_endpoints_are_tried(run: Run, doctor: FakeDoctor, ok: bool, code: int) -> None:
    results = {"results": [{"endpoint_id": "e1", "url": "http://a/", "ok": ok, "detail": "405"}]}
    doctor.answers("POST", "/v1/subscriptions/s1/test", Answer(body=results))
    result = run("subscription", "test", "s1")
    assert (result.exit_code, lines(result.stdout)[1]) == (
        code,
        ["ok" if ok else "failed", "http://a/", "405"],
    )
    result = run("subscription", "test", "s1", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (code, results)


def test_without_endpoints_there_is_nothing_to_try(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/subscriptions/s1/test", Answer(body={"results": []}))
    result = run("subscription", "test", "s1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no endpoints" in result.stderr


@pytest.mark.parametrize(
    ("words", "request_", "said"),
    [
        (["subscription", "delete", "s1"], ("DELETE", "/v1/subscriptions/s1"), "deleted s1\n"),
        (["token", "revoke", "t1"], ("DELETE", "/v1/tokens/t1"), "revoked t1\n"),
        (
            ["notification", "acknowledge", "n1"],
            ("POST", "/v1/notifications/n1/acknowledge"),
            "acknowledged n1\n",
        ),
        (["notification", "handled", "n1"], ("POST", "/v1/notifications/n1/handled"), "handled n1\n"),
    ],
)
def test_what_has_no_answer_is_said(
    run: Run, doctor: FakeDoctor, words: list[str], request_: tuple[str, str], said: str
) -> None:
    doctor.answers(*request_, Answer(204))
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)
    result = run(*words, "--json")
    assert words[2] in json.loads(result.stdout).values()
    assert result.stderr == ""


# --- notifications ---


def test_the_only_subscription_is_meant(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/subscriptions", [SUBSCRIPTION])
    doctor.lists("/v1/notifications", [notification(1)])
    run("notification", "list")
    assert doctor.last.query["subscription_id"] == ["s1"]
    doctor.lists("/v1/subscriptions", [])
    assert "there are no subscriptions" in run("notification", "list").stderr
    doctor.lists("/v1/subscriptions", [SUBSCRIPTION, SUBSCRIPTION | {"subscription_id": "s2"}])
    result = run("notification", "list")
    assert result.exit_code == 2
    assert "which one? Give --subscription with one of\n  s1\n  s2" in result.stderr


def test_notifications_are_followed_over_broken_lines(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers(
        "GET",
        "/v1/notifications/stream",
        stream_of(notification(5), notification(6)),
        stream_of(),
        stream_of(notification(6), notification(7, virtual_resource_info=[])),
    )
    result = run("notification", "watch", "--subscription", "s1", "--after", "4", "--count", "3")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "05:06:07.123Z  #5  fault  vm-1-1 is error: host down raised (critical)",
        "05:06:07.123Z  #6  fault  vm-1-1 is error: host down raised (critical)",
        "05:06:07.123Z  #7  fault  -",
    ]
    assert [asked.query["after"] for asked in doctor.asked] == [["4"], ["6"], ["6"]]


def test_notifications_are_followed_as_json_lines(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", "/v1/notifications/stream", stream_of(notification(1), notification(2)))
    result = run("notification", "watch", "--subscription", "s1", "--count", "2", "--json")
    assert [json.loads(line)["sequence"] for line in result.stdout.splitlines()] == [1, 2]


def test_a_doctor_that_goes_away_is_waited_for_until_ctrl_c(
    run: Run, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            doctor.close()
        if len(pauses) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr("doctor.cli.notification.time.sleep", sleep)
    doctor.answers("GET", "/v1/notifications/stream", stream_of(notification(1)))
    result = run("notification", "watch", "--subscription", "s1")
    assert result.exit_code == 130
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr.count("trying again until it does") == 1
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_connection_that_held_is_taken_up_again_at_once(
    run: Run, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("doctor.cli.notification.time.sleep", pauses.append)
    monkeypatch.setattr("doctor.cli.notification.STEADY_SECONDS", 0.0)
    streams = [stream_of(), stream_of(), stream_of(), stream_of(notification(1))]
    doctor.answers("GET", "/v1/notifications/stream", *streams)
    assert run("notification", "watch", "--subscription", "s1", "--count", "1").exit_code == 0
    assert pauses == [0.2, 0.2, 0.2]


def test_following_what_one_may_not_see_fails(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", "/v1/notifications/stream", problem(404, "no such subscription"))
    assert run("notification", "watch", "--subscription", "s9").exit_code == 1
    assert run("--url", "http://127.0.0.1:9", "notification", "watch", "--subscription", "s9").exit_code == 3


# --- tokens ---


def test_a_token_is_printed_alone(run: Run, doctor: FakeDoctor) -> None:
    made = {
        "token_id": "t1",
        "token": "new-secret",
        "role": "consumer",
        "project": "red",
        "name": "x",
        "expires": None,
    }
    doctor.answers("POST", "/v1/tokens", Answer(201, made))
    words = ["token", "create", "--role", "consumer", "--project", "red"]
    result = run(*words, "--name", "x", "--expires", "2026-12-01T00:00:00+01:00")
    assert (result.stdout, result.stderr) == ("new-secret\n", "")
    assert doctor.last.json == {
        "role": "consumer",
        "project": "red",
        "name": "x",
        "expires": "2026-11-30T23:00:00.000000Z",
    }
    assert json.loads(run(*words, "--json").stdout) == {
        "token_id": "t1",
        "token": "new-secret",
        "role": "consumer",
        "project": "red",
        "expires": None,
    }


def test_a_token_may_hold_for_a_while(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/tokens", Answer(201, {"token": "new-secret"}))
    assert run("token", "create", "--role", "auditor", "--expires", "P90D").exit_code == 0
    assert doctor.last.json["expires"].endswith("Z")


@pytest.mark.parametrize(
    "words",
    [
        ["--role", "consumer"],
        ["--role", "admin", "--project", "red"],
        ["--role", "king"],
        ["--role", "admin", "--expires", "soon"],
        ["--role", "admin", "--expires", "P999999999D"],
        [],
    ],
    ids=" ".join,
)
def test_a_token_is_asked_for_wrongly(run: Run, doctor: FakeDoctor, words: list[str]) -> None:
    assert run("token", "create", *words).exit_code == 2
    assert doctor.asked == []


# --- the policy ---


def test_the_policy_is_shown_to_the_letter(run: Run, doctor: FakeDoctor) -> None:
    policy = {"version": 2, "applied": "2026-03-04T05:06:07.123456Z", "user": "me", "text": "version: 1\n"}
    doctor.answers("GET", "/v1/failure-policies", Answer(body=policy))
    result = run("policy", "show")
    assert result.stdout == "version: 1\n"
    assert result.stderr == "version 2, applied 2026-03-04 05:06:07.123Z, me\n"
    assert json.loads(run("policy", "show", "--json").stdout) == policy
    shipped = {"version": 0, "applied": None, "user": "shipped with Doctor", "text": "version: 1"}
    doctor.answers("GET", "/v1/failure-policies", Answer(body=shipped))
    result = run("policy", "show")
    assert (result.stdout, result.stderr) == ("version: 1\n", "version 0, shipped with Doctor\n")


def test_a_policy_is_applied(run: Run, doctor: FakeDoctor, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1 # größer\n")
    doctor.answers("PUT", "/v1/failure-policies", Answer(body={"version": 3}))
    assert run("policy", "apply", str(file)).stderr == "version 3 is in force\n"
    assert doctor.last.body == file.read_bytes()
    assert doctor.last.headers["content-type"] == "application/yaml"
    assert json.loads(run("policy", "apply", "-", "--json", stdin=file.read_bytes()).stdout) == {"version": 3}
    doctor.answers("PUT", "/v1/failure-policies", Answer(204))
    assert run("policy", "apply", str(file)).stderr == "in force\n"


def test_a_policy_is_checked_without_a_doctor(run: Run, doctor: FakeDoctor, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("version: 1\nfaults:\n  - {name: down, when: {type: compute.host.down}}\n")
    bad.write_text(
        "version: 1\nfaults:\n  - {name: down, when: {type: compute.host.down}, severity: awful}\n"
    )
    result = run("policy", "validate", str(good))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(f"{good} is valid")
    assert json.loads(run("policy", "validate", str(good), "--json").stdout)["valid"] is True
    result = run("policy", "validate", str(bad))
    assert result.exit_code == 1
    assert "\n  /faults/0/severity: " in result.stderr
    result = run("policy", "validate", str(bad), "--json")
    assert (result.exit_code, json.loads(result.stdout)["valid"]) == (1, False)
    assert json.loads(result.stdout)["errors"][0]["pointer"] == "/faults/0/severity"
    assert doctor.asked == []


@pytest.mark.parametrize("content", [b"\xff", None], ids=["no text", "not readable"])
def test_a_policy_that_cannot_be_read(run: Run, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "policy.yaml"
    if content is None:
        file = Path("/proc/self/mem")
    else:
        file.write_bytes(content)
    result = run("policy", "apply", str(file))
    assert result.exit_code == 1
    assert str(file) in result.stderr
