"""The door to what the failure policy does not name."""

from collections.abc import Iterator

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with RunningDoctor(tmp_path_factory.mktemp("unnamed")) as doctor:
        yield Door(doctor)


def test_what_the_policy_does_not_name_is_listed(door: Door) -> None:
    """Those that come most often first, page by page; a policy that is applied begins anew."""
    for second, name in enumerate(("coffee.empty", "coffee.empty", "tea.cold", "compute.host.down")):
        event = {"time": f"2026-03-04T07:00:0{second}Z", "type": name, "details": {"hostname": "c-9"}}
        assert door.ask("POST", "/v1/events", event)[0] == 202
    path = "/v1/failure-policies/unnamed-types"
    status, page = door.ask("GET", f"{path}?limit=1")
    assert (status, page["items"]) == (200, [{"type": "coffee.empty", "events": 2}])
    _, rest = door.ask("GET", f"{path}?limit=1&cursor={page['next']}")
    assert rest == {"items": [{"type": "tea.cold", "events": 1}], "next": None}
    assert [one["type"] for one in door.ask("GET", f"{path}?sort=-type")[1]["items"]] == [
        "tea.cold",
        "coffee.empty",
    ]
    assert door.ask("POST", "/v1/failure-policies/rollback", {"version": 0})[0] == 200
    assert door.ask("GET", path)[1]["items"] == []


@pytest.mark.parametrize(
    ("query", "role", "status"),
    [
        pytest.param("?sort=colour", None, 422, id="no-such-order"),
        pytest.param("?limit=0", None, 422, id="no-rows"),
        pytest.param("?cursor=nonsense", None, 400, id="no-cursor"),
        pytest.param("", Role.MONITOR, 403, id="not-a-monitor"),
        pytest.param("", Role.AUDITOR, 200, id="an-auditor"),
    ],
)
def test_who_may_ask_for_it_and_how(door: Door, query: str, role: Role | None, status: int) -> None:
    token = "" if role is None else door.token(role)
    assert door.ask("GET", f"/v1/failure-policies/unnamed-types{query}", token=token)[0] == status
