"""Silences over HTTP: who may ask for what, what is refused and how, what is shown and to whom."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from doctor.testing.scenario import without_damping
from tests.integration.test_alarm_doors import RESOURCES, event
from tests.integration.test_doors import Door

VM_RED = {"matcher": {"resource_id": ["vm-red"]}, "reason": "our own test", "duration": "PT1H"}
COMPUTE_1 = {"matcher": {"resource_id": ["compute-1"]}, "reason": "new memory", "duration": 3600}


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("silences")
    policy = folder / "policy.yaml"
    policy.write_text(without_damping())
    with RunningDoctor(folder, policy=str(policy), limits={"silence_hours": 48}) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
        yield door


@pytest.fixture
def red(door: Door) -> str:
    return door.token(Role.CONSUMER, "red")


@pytest.fixture
def blue(door: Door) -> str:
    return door.token(Role.CONSUMER, "blue")


@pytest.fixture(autouse=True)
def loud_again(door: Door) -> Iterator[None]:
    """End all silences behind each test, and all subscriptions, and mend the host."""
    yield
    for one in door.ask("GET", "/v1/subscriptions")[1]["items"]:
        assert door.ask("DELETE", f"/v1/subscriptions/{one['subscription_id']}")[0] == 204
    for one in door.ask("GET", "/v1/silences")[1]["items"]:
        assert door.ask("DELETE", f"/v1/silences/{one['silence_id']}")[0] == 200
    report(door, "up")


def report(door: Door, status: str) -> None:
    """Report how compute-1 is: news, whichever test comes first."""
    said = event("compute.host.down", "compute-1", 1, status) | {"time": datetime.now(UTC).isoformat()}
    assert door.ask("POST", "/v1/events", said)[0] == 202


def ask_for(door: Door, body: Any, token: str = "") -> dict[str, Any]:
    status, made = door.ask("POST", "/v1/silences", body, token=token)
    assert status == 201, made
    found: dict[str, Any] = made
    return found


@pytest.mark.requirement("B19")
def test_a_silence_from_its_beginning_to_its_end(door: Door, red: str) -> None:
    _, subscribed = door.ask("POST", "/v1/subscriptions", {}, token=red)
    made = ask_for(door, {**VM_RED, "owner": "ann"}, red)
    path = f"/v1/silences/{made['silence_id']}"
    assert (made["state"], made["project"], made["audience"]) == ("active", "red", "project")
    assert (made["owner"], made["warnings"]) == ("ann", [])
    report(door, "down")
    assert door.told(subscribed["subscription_id"]) == []

    _, shown = door.ask("GET", path, token=red)
    assert (shown["alarms"], shown["withheld_notifications"], shown["withheld_alarms"]) == (1, 1, 1)
    _, page = door.ask("GET", "/v1/alarms?silenced=true", token=red)
    (alarm,) = page["items"]
    assert alarm["silenced"] is True
    assert alarm["silences"] == [
        {"silence_id": made["silence_id"], "owner": "ann", "reason": "our own test", "end": made["end"]}
    ]
    assert door.ask("GET", "/v1/alarms?silenced=false", token=red)[1]["items"] == []
    assert door.ask("GET", "/v1/alarms/summary", token=red)[1]["silenced"] == 1
    _, faults = door.ask("GET", "/v1/faults", token=red)
    assert [one["virtual_resource_id"] for one in faults["items"]] == ["vm-red"]
    _, past = door.ask("GET", f"/v1/alarms/{alarm['alarm_id']}/history", token=red)
    assert [(one["what"], one.get("reason"), one.get("silence_id")) for one in past["items"]] == [
        ("raised", None, None),
        ("not_told", "silenced by ann because our own test", made["silence_id"]),
    ]

    status, over = door.ask("DELETE", path, token=red)
    assert (status, over["state"], over["ended_by"], over["alarms"]) == (200, "ended", made["created_by"], 0)
    assert door.ask("DELETE", path, token=red) == (200, over)
    assert [kind for kind, _ in door.told(subscribed["subscription_id"])] == ["fault"]
    assert door.ask("GET", f"/v1/alarms/{alarm['alarm_id']}", token=red)[1]["silenced"] is False
    assert door.ask("PATCH", path, {"reason": "x"}, token=red)[0] == 409


def test_owners_of_what_the_administrator_silences_see_that_and_not_why(door: Door, red: str) -> None:
    _, subscribed = door.ask("POST", "/v1/subscriptions", {}, token=red)
    made = ask_for(door, {**COMPUTE_1, "audience": "everybody"})
    report(door, "down")
    assert door.told(subscribed["subscription_id"]) == []
    _, page = door.ask("GET", "/v1/alarms", token=red)
    (alarm,) = page["items"]
    assert alarm["silences"] == [{"silence_id": None, "owner": None, "reason": None, "end": made["end"]}]
    _, page = door.ask("GET", "/v1/alarms")
    assert {one["resource_id"]: one["silences"][0]["silence_id"] for one in page["items"]} == dict.fromkeys(
        ("compute-1", "vm-red", "vm-blue"), made["silence_id"]
    )
    _, past = door.ask("GET", f"/v1/alarms/{alarm['alarm_id']}/history", token=red)
    assert past["items"][-1]["reason"] == "silenced by the Administrator"
    assert "memory" not in str((alarm, past))


def test_projects_never_see_each_others(door: Door, red: str, blue: str) -> None:
    """Nor the Administrator's; what is somebody else's is answered like what does not exist."""
    mine, admins = ask_for(door, VM_RED, red), ask_for(door, COMPUTE_1)
    assert door.ask("GET", "/v1/silences", token=blue)[1]["items"] == []
    assert [one["silence_id"] for one in door.ask("GET", "/v1/silences", token=red)[1]["items"]] == [
        mine["silence_id"]
    ]
    assert len(door.ask("GET", "/v1/silences")[1]["items"]) == 2
    for token, silence_id in (
        (blue, mine["silence_id"]),
        (blue, admins["silence_id"]),
        (red, admins["silence_id"]),
        (red, "x"),
    ):
        for method, body in (("GET", None), ("PATCH", {"reason": "x"}), ("DELETE", None)):
            status, problem = door.ask(method, f"/v1/silences/{silence_id}", body, token=token)
            assert (status, problem["detail"]) == (404, "there is no such silence")
    assert door.ask("POST", "/v1/silences", VM_RED, token=door.token(Role.AUDITOR))[0] == 403
    assert door.ask("GET", "/v1/silences", token=door.token(Role.AUDITOR))[0] == 200
    assert door.ask("GET", "/v1/silences", token=door.token(Role.MONITOR))[0] == 403


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        pytest.param({"matcher": {}}, "/matcher", id="everything"),
        pytest.param({"matcher": {"resource_id": ["*"]}}, "/matcher", id="everything-by-a-star"),
        pytest.param({"matcher": {"resource_id": ["*-*"]}}, "/matcher", id="everything-there-is"),
        pytest.param({"matcher": {"host": ["x"]}}, "/matcher/host", id="unknown-field"),
        pytest.param({"matcher": {"zone_id": [""]}}, "/matcher/zone_id/0", id="empty-word"),
        pytest.param({"matcher": {"zone_id": ["a\nb"]}}, "/matcher/zone_id/0", id="two-lines"),
        pytest.param({"reason": ""}, "/reason", id="no-reason"),
        pytest.param({"reason": "a\x00b"}, "/reason", id="control-character"),
        pytest.param({"owner": "a\tb"}, "/owner", id="owner"),
        pytest.param({"duration": None}, "/end", id="no-end"),
        pytest.param({"duration": "PT1H", "end": in_hours(1)}, "/end", id="two-ends"),
        pytest.param({"duration": "soon"}, "/duration", id="no-duration"),
        pytest.param({"duration": -1}, "/duration", id="negative"),
        pytest.param({"duration": 1e300}, "/duration", id="beyond-all-numbers"),
        pytest.param({"duration": "PT49H"}, "/end", id="over-long"),
        pytest.param({"duration": None, "end": in_hours(-1)}, "/end", id="past"),
        pytest.param({"duration": None, "start": in_hours(2), "end": in_hours(1)}, "/end", id="before-start"),
        pytest.param({"duration": None, "end": "0001-01-01T00:00:00+14:00"}, "/end", id="no-utc"),
        pytest.param({"start": "9999-01-01T00:00:00Z"}, "/start", id="too-far"),
        pytest.param({"audience": "project"}, "/audience", id="whose-project"),
        pytest.param({"audience": "nobody"}, "/audience", id="audience"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(door: Door, given: Any, pointer: str) -> None:
    status, problem = door.ask("POST", "/v1/silences", {**COMPUTE_1, **given})
    assert status == 422
    assert [flaw["pointer"] for flaw in problem["errors"]] == [pointer]
    assert door.ask("GET", "/v1/silences")[1]["items"] == []


@pytest.mark.parametrize(
    ("given", "pointer"),
    [({"audience": "everybody"}, "/audience"), ({"matcher": {"project": ["blue"]}}, "/matcher/project")],
)
def test_a_project_speaks_for_itself_alone(door: Door, red: str, given: Any, pointer: str) -> None:
    status, problem = door.ask("POST", "/v1/silences", {**VM_RED, **given}, token=red)
    assert (status, [flaw["pointer"] for flaw in problem["errors"]]) == (422, [pointer])


def test_who_means_everything_says_so(door: Door, red: str) -> None:
    made = ask_for(door, {**VM_RED, "matcher": {}, "everything": True}, red)
    assert made["matcher"]["resource_id"] == []


def test_what_matches_nothing_is_warned_of(door: Door, red: str) -> None:
    """Somebody else's machine is nothing, as one that does not exist."""
    for name in ("vm-blue", "vm-none"):
        made = ask_for(door, {**VM_RED, "matcher": {"resource_id": [name]}}, red)
        assert [(one["pointer"], one["detail"]) for one in made["warnings"]] == [
            ("/matcher/resource_id/0", "nothing of yours is called that"),
            ("/matcher", "covers nothing that is there now"),
        ]


def test_lists_are_filtered_sorted_and_paged(door: Door) -> None:
    ids = {
        name: ask_for(door, {**COMPUTE_1, "owner": name, "start": in_hours(hours)})["silence_id"]
        for name, hours in (("now", -1), ("soon", 1), ("later", 2))
    }
    door.ask("DELETE", f"/v1/silences/{ids['later']}")

    def found(query: str) -> list[str]:
        owners, path = [], f"/v1/silences?{query}&limit=1"
        while path:
            _, page = door.ask("GET", path)
            owners += [one["owner"] for one in page["items"]]
            path = page["next"] and f"/v1/silences?{query}&limit=1&cursor={page['next']}"
        return owners

    assert found("") == ["now", "soon"]
    assert found("state=planned") == ["soon"]
    assert found("state=active") == ["now"]
    assert found("state=current&sort=-start") == ["soon", "now"]
    assert found("state=ended&sort=-start")[0] == "later"
    assert found("state=all&sort=-end")[:2] == ["soon", "now"]
    assert door.ask("GET", "/v1/silences?state=loud")[0] == 422


def test_a_change_is_noted(door: Door) -> None:
    made = ask_for(door, COMPUTE_1)
    path = f"/v1/silences/{made['silence_id']}"
    status, changed = door.ask("PATCH", path, {"duration": "PT2H", "reason": "takes longer"})
    assert (status, changed["reason"]) == (200, "takes longer")
    assert len(changed["changes"]) == 1
    for wrong, pointer in (
        ({"duration": "PT60H"}, "/end"),
        ({"start": in_hours(1)}, "/start"),
        ({"matcher": {}}, "/matcher"),
        ({"reason": ""}, "/reason"),
        ({"reason": "a\nb"}, "/reason"),
        ({"duration": "x"}, "/duration"),
    ):
        status, problem = door.ask("PATCH", path, wrong)
        assert (status, [flaw["pointer"] for flaw in problem["errors"]]) == (422, [pointer])
    assert door.ask("GET", path)[1] == changed


def test_silences_outlive_doctor(tmp_path: Path) -> None:
    with RunningDoctor(tmp_path) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
        _, subscribed = door.ask("POST", "/v1/subscriptions", {"subscribe_filter": {"event": ["fault"]}})
        made = ask_for(door, {**COMPUTE_1, "audience": "everybody"})
        report(door, "down")
    with RunningDoctor(tmp_path) as doctor:
        door = Door(doctor)
        _, again = door.ask("GET", f"/v1/silences/{made['silence_id']}")
        assert (again["state"], again["withheld_alarms"], again["alarms"]) == ("active", 3, 3)
        assert door.told(subscribed["subscription_id"]) == []
        assert door.ask("DELETE", f"/v1/silences/{made['silence_id']}")[0] == 200
        assert [kind for kind, _ in door.told(subscribed["subscription_id"])] == ["fault"]
