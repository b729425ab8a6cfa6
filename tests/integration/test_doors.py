"""A running Doctor, asked over HTTP: the event doors, bad input, who may do what."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from doctor.api.doors import all_operations
from doctor.api.operation import Operation
from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor

SAMPLE = Path(__file__).parents[1] / "samples" / "opnfv" / "sample_monitor_put_events.json"
DOWN = {"time": "2026-03-04T05:06:07Z", "type": "compute.host.down", "details": {"hostname": "compute-9"}}


class Door:
    """Requests to a running Doctor."""

    def __init__(self, doctor: RunningDoctor) -> None:
        self.url = doctor.url
        self.admin = doctor.token
        self._pool = urllib3.PoolManager(retries=False)
        self.tokens = {"admin": self.admin}

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = "", **headers: str
    ) -> tuple[int, Any]:
        """Send a request; ``token`` None sends none, "" the admin's."""
        sent = {
            "content-type": "application/json",
            **{name.replace("_", "-"): v for name, v in headers.items()},
        }
        if token is not None:
            sent["authorization"] = f"Bearer {token or self.admin}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, self.url + path, body=data, headers=sent, timeout=20)
        kind = answer.headers.get("content-type", "")
        return answer.status, json.loads(answer.data) if "json" in kind else answer.data.decode()

    def token(self, role: Role, project: str | None = None) -> str:
        """Return a token of a role, made once."""
        name = f"{role}{project or ''}"
        if name not in self.tokens:
            status, made = self.ask("POST", "/v1/tokens", {"role": role, "project": project})
            assert status == 201
            self.tokens[name] = made["token"]
        return self.tokens[name]

    def told(self, subscription_id: str) -> list[tuple[str, str]]:
        """Return what a subscription was told, as (notification_type, event_time)."""
        _, page = self.ask("GET", f"/v1/notifications?subscription_id={subscription_id}&limit=1000")
        return [(one["notification_type"], one["event_time"]) for one in page["items"]]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    settings: dict[str, Any] = {
        "auth": {"anonymous_events_from": ["127.0.0.0/8"], "anonymous_events_timezone": "Asia/Tokyo"}
    }
    with RunningDoctor(tmp_path_factory.mktemp("doors"), **settings) as doctor:
        yield Door(doctor)


@pytest.fixture
def load(door: Door) -> None:
    """A small NFVI."""
    resources = {
        "physical_resources": [{"id": f"compute-{n}", "zone_id": "az1"} for n in range(1, 4)],
        "virtual_resources": [
            {"id": "vm-red", "host": "compute-1", "owner": "red"},
            {"id": "vm-blue", "host": "compute-2", "owner": "blue"},
        ],
    }
    assert door.ask("PUT", "/v1/resource-map", resources)[0] == 200


# --- the OPNFV sample monitor ---


@pytest.mark.requirement("A8", "D43")
@pytest.mark.usefixtures("load")
def test_the_opnfv_sample_monitor_works_unchanged_and_its_second_outage_is_told(door: Door) -> None:
    """Its body is taken as it is, without a token; one constant id for ever does not hide the next outage [D 5.6]."""
    _, made = door.ask("POST", "/v1/subscriptions", {}, token=door.token(Role.CONSUMER, "red"))
    events = json.loads(SAMPLE.read_bytes())
    assert door.ask("PUT", "/events", SAMPLE.read_bytes(), token=None) == (200, "OK")
    assert door.ask("PUT", "/events", SAMPLE.read_bytes(), token=None) == (200, "OK")  # a repeat of the same
    for time_, status in (("2026-11-21T00:50:24.849450", "up"), ("2026-11-21T00:51:24.849450", "down")):
        events[0]["time"], events[0]["details"]["status"] = time_, status
        assert door.ask("PUT", "/events", events, token=None) == (200, "OK")
    assert door.told(made["subscription_id"]) == [
        ("fault", "2026-11-20T15:49:24.849450Z"),  # local time of the settings' zone
        ("fault_cleared", "2026-11-20T15:49:24.849450Z"),
        ("fault", "2026-11-20T15:51:24.849450Z"),
    ]
    events[0]["details"]["status"] = "up"
    door.ask("POST", "/events", events, token=None)


def test_without_an_allowed_address_events_needs_a_token(tmp_path: Path) -> None:
    """There is no anonymous door but the configured one."""
    with RunningDoctor(tmp_path) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/events", SAMPLE.read_bytes(), token=None)[0] == 401
        assert door.ask("PUT", "/events", SAMPLE.read_bytes()) == (200, "OK")


# --- bad input ---

DEEP: Any = "x"
for _ in range(20):
    DEEP = {"deeper": DEEP}

BAD_EVENTS = [
    pytest.param(b"{", 400, "", id="malformed"),
    pytest.param(b"", 400, "", id="empty"),
    pytest.param(b"null", 400, "", id="null"),
    pytest.param(b"[]", 400, "", id="no-events"),
    pytest.param(
        b'{"event": {"time": "2026-03-04T05:06:07Z", "type": "x", "details": {"a": NaN}}}', 400, "", id="nan"
    ),
    pytest.param(b'{"event": {"time": "2026-03-04T05:06:07Z", "type": "\xff"}}', 400, "", id="bad-utf8"),
    pytest.param(b"[" * 100_000, 400, "", id="very-deep"),
    pytest.param({"event": {**DOWN, "details": DEEP}}, 400, "/event/details/deeper", id="too-deep"),
    pytest.param({"event": {**DOWN, "time": "yesterday"}}, 400, "/event/time", id="no-time"),
    pytest.param(
        {"event": {**DOWN, "time": "0001-01-01T00:00:00+14:00"}}, 400, "/event/time", id="before-time"
    ),
    pytest.param({"event": {"type": "x"}}, 400, "/event/time", id="time-missing"),
    pytest.param({"event": {"time": DOWN["time"]}}, 400, "/event/type", id="type-missing"),
    pytest.param({"event": {**DOWN, "type": 7}}, 400, "/event/type", id="type-is-a-number"),
    pytest.param({"event": {**DOWN, "more": 1}}, 400, "/event/more", id="unknown-field"),
    pytest.param(
        {"events": [{"event": {**DOWN, "details": []}}]}, 400, "/events/0/event/details", id="details-list"
    ),
    pytest.param(
        {"event": {**DOWN, "details": {"severity": "purple"}}}, 400, "/event/details/severity", id="severity"
    ),
    pytest.param(
        {"event": {**DOWN, "details": {"hostname": 5}}}, 400, "/event/details/hostname", id="host-number"
    ),
    pytest.param(
        {"event": {**DOWN, "details": {"hostname": "a\nb"}}}, 400, "/event/details/hostname", id="newline"
    ),
    pytest.param(
        {"event": {**DOWN, "details": {"cause": "x" * 5000}}}, 400, "/event/details/cause", id="long-text"
    ),
    pytest.param(
        {"event": {**DOWN, "details": {str(n): n for n in range(65)}}}, 400, "/event/details", id="keys"
    ),
    pytest.param(
        {"event": {**DOWN, "details": {str(n): "x" * 900 for n in range(20)}}},
        400,
        "/event/details",
        id="16k",
    ),
    pytest.param([DOWN] * 1001, 413, "", id="1001-events"),
    pytest.param(b" " * (1024 * 1024 + 1), 413, "", id="over-1-mib"),
]


@pytest.mark.requirement("D43")
@pytest.mark.parametrize(("body", "status", "pointer"), BAD_EVENTS)
def test_a_bad_event_is_answered_with_the_place_that_is_wrong(
    door: Door, body: Any, status: int, pointer: str
) -> None:
    """Never a 500, and nothing half done."""
    got, problem = door.ask("POST", "/v1/events", body)
    assert got == status, problem
    assert problem["status"] == status
    assert problem["detail"]
    if pointer:
        assert any(flaw["pointer"].startswith(pointer) for flaw in problem["errors"]), problem


@pytest.mark.requirement("D43")
def test_what_is_wrong_with_one_event_does_not_harm_the_others(door: Door) -> None:
    """Partial acceptance, with pointers."""
    events = [{"event": {**DOWN, "type": "nobody.knows"}}, {"event": {"type": "x"}}, {"event": DOWN}]
    status, answer = door.ask("POST", "/v1/events", {"events": events})
    assert status == 202
    assert [one["index"] for one in answer["accepted"]] == [0, 2]
    assert answer["rejected"] == [
        {"index": 1, "errors": [{"pointer": "/events/1/event/time", "detail": "required"}]}
    ]
    status, again = door.ask("POST", "/v1/events", {"events": events})
    assert [one["duplicate"] for one in again["accepted"]] == [True, True]
    assert [one["event_id"] for one in again["accepted"]] == [one["event_id"] for one in answer["accepted"]]


@pytest.mark.requirement("E19")
def test_an_event_on_an_unknown_host_is_an_alarm_of_the_administrator(door: Door) -> None:
    """It is not an error: the map may be behind."""
    down = {**DOWN, "details": {"hostname": "never-heard-of"}}
    assert door.ask("POST", "/v1/events", {"event": down})[0] == 202
    _, page = door.ask("GET", "/v1/alarms?resource_id=never-heard-of")
    assert [one["is_root_cause"] for one in page["items"]] == [True]
    _, mine = door.ask("GET", "/v1/alarms?resource_id=never-heard-of", token=door.token(Role.CONSUMER, "red"))
    assert mine["items"] == []


BAD_SUBSCRIPTIONS = [
    pytest.param(
        {"subscribe_filter": {"min_severity": "purple"}}, "/subscribe_filter/min_severity", id="severity"
    ),
    pytest.param(
        {"subscribe_filter": {"virtual_resource_id": ["vm-red", "vm-blue"]}},
        "/subscribe_filter/virtual_resource_id/1",
        id="somebody-elses",
    ),
    pytest.param(
        {"subscribe_filter": {"virtual_resource_id": ["no-such"]}},
        "/subscribe_filter/virtual_resource_id/0",
        id="unknown",
    ),
    pytest.param({"endpoints": [{"url": "ftp://127.0.0.1/x"}]}, "/endpoints/0/url", id="ftp"),
    pytest.param({"endpoints": [{"url": "http://169.254.169.254/"}]}, "/endpoints/0/url", id="metadata"),
    pytest.param(
        {"endpoints": [{"url": "http://127.0.0.1:1/", "secret": "x"}]}, "/endpoints/0/secret", id="secret"
    ),
    pytest.param({"policy": {"batch": False}}, "/policy/batch", id="not-supported-yet"),
    pytest.param({"subscribe_filters": {}}, "/subscribe_filters", id="unknown-field"),
]


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize(("body", "pointer"), BAD_SUBSCRIPTIONS)
def test_a_bad_subscription_is_refused_whole(door: Door, body: Any, pointer: str) -> None:
    token = door.token(Role.CONSUMER, "red")
    before = door.ask("GET", "/v1/subscriptions", token=token)[1]["items"]
    status, problem = door.ask("POST", "/v1/subscriptions", body, token=token)
    assert status == 422
    assert pointer in [flaw["pointer"] for flaw in problem["errors"]]
    assert door.ask("GET", "/v1/subscriptions", token=token)[1]["items"] == before


def test_an_endpoint_that_does_not_answer_is_a_warning(door: Door) -> None:
    body = {"endpoints": [{"url": "http://127.0.0.1:9/doctor"}]}
    status, made = door.ask("POST", "/v1/subscriptions", body, token=door.token(Role.CONSUMER, "red"))
    assert status == 201
    assert [one["pointer"] for one in made["warnings"]] == ["/endpoints/0/url"]


def test_a_broken_policy_is_refused_and_the_running_one_stays(door: Door) -> None:
    _, before = door.ask("GET", "/v1/failure-policies")
    broken = b"version: 1\nfaults:\n  - {name: x, when: {type: y}, severty: critical}\n"
    status, problem = door.ask("PUT", "/v1/failure-policies", broken, content_type="application/yaml")
    assert status in (400, 422)
    assert any(flaw["pointer"].startswith("/faults/0") for flaw in problem["errors"])
    assert door.ask("GET", "/v1/failure-policies")[1] == before


# --- who may do what ---


@pytest.mark.parametrize("operation", all_operations(), ids=lambda one: f"{one.method} {one.path}")
def test_every_operation_refuses_those_who_are_not_named_for_it(door: Door, operation: Operation) -> None:
    """401 without a good token, 403 for the wrong role: made from the table, so that none is left out."""
    method, path = operation.method, operation.path.replace("{", "").replace("}", "")
    if operation.roles is None:
        assert door.ask(method, path, token=None)[0] not in (401, 403)
        return
    if operation.open_on_loopback:
        assert door.ask(method, path, token="garbage")[0] == 200
        return
    if path != "/events":  # open to this address by the settings
        for token in (None, "garbage"):
            assert door.ask(method, path, token=token)[0] == 401
    for role in set(Role) - operation.roles:
        token = door.token(role, "red" if role is Role.CONSUMER else None)
        assert door.ask(method, path, token=token)[0] == 403, role


def test_a_revoked_token_is_worth_nothing_at_once(door: Door) -> None:
    _, made = door.ask("POST", "/v1/tokens", {"role": "auditor"})
    assert door.ask("GET", "/v1/alarms", token=made["token"])[0] == 200
    assert door.ask("DELETE", f"/v1/tokens/{made['token_id']}")[0] == 204
    assert door.ask("GET", "/v1/alarms", token=made["token"])[0] == 401


@pytest.mark.requirement("B17", "D45")
@pytest.mark.usefixtures("load")
def test_the_stream_tells_at_once_and_goes_on_where_it_broke_off(door: Door) -> None:
    """Server-sent events are the same messages, and `after` misses nothing."""
    token = door.token(Role.CONSUMER, "blue")
    _, made = door.ask("POST", "/v1/subscriptions", {}, token=token)
    path = f"/v1/notifications/stream?subscription_id={made['subscription_id']}&after=0"
    pool = urllib3.PoolManager(retries=False)
    stream = pool.request(
        "GET",
        door.url + path,
        headers={"authorization": f"Bearer {token}"},
        preload_content=False,
        timeout=10,
    )
    try:
        for number, status in enumerate(("down", "up")):
            event = {**DOWN, "time": f"2026-03-04T05:07:0{number}Z"}
            event["details"] = {"hostname": "compute-2", "status": status}
            assert door.ask("POST", "/v1/events", {"event": event})[0] == 202
        seen: list[str] = []
        end = time.monotonic() + 10
        while len(seen) < 2 and time.monotonic() < end:
            line = stream.readline().decode()
            if line.startswith("event:"):
                seen.append(line.split()[1])
    finally:
        stream.close()
    assert seen == ["fault", "fault_cleared"]


# --- how to be told ---

STANDBYS = {
    "physical_resources": [{"id": f"compute-{n}"} for n in range(1, 4)],
    "virtual_resources": [
        {"id": f"vm-{n}", "host": f"compute-{n}", "owner": "red", "group": "web", "role": "STBY"}
        for n in range(1, 4)
    ],
}


def test_how_to_be_told_is_kept_and_shown(door: Door) -> None:
    """[design 5] Every word of the policy, and what waits."""
    assert door.ask("PUT", "/v1/resource-map", STANDBYS)[0] == 200
    token = door.token(Role.CONSUMER, "red")
    policy = {
        "when": "isolated",
        "aggregate": {"group": "web", "role": "STBY", "more_than": 0, "within": "PT5M"},
        "acknowledge": "explicit",
        "heartbeat": 10,
    }
    status, made = door.ask("POST", "/v1/subscriptions", {"policy": policy}, token=token)
    assert status == 201
    path = f"/v1/subscriptions/{made['subscription_id']}"
    shown = door.ask("GET", path, token=token)[1]
    assert shown["policy"] == {
        "when": "isolated",
        "clear": True,
        "change": True,
        "batch": True,
        "aggregate": {"group": "web", "role": "STBY", "more_than": 0, "within": "PT300S"},
        "acknowledge": "explicit",
        "heartbeat": "PT10S",
        "detection": None,
    }
    assert shown["subscribe_filter"]["event"] == ["fault", "maintenance"]
    assert shown["waiting"] == {"held": 0, "unacknowledged": 0, "first_held": []}
    assert door.ask("POST", "/v1/events", report_of("compute-1", "down"))[0] == 202
    waiting = door.ask("GET", path, token=token)[1]["waiting"]
    assert (waiting["held"], waiting["first_held"][0]["resource_id"]) == (1, "vm-1")
    assert waiting["first_held"][0]["isolation"] == "pending"
    assert door.ask("PATCH", path, {"policy": {"acknowledge": "explicit"}}, token=token)[0] == 200
    (told,) = door.ask("GET", f"/v1/notifications?subscription_id={made['subscription_id']}", token=token)[1][
        "items"
    ]
    own = f"/v1/notifications/{told['notification_id']}"
    assert told["links"]["acknowledge"] == f"{own}/acknowledge"
    assert door.ask("GET", own, token=token)[1]["open"] is True
    stranger = door.token(Role.CONSUMER, "blue")
    for method, door_path in (("GET", own), ("POST", f"{own}/acknowledge"), ("GET", f"{path}/parked")):
        assert door.ask(method, door_path, token=stranger)[0] == 404
    assert door.ask("POST", f"{own}/acknowledge", token=token)[0] == 204
    assert door.ask("GET", own, token=token)[1]["open"] is False
    assert door.ask("GET", path, token=token)[1]["waiting"]["unacknowledged"] == 0
    assert door.ask("GET", f"{path}/parked", token=token)[1] == {"items": [], "next": None}
    status, problem = door.ask("POST", f"{path}/replay", {"from": 1, "to": 1}, token=token)
    assert (status, problem["errors"][0]["pointer"]) == (422, "")
    assert door.ask("POST", "/v1/events", report_of("compute-1", "up"))[0] == 202


@pytest.mark.parametrize(
    ("policy", "pointer"),
    [
        ({"heartbeat": "PT0.5S"}, "/policy/heartbeat"),
        ({"heartbeat": "PT2H"}, "/policy/heartbeat"),
        ({"heartbeat": "soon"}, "/policy/heartbeat"),
        ({"aggregate": {"group": "nobodys"}}, "/policy/aggregate/group"),
        ({"aggregate": {"group": "web", "role": "x"}}, "/policy/aggregate/role"),
        ({"aggregate": {"group": "web", "within": 0}}, "/policy/aggregate/within"),
        ({"when": "later"}, "/policy/when"),
    ],
)
def test_a_bad_policy_of_a_subscription_is_refused(door: Door, policy: Any, pointer: str) -> None:
    assert door.ask("PUT", "/v1/resource-map", STANDBYS)[0] == 200
    token = door.token(Role.CONSUMER, "red")
    status, problem = door.ask("POST", "/v1/subscriptions", {"policy": policy}, token=token)
    assert status == 422
    assert [flaw["pointer"] for flaw in problem["errors"]] == [pointer]


def test_there_is_an_end_to_endpoints(door: Door) -> None:
    """[bad input] 10 unless the settings say otherwise."""
    body = {"endpoints": [{"url": f"http://127.0.0.1:9/{n}"} for n in range(11)]}
    status, problem = door.ask("POST", "/v1/subscriptions", body, token=door.token(Role.CONSUMER, "red"))
    assert (status, problem["errors"][0]["pointer"]) == (422, "/endpoints")


def report_of(host: str, status: str) -> dict[str, Any]:
    details = {"hostname": host, "status": status, "source": "policy-test"}
    return {"event": {"time": "2026-03-04T05:06:07Z", "type": "compute.host.down", "details": details}}
