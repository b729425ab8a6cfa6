"""The failure-policy database through the real doors: versions, rollback, and trying a policy on what was recorded."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doctor.app.settings import AuthSettings, Settings
from doctor.app.wiring import Parts, wire
from doctor.flows import dry_run
from doctor.flows.fault import Reported
from doctor.inspector.catalogue import default_policy_text
from doctor.kit.ids import stable_ids
from doctor.model.event import EventBatch, RawEvent
from doctor.model.identity import Role
from doctor.model.resource import PhysicalResource, Relation
from doctor.model.resource_map import ResourceMap
from doctor.ports.store import Change
from doctor.testing.asgi import Reply, call
from tests.scenarios.nfvi import small_nfvi

POLICIES = "/v1/failure-policies"
DRY_RUN = f"{POLICIES}/dry-run"
MINOR = "version: 1\ndescription: only a trifle\nfaults:\n  - {name: host-down, when: {type: compute.host.down}, severity: minor}\n"
BROKEN = "version: 1\nfaults:\n  - {name: x, when: {type: compute.host.down}, severity: awful}\n"


class Doors:
    """The doors of a Doctor that takes requests in this process."""

    def __init__(self, parts: Parts, tokens: dict[Role, str]) -> None:
        self.parts = parts
        self._tokens = tokens

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        role: Role = Role.ADMIN,
        json: Any = None,
    ) -> Reply:
        headers = {"authorization": f"Bearer {self._tokens[role]}"}
        if json is not None:
            return await call(self.parts.doors, method, path, headers, json=json)
        if body is not None:
            headers["content-type"] = "application/yaml"
        text = body.encode() if isinstance(body, str) else body or b""
        return await call(self.parts.doors, method, path, headers, text)

    async def report(self, *events: dict[str, Any]) -> None:
        """Report events at the event door, as a monitor does."""
        reply = await self.ask("POST", "/v1/events", json={"events": [{"event": one} for one in events]})
        assert reply.status == 202, reply.text

    async def try_out(self, text: str, query: str = "") -> Any:
        reply = await self.ask("POST", DRY_RUN + query, text)
        assert reply.status == 200, reply.text
        return reply.json()


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    zone = AuthSettings(anonymous_events_from=["127.0.0.0/8"], anonymous_events_timezone="Asia/Tokyo")
    parts = wire(Settings(data=tmp_path, auth=zone))
    await parts.situation.load()
    parts.situation.resources = small_nfvi()
    tokens = {}
    for role in Role:
        project = "red" if role is Role.CONSUMER else None
        _, tokens[role] = await parts.tokens.create(role, project=project, name=f"the {role}", expires=None)
    yield Doors(parts, tokens)
    await parts.channel.close()
    await parts.store.close()


@pytest.fixture
def doctor_with_a_rack(doors: Doors) -> Doors:
    hosts = [f"compute-{n}" for n in (1, 2, 3)]
    rack = ResourceMap(
        [PhysicalResource(id="rack-1", type="rack"), *(PhysicalResource(id=host) for host in hosts)],
        [],
        [Relation("rack-1", "contains", host) for host in hosts],
    )
    doors.parts.situation.resources = rack
    return doors


def host(name: str, second: int, status: str = "down", **details: Any) -> dict[str, Any]:
    return {
        "time": f"2026-03-04T05:06:{second:02}Z",
        "type": "compute.host.down",
        "details": {"hostname": name, "status": status, **details},
    }


# --- versions ---


@pytest.mark.requirement("D1")
async def test_each_policy_that_was_applied_stays_as_a_version(doors: Doors) -> None:
    assert (await doors.ask("PUT", POLICIES, MINOR)).json()["version"] == 1
    assert (await doors.ask("PUT", POLICIES, "version: 1", role=Role.OPERATOR)).json()["version"] == 2
    listed = (await doors.ask("GET", f"{POLICIES}/versions", role=Role.AUDITOR)).json()
    assert [(one["version"], one["user"], one["description"], one["size"]) for one in listed["items"]] == [
        (2, "the operator", "", 10),
        (1, "the admin", "only a trifle", len(MINOR)),
        (0, "shipped with Doctor", "the policy that ships", len(default_policy_text().encode())),
    ]
    assert listed["items"][2]["applied"] is None
    assert listed["next"] is None
    assert (await doors.ask("GET", f"{POLICIES}/versions/1")).json()["text"] == MINOR
    assert (await doors.ask("GET", f"{POLICIES}/versions/0")).json()["text"] == default_policy_text()
    assert (await doors.ask("GET", POLICIES)).json()["version"] == 2


async def test_versions_come_in_pages(doors: Doors) -> None:
    for _ in range(3):
        await doors.ask("PUT", POLICIES, MINOR)
    found, path = [], f"{POLICIES}/versions?limit=2"
    while path:
        page = (await doors.ask("GET", path)).json()
        found.append([one["version"] for one in page["items"]])
        path = page["next"] and f"{POLICIES}/versions?limit=2&cursor={page['next']}"
    assert found == [[3, 2], [1, 0]]


@pytest.mark.parametrize("version", ["3", "-1", "x", "%D9%A1", "1e0", "9" * 40, "1.0"])
async def test_a_version_that_never_was_is_not_found(doors: Doors, version: str) -> None:
    assert (await doors.ask("GET", f"{POLICIES}/versions/{version}")).status == 404


@pytest.mark.parametrize("cursor", ["LTE", "MA", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
async def test_a_cursor_from_nowhere_finds_nothing(doors: Doors, cursor: str) -> None:
    """It is -1, 0 and more than there can be."""
    assert (await doors.ask("GET", f"{POLICIES}/versions?cursor={cursor}")).json()["items"] == []


async def test_who_saw_an_older_policy_overwrites_nothing(doors: Doors) -> None:
    assert (await doors.ask("PUT", f"{POLICIES}?expected_version=0", MINOR)).status == 200
    late = await doors.ask("PUT", f"{POLICIES}?expected_version=0", "version: 1")
    assert late.status == 409
    assert "version 1 is in force, applied by the admin" in late.json()["detail"]
    assert (await doors.ask("GET", POLICIES)).json()["text"] == MINOR
    assert (await doors.ask("PUT", f"{POLICIES}?expected_version=-1", MINOR)).status == 422


async def test_of_two_who_apply_at_once_neither_is_lost(doors: Doors) -> None:
    replies = await asyncio.gather(*(doors.ask("PUT", POLICIES, MINOR) for _ in range(5)))
    assert sorted(reply.json()["version"] for reply in replies) == [1, 2, 3, 4, 5]
    guarded = (doors.ask("PUT", f"{POLICIES}?expected_version=5", MINOR) for _ in range(3))
    assert sorted(reply.status for reply in await asyncio.gather(*guarded)) == [200, 409, 409]


# --- rollback ---


async def test_a_rollback_is_a_new_version_and_in_force_at_once(doors: Doors) -> None:
    await doors.ask("PUT", POLICIES, MINOR)
    await doors.ask("PUT", POLICIES, "version: 1")
    rolled = await doors.ask("POST", f"{POLICIES}/rollback", json={"version": None})
    assert (rolled.json()["version"], rolled.json()["text"]) == (3, MINOR)
    await doors.report(host("compute-1", 1))
    alarms = (await doors.ask("GET", "/v1/alarms?resource_id=compute-1")).json()["items"]
    assert [one["perceived_severity"] for one in alarms] == ["minor"]
    newest = (await doors.ask("GET", f"{POLICIES}/versions?limit=1")).json()["items"][0]
    assert (newest["version"], newest["restores"], newest["description"]) == (3, 1, "only a trifle")


async def test_a_second_rollback_undoes_the_first_and_any_version_can_be_named(doors: Doors) -> None:
    await doors.ask("PUT", POLICIES, MINOR)
    texts = [
        (await doors.ask("POST", f"{POLICIES}/rollback", json=wanted)).json()["text"]
        for wanted in ({}, {}, {"version": 0}, {"version": 3}, {"version": 5})
    ]
    shipped = default_policy_text()
    assert texts == [shipped, MINOR, shipped, MINOR, MINOR]


async def test_a_rollback_survives_a_restart(doors: Doors) -> None:
    await doors.ask("PUT", POLICIES, MINOR)
    await doors.ask("POST", f"{POLICIES}/rollback", json={})
    parts = doors.parts
    await parts.store.close()
    await parts.situation.load()
    await parts.policies.start(parts.situation, None)
    assert (await doors.ask("GET", POLICIES)).json()["text"] == default_policy_text()
    assert parts.situation.policy is not None
    assert parts.situation.policy.restores == 0


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        pytest.param({}, 409, None, id="nothing-before"),
        pytest.param({"version": 7}, 422, "/version", id="never-was"),
        pytest.param({"version": 2**53 - 1}, 422, "/version", id="far-off"),
        pytest.param({"version": -1}, 422, "/version", id="negative"),
        pytest.param({"version": "1"}, 422, "/version", id="text"),
        pytest.param({"to": 1}, 422, "/to", id="unknown-field"),
        pytest.param([], 422, "", id="list"),
    ],
)
async def test_a_rollback_that_cannot_be_changes_nothing(
    doors: Doors, body: Any, status: int, pointer: str | None
) -> None:
    reply = await doors.ask("POST", f"{POLICIES}/rollback", json=body)
    assert reply.status == status
    assert [flaw["pointer"] for flaw in reply.json()["errors"]] == ([] if pointer is None else [pointer])
    assert (await doors.ask("GET", POLICIES)).json()["version"] == 0


# --- dry-run ---


async def test_a_dry_run_says_what_would_have_been_different_and_does_nothing(doors: Doors) -> None:
    await doors.report(
        host("compute-1", 1),
        {
            "time": "2026-03-04T05:06:02Z",
            "type": "compute.memory.failure",
            "details": {"hostname": "compute-2", "severity": "critical"},
        },
    )
    await doors.report(host("compute-1", 3), host("compute-1", 4, "up"))
    before = await doors.parts.store.load(recent_events=10)
    done = await doors.try_out(MINOR)
    assert (done["events"], done["duplicates"], done["unreadable_batches"], done["truncated"]) == (
        4,
        0,
        0,
        False,
    )
    assert done["counts"] == {"only_candidate": 0, "only_current": 1, "changed": 1}
    changed, only = done["differences"]
    assert (changed["kind"], changed["resource_id"], changed["fault_type"]) == (
        "changed",
        "compute-1",
        "host down",
    )
    assert changed["event_time"] == "2026-03-04T05:06:01Z"
    assert changed["current"]["perceived_severity"] == "critical"
    assert changed["candidate"] == {
        **changed["current"],
        "perceived_severity": "minor",
        "affected": {},  # it has no `propagate`
    }
    assert changed["current"]["affected"] == {"error": 2}
    assert (only["kind"], only["event"], only["candidate"]) == (
        "only_current",
        "compute.memory.failure",
        None,
    )
    assert (only["current"]["rule"], only["current"]["happening"]) == ("memory-failure", "raised")
    assert done["candidate"]["rules"] == [
        {"rule": "host-down", "seen": 3, "fired": 2, "raised": 1, "cleared": 1}
    ]
    assert (done["never_fired"], done["always_fired"]) == ([], [])
    assert (done["current"]["version"], done["candidate"]["version"]) == (0, None)
    assert (done["current"]["still_open"], done["candidate"]["still_open"]) == (1, 0)
    assert [one.partition(":")[0] for one in done["warnings"]] == ["/propagate"]
    assert (await doors.ask("GET", POLICIES)).json()["version"] == 0
    assert await doors.parts.store.load(recent_events=10) == before


@pytest.mark.requirement("B7")
async def test_what_the_time_alone_would_have_done_is_told_without_an_event(doors: Doors) -> None:
    """A heartbeat that stayed away: ten seconds later, by the clock of then."""
    beat = {"time": "2026-03-04T05:06:07Z", "type": "beat", "details": {"source": "zabbix"}}
    batch = EventBatch(
        received_time=doors.parts.clock.now() - timedelta(hours=1),
        source="zabbix",
        event_ids=b"",
        body=msgspec.json.encode({"event": beat}),
    )
    read = RawEvent(time=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), type="beat", source="zabbix")
    ids = stable_ids("event", [read.identity])
    batch = msgspec.structs.replace(batch, event_ids=bytes.fromhex(ids[0].replace("-", "")))
    await doors.parts.store.commit(Change(batches=[batch]))
    done = await doors.try_out(
        f"{default_policy_text()}\nabsence: [{{name: beat, expect: {{type: beat}}, every: PT10S}}]\n"
    )
    [difference] = done["differences"]
    assert (difference["event_id"], difference["event_time"], difference["event"]) == (None, None, None)
    assert (difference["kind"], difference["fault_type"]) == ("only_candidate", "monitor silent")
    due = datetime.fromisoformat(difference["time"]) - batch.received_time
    assert due == timedelta(seconds=10)


async def test_the_policy_in_force_differs_in_nothing_from_itself(doors: Doors) -> None:
    await doors.report(*(host("compute-1", n, "down" if n % 3 else "up") for n in range(20)))
    done = await doors.try_out(default_policy_text())
    assert done["differences"] == []
    assert done["current"]["rules"] == done["candidate"]["rules"]


@pytest.mark.requirement("G53")
async def test_zones_that_would_have_failed_are_told(doctor_with_a_rack: Doors) -> None:
    """[HA 6.1.2.3] Asked or not; what the policy in force would have done is beside it."""
    doors = doctor_with_a_rack
    await doors.report(*(host(f"compute-{n}", n) for n in (1, 2)))
    text = (
        "version: 1\nfaults: [{name: host-down, when: {type: compute.host.down}}]\n"
        "zones: [{type: rack, probation: 60, frequency: 2, escalate: %s}]\n"
    )
    done = await doors.try_out(text % "ask")
    assert done["candidate"]["zones"] == [{"type": "rack", "asked": 1, "took_effect": 0, "over": 0}]
    assert {one["type"]: one["asked"] for one in done["current"]["zones"]} == {"chassis": 0, "rack": 0}
    told = [(one["fault_type"], one["kind"]) for one in done["differences"] if one["resource_id"] == "rack-1"]
    assert told == [
        ("failure of a domain", "only_current"),  # the policy that ships says more: a storm
        ("escalation to a zone", "only_candidate"),
    ]
    done = await doors.try_out(text % "automatic")
    assert done["candidate"]["zones"] == [{"type": "rack", "asked": 0, "took_effect": 1, "over": 0}]
    assert (await doors.ask("GET", "/v1/escalations")).json()["items"] == []


async def test_rules_that_never_and_always_fired_are_named(doors: Doors) -> None:
    await doors.report(host("compute-1", 1), host("compute-2", 2))
    done = await doors.try_out(
        "version: 1\nfaults:\n"
        "  - {name: never, when: {type: compute.host.down, details: {status: broken}}}\n"
        "  - {name: always, when: {type: compute.host.down}}\n"
        "  - {name: unasked, when: {type: compute.cpu.failure}}\n"
    )
    assert (done["never_fired"], done["always_fired"]) == (["never", "unasked"], ["always"])


async def test_events_from_every_door_are_read_again(doors: Doors) -> None:
    """The OPNFV door has a time zone of its own, the ping monitor reports what it saw as it is inside."""
    opnfv = [
        {
            "id": "1",
            "time": "2026-03-04T14:06:07.5",
            "type": "compute.host.down",
            "details": {"hostname": "compute-1", "status": "down", "monitor": "m", "monitor_event_id": "1"},
        }
    ]
    assert (await doors.ask("PUT", "/events", json=opnfv)).text == "OK"
    seen = RawEvent(
        time=doors.parts.clock.now(),
        type="compute.host.down",
        resource="compute-2",
        source="ping",
        raw_details=b'{"status":"down"}',
    )
    report = Reported([seen], "ping", msgspec.json.encode(seen), doors.parts.clock.now())
    await doors.parts.faults.accept([report])
    done = await doors.try_out("version: 1")
    assert (done["events"], done["unreadable_batches"]) == (2, 0)
    assert [one["resource_id"] for one in done["differences"]] == ["compute-1", "compute-2"]
    assert (
        done["differences"][0]["event_time"] == "2026-03-04T05:06:07.500000Z"
    )  # local time of the settings' zone


async def test_repeats_count_once_and_what_cannot_be_read_is_counted(doors: Doors) -> None:
    await doors.report(host("compute-1", 1))
    await doors.report(host("compute-1", 1), {"type": "no time"})
    now = doors.parts.clock.now()
    for body in (b"{", b"[]", b'{"event": {"time": "2026-03-04T05:06:07Z", "type": "x"}}', b"[" * 100_000):
        strange = EventBatch(received_time=now, source="s", event_ids=b"0" * 16, body=body)
        await doors.parts.store.commit(Change(batches=[strange]))
    done = await doors.try_out(MINOR)
    assert (done["events"], done["duplicates"], done["unreadable_batches"]) == (2, 1, 4)


async def test_a_limit_truncates_and_says_so(doors: Doors) -> None:
    for second in range(3):
        await doors.report(host("compute-1", second), host("compute-2", second))
    assert [
        ((done := await doors.try_out(MINOR, f"?limit={limit}"))["events"], done["truncated"])
        for limit in (1, 2, 5, 6, 7)
    ] == [(1, True), (2, True), (5, True), (6, False), (6, False)]


async def test_only_events_since_a_time_are_read(doors: Doors) -> None:
    await doors.report(host("compute-1", 1))
    between = doors.parts.clock.now()
    await doors.report(host("compute-2", 2))
    since = between.isoformat().replace("+00:00", "Z")
    assert (await doors.try_out(MINOR, f"?since={since}"))["events"] == 1
    assert (await doors.try_out(MINOR, "?since=2000-01-01T00:00:00Z"))["events"] == 2
    old = RawEvent(time=between, type="compute.host.down", resource="compute-1")
    (old_id,) = stable_ids("event", [old.identity])
    batch = EventBatch(
        received_time=between - timedelta(days=2),
        source="",
        event_ids=bytes.fromhex(old_id.replace("-", "")),
        body=msgspec.json.encode(old),
    )
    await doors.parts.store.commit(Change(batches=[batch]))
    assert (await doors.try_out(MINOR))["events"] == 2  # of a day, if nothing else is said
    assert (await doors.try_out(MINOR, "?since=2000-01-01T00:00:00Z"))["events"] == 3


async def test_a_dry_run_ends_when_its_time_is_over(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    await doors.report(host("compute-1", 1))
    monkeypatch.setattr(dry_run, "MOST_SECONDS", -1.0)
    done = await doors.try_out(MINOR)
    assert (done["events"], done["truncated"], done["until"]) == (0, True, None)


async def test_no_more_differences_are_told_than_a_person_reads(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "MOST_DIFFERENCES", 3)
    await doors.report(*(host(f"host-{n}", n) for n in range(5)))
    done = await doors.try_out(MINOR)
    assert (len(done["differences"]), done["counts"]["changed"]) == (3, 5)


async def test_events_are_taken_while_a_dry_run_is_under_way(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And another one has to wait for its end."""
    went_on = threading.Event()
    take = dry_run.Comparison.take

    def held(self: dry_run.Comparison, batches: Iterable[EventBatch], is_late: Callable[[], bool]) -> None:
        assert went_on.wait(60)
        take(self, batches, is_late)

    monkeypatch.setattr(dry_run.Comparison, "take", held)
    await doors.report(host("compute-1", 1))
    running = asyncio.create_task(doors.try_out(MINOR))
    await asyncio.sleep(0)
    refused = await doors.ask("POST", DRY_RUN, MINOR)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    await doors.report(host("compute-2", 1))
    alarms = (await doors.ask("GET", "/v1/alarms?resource_id=compute-2")).json()["items"]
    assert [one["perceived_severity"] for one in alarms] == ["critical"]
    went_on.set()
    assert (await running)["counts"]["changed"] >= 1
    assert (await doors.try_out(MINOR))["events"] == 2


@pytest.mark.parametrize(
    ("text", "query", "status", "pointer"),
    [
        pytest.param(BROKEN, "", 400, "/faults/0/severity", id="broken"),
        pytest.param("", "", 400, None, id="empty"),
        pytest.param(b"\xff", "", 400, None, id="no-text"),
        pytest.param("a: &x [*x]", "", 400, "", id="alias"),
        pytest.param("#" * (1 << 20) + "#", "", 413, None, id="large"),
        pytest.param(MINOR, "?limit=0", 422, "/limit", id="no-events"),
        pytest.param(MINOR, "?limit=1000001", 422, "/limit", id="too-many"),
        pytest.param(MINOR, "?since=yesterday", 422, "/since", id="no-time"),
        pytest.param(MINOR, "?snice=1", 422, "/snice", id="unknown-parameter"),
    ],
)
async def test_a_dry_run_that_cannot_be_is_refused(
    doors: Doors, text: str | bytes, query: str, status: int, pointer: str | None
) -> None:
    reply = await doors.ask("POST", DRY_RUN + query, text)
    assert reply.status == status
    assert [flaw["pointer"] for flaw in reply.json()["errors"]] == ([] if pointer is None else [pointer])
    assert (await doors.ask("POST", DRY_RUN, MINOR)).status == 200


# --- who may ---


@pytest.mark.parametrize("role", [Role.CONSUMER, Role.MONITOR, Role.AUDITOR])
async def test_only_administrators_change_and_try_policies(doors: Doors, role: Role) -> None:
    assert (await doors.ask("POST", DRY_RUN, MINOR, role=role)).status == 403
    assert (await doors.ask("POST", f"{POLICIES}/rollback", json={}, role=role)).status == 403
    assert (await doors.ask("PUT", POLICIES, MINOR, role=role)).status == 403
    seen = 200 if role is Role.AUDITOR else 403
    assert (await doors.ask("GET", f"{POLICIES}/versions", role=role)).status == seen
    assert (await doors.ask("GET", f"{POLICIES}/versions/0", role=role)).status == seen
