"""What can be asked of a running Doctor: faults of now and of the past, resources, with filters and in order."""

from collections.abc import Iterator
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door

RESOURCES: dict[str, list[dict[str, Any]]] = {
    "physical_resources": [
        {
            "id": "compute-1",
            "zone_id": "az1",
            "metadata": {"vcpus": 8, "memory_mb": "1024"},
            "aliases": ["c-one"],
            "firmware_version": "1.2",
        },
        {
            "id": "compute-2.example",
            "zone_id": "az2",
            "hypervisor_version": "kvm 9",
            "update_status": "current",
        },
        {"id": "tor-1", "type": "switch", "zone_id": "az1"},
    ],
    "virtual_resources": [
        {"id": "vm-1", "host": "compute-1", "owner": "red", "group": "g1", "role": "ACT", "sal": 1},
        {
            "id": "vm-2",
            "host": "compute-2.example",
            "owner": "red",
            "group": "g1",
            "role": "STBY",
            "vcpus": 2,
        },
        {"id": "vol-1", "type": "virtual storage", "host": "compute-1", "owner": "red", "group": "g2"},
        {"id": "vm-4", "host": "compute-2.example", "owner": "blue"},
    ],
}
# One fault that is over, then three that are there: a dead host, a warning on the other, a machine by itself.
EVENTS = [
    ("2026-03-04T05:00:00Z", "compute.cpu.failure", "compute-2.example", "down"),
    ("2026-03-04T05:01:00Z", "compute.cpu.failure", "compute-2.example", "up"),
    ("2026-03-04T05:02:00Z", "compute.host.down", "compute-1", "down"),
    ("2026-03-04T05:03:00Z", "compute.power.degraded", "compute-2.example", "down"),
    ("2026-03-04T05:04:00Z", "compute.instance.error", "vm-2", "down"),
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    patient = {"1": {"detection": 1, "recovery": 100_000}}  # no alarm of the level while the tests run
    with RunningDoctor(tmp_path_factory.mktemp("queries"), service_availability_levels=patient) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
        for time, kind, where, status in EVENTS:
            event = {"time": time, "type": kind, "details": {"hostname": where, "status": status}}
            assert door.ask("POST", "/v1/events", {"event": event})[0] == 202
        yield door


def asked(door: Door, path: str, project: str | None = None) -> list[Any]:
    """Return all items, page by page, each of one item."""
    token = door.token(Role.CONSUMER, project) if project else ""
    found, cursor = [], ""
    for _ in range(50):
        more = f"&cursor={cursor}" if cursor else ""
        status, page = door.ask("GET", f"{path}&limit=1{more}", token=token)
        assert status == 200, page
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


def hits(items: list[Any]) -> list[tuple[str, str]]:
    return [(one["virtual_resource_id"], fault["fault_type"]) for one in items for fault in one["faults"]]


DOWN_1, DOWN_VOL = ("vm-1", "host down"), ("vol-1", "host down")
POWER_2, ERROR_2 = ("vm-2", "power degraded"), ("vm-2", "instance error")
POWER_4 = ("vm-4", "power degraded")
OF_RED = [DOWN_1, ERROR_2, POWER_2, DOWN_VOL]


@pytest.mark.requirement("D5")
def test_who_subscribes_reads_how_things_are(door: Door) -> None:
    """[D 5.2.1 step 2] The named resources in any case; without names all that are not normal."""
    red = door.token(Role.CONSUMER, "red")

    def shown(asked: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
        status, made = door.ask("POST", "/v1/subscriptions", {"subscribe_filter": asked}, token=red)
        assert status == 201, made
        door.ask("DELETE", f"/v1/subscriptions/{made['subscription_id']}", token=red)
        return {
            one["virtual_resource_id"]: (
                one["virtual_resource_state"],
                sorted(f"{fault['fault_type']} {fault['alarm_state']}" for fault in one["faults"]),
            )
            for one in made["virtual_resource_info"]
        }

    assert shown({"virtual_resource_id": ["vm-2"]}) == {
        "vm-2": ("error", ["instance error raised", "power degraded raised"])
    }
    assert shown({}).keys() == {"vm-1", "vm-2", "vol-1"}


FAULTS = [
    pytest.param("", "red", OF_RED, id="mine"),
    pytest.param("", None, [DOWN_1, ERROR_2, POWER_2, POWER_4, DOWN_VOL], id="administrator"),
    pytest.param("virtual_resource_type=virtual storage", "red", [DOWN_VOL], id="type"),
    pytest.param("virtual_resource_id=vm-2,vm-4", "red", [ERROR_2, POWER_2], id="id-and-not-anothers"),
    pytest.param("fault_type=power degraded", "red", [POWER_2], id="fault-type"),
    pytest.param("probable_cause=underlying resource unavailable", "red", [DOWN_1, DOWN_VOL], id="cause"),
    pytest.param("min_severity=critical", "red", [DOWN_1, ERROR_2, DOWN_VOL], id="min-severity"),
    pytest.param("event_start_time=2026-03-04T05:03:00Z", "red", [ERROR_2, POWER_2], id="start-inclusive"),
    pytest.param("event_end_time=2026-03-04T05:02:00Z", "red", [DOWN_1, DOWN_VOL], id="end-inclusive"),
    pytest.param("physical_resource_id=c-one", None, [DOWN_1, DOWN_VOL], id="host-by-alias"),
    pytest.param(
        "physical_resource_id=compute-2", None, [ERROR_2, POWER_2, POWER_4], id="host-by-short-name"
    ),
    pytest.param("zone_id=az1", None, [DOWN_1, DOWN_VOL], id="zone"),
    pytest.param("fault_type=CPU failure", "red", [], id="over-is-not-active"),
    pytest.param("state=cleared", "red", [("vm-2", "CPU failure")], id="cleared"),
    pytest.param(
        "state=cleared&min_severity=critical", "blue", [("vm-4", "CPU failure")], id="cleared-by-worst"
    ),
    pytest.param("state=cleared&fault_type=host down", "red", [], id="active-is-not-cleared"),
    pytest.param("state=all", "red", [*OF_RED, ("vm-2", "CPU failure")], id="all"),
    pytest.param("sort=-virtual_resource_id", "red", [DOWN_VOL, ERROR_2, POWER_2, DOWN_1], id="backwards"),
    pytest.param("sort=event_time", "red", [DOWN_1, DOWN_VOL, ERROR_2, POWER_2], id="by-time"),
    pytest.param("sort=-severity&virtual_resource_id=vm-4,vm-1", None, [DOWN_1, POWER_4], id="worst-first"),
    pytest.param(
        "sort=virtual_resource_type&min_severity=5", "red", [DOWN_1, ERROR_2, DOWN_VOL], id="by-type"
    ),
]


@pytest.mark.requirement("B27", "D7", "D26", "D33", "D15", "D31")
@pytest.mark.parametrize(("query", "project", "found"), FAULTS)
def test_a_fault_query_finds_what_it_asks_for(
    door: Door, query: str, project: str | None, found: list[tuple[str, str]]
) -> None:
    """FaultQueryFilterClass [D 5.4], filter by filter."""
    path = f"/v1/faults?{query.replace(' ', '%20')}"
    assert hits(asked(door, path, project)) == found


@pytest.mark.requirement("D16", "D26")
def test_a_fault_id_finds_all_that_the_fault_took_down(door: Door) -> None:
    """An owner's id finds the owner's resources, the Administrator's all of them, and neither works for others."""
    (mine, *_) = asked(door, "/v1/faults?virtual_resource_id=vm-2&fault_type=power%20degraded", "red")
    fault_id = mine["faults"][0]["fault_id"]
    assert hits(asked(door, f"/v1/faults?fault_id={fault_id}", "red")) == [POWER_2]
    assert asked(door, f"/v1/faults?fault_id={fault_id}", "blue") == []
    (host,) = asked(door, "/v1/physical-resources?physical_resource_id=compute-2")
    root = host["faults"][0]["fault_id"]
    assert hits(asked(door, f"/v1/faults?fault_id={root}")) == [POWER_2, POWER_4]
    assert asked(door, f"/v1/faults?fault_id={root}", "red") == []


def test_what_became_somebody_elses_keeps_its_secrets(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The past stays with the one who had it; how the machine is now is the new owner's."""
    with RunningDoctor(tmp_path_factory.mktemp("moved")) as doctor:
        door = Door(doctor)
        door.ask("PUT", "/v1/resource-map", RESOURCES)
        for minute, status in enumerate(("down", "up")):
            details = {"hostname": "compute-1", "status": status}
            event = {"time": f"2026-03-04T05:0{minute}:00Z", "type": "compute.host.down", "details": details}
            door.ask("POST", "/v1/events", {"event": event})
        virtual = [{**one, "owner": "blue"} for one in RESOURCES["virtual_resources"]]
        assert door.ask("PUT", "/v1/resource-map", {**RESOURCES, "virtual_resources": virtual})[0] == 200
        event = {
            **event,
            "time": "2026-03-04T06:00:00Z",
            "details": {"hostname": "compute-1", "status": "down"},
        }
        door.ask("POST", "/v1/events", {"event": event})
        told = asked(door, "/v1/faults?state=all", "red")
        assert hits(told) == [DOWN_1, DOWN_VOL]
        assert {one["virtual_resource_state"] for one in told} == {"normal"}
        assert {one["host_status"] for one in told} == {""}
        assert [one["location"] for one in told] == [{"zone_id": None, "host_ref": None}] * 2
        assert hits(asked(door, "/v1/faults?state=cleared", "blue")) == []


REFUSED = [
    ("/v1/faults?zone_id=az1&physical_resource_id=c-one", ["/physical_resource_id", "/zone_id"]),
    ("/v1/faults?state=cleared&sort=severity", ["/sort"]),
    ("/v1/faults?sort=colour", ["/sort"]),
    ("/v1/faults?state=all&cursor=past.nonsense", ["/cursor"]),
    ("/v1/faults?min_severity=purple", ["/min_severity"]),
    ("/v1/virtual-resources?host=compute-1", ["/host"]),
    ("/v1/virtual-resources?host_status=SIDEWAYS", ["/host_status/0"]),
    (f"/v1/alarms?resource_id={','.join(map(str, range(1001)))}", ["/resource_id"]),
]


@pytest.mark.parametrize(("path", "pointers"), REFUSED)
def test_a_query_that_cannot_be_is_refused_with_its_place(door: Door, path: str, pointers: list[str]) -> None:
    status, problem = door.ask("GET", path, token=door.token(Role.CONSUMER, "red"))
    assert status in (400, 422)
    assert [flaw["pointer"] for flaw in problem["errors"]] == pointers


VIRTUAL = [
    pytest.param("", "red", ["vm-1", "vm-2", "vol-1"], id="mine-in-the-order-of-the-map"),
    pytest.param("", None, ["vm-1", "vm-2", "vol-1", "vm-4"], id="administrator"),
    pytest.param("virtual_resource_type=virtual%20machine", "red", ["vm-1", "vm-2"], id="type"),
    pytest.param("group=g1", "red", ["vm-1", "vm-2"], id="group"),
    pytest.param("role=ACT", "red", ["vm-1"], id="role"),
    pytest.param("host_status=UNKNOWN", "red", ["vm-1", "vol-1"], id="host-status"),
    pytest.param("virtual_resource_state=normal", None, ["vm-4"], id="state"),
    pytest.param("host=c-one", None, ["vm-1", "vol-1"], id="host"),
    pytest.param("host=compute-2&owner=blue", None, ["vm-4"], id="host-and-owner"),
    pytest.param("owner=blue", "red", [], id="not-mine"),
    pytest.param("sort=-virtual_resource_id", None, ["vol-1", "vm-4", "vm-2", "vm-1"], id="backwards"),
    pytest.param("sort=-virtual_resource_state&owner=red", None, ["vol-1", "vm-2", "vm-1"], id="worst-first"),
    pytest.param("sort=owner", None, ["vm-4", "vm-1", "vm-2", "vol-1"], id="by-owner"),
    pytest.param("sort=role", "red", ["vol-1", "vm-1", "vm-2"], id="by-role"),
]


@pytest.mark.requirement("D7", "D14")
@pytest.mark.parametrize(("query", "project", "found"), VIRTUAL)
def test_virtual_resources_are_found(door: Door, query: str, project: str | None, found: list[str]) -> None:
    items = asked(door, f"/v1/virtual-resources?{query}", project)
    assert [one["virtual_resource_id"] for one in items] == found


PHYSICAL = [
    pytest.param("", ["compute-1", "compute-2.example", "tor-1"], id="all"),
    pytest.param("physical_resource_id=c-one", ["compute-1"], id="alias"),
    pytest.param("physical_resource_state=down", ["compute-1"], id="state"),
    pytest.param("zone_id=az1", ["compute-1", "tor-1"], id="zone"),
    pytest.param("sort=-zone_id", ["compute-2.example", "tor-1", "compute-1"], id="by-zone"),
    pytest.param(
        "sort=-physical_resource_state", ["compute-1", "tor-1", "compute-2.example"], id="worst-first"
    ),
    pytest.param("sort=physical_resource_type", ["compute-1", "compute-2.example", "tor-1"], id="by-type"),
]


@pytest.mark.requirement("D14", "D23", "D27", "D28", "D38", "G31")
@pytest.mark.parametrize(("query", "found"), PHYSICAL)
def test_physical_resources_are_found(door: Door, query: str, found: list[str]) -> None:
    """StateQueryFilterClass [D 5.4]; the answer has versions and update status."""
    items = asked(door, f"/v1/physical-resources?{query}")
    assert [one["physical_resource_id"] for one in items] == found
    for one in items:
        if one["physical_resource_id"] == "compute-2.example":
            assert (one["hypervisor_version"], one["update_status"]) == ("kvm 9", "current")


@pytest.mark.requirement("B16", "D2")
def test_the_capacity_is_what_the_hosts_that_are_there_have_left(door: Door) -> None:
    items = asked(door, "/v1/capacity?sort=-zone_id")
    assert [(one["zone_id"], one["hosts"]["available"], one["vcpus"]) for one in items] == [
        ("az2", 1, {"total": 0, "available": 0}),
        ("az1", 0, {"total": 8, "available": 0}),
    ]
    assert items[1]["memory_mb"] == {"total": 1024, "available": 0}
    (root,) = asked(door, "/v1/physical-resources?physical_resource_id=compute-1")[0]["faults"]
    assert items[1]["changed_by"] in (root["fault_id"], None)  # None after a restart or another map
    assert [one["zone_id"] for one in asked(door, "/v1/capacity?zone_id=az2,az9")] == ["az2"]


@pytest.mark.requirement("G34", "G54")
def test_the_report_has_what_was_out_and_what_was_promised(door: Door) -> None:
    """[HA 6.1.2] A group is one VNF; a volume is none; each project reads its own."""
    (vnf,) = asked(door, "/v1/availability?", "red")
    assert (vnf["group"], vnf["machines"], vnf["sal"], vnf["failures"]) == ("g1", 2, "1", 2)
    assert 0 < vnf["availability"] < 1
    assert vnf["impact"] == 1.0
    (other,) = asked(door, "/v1/availability?sort=-failures", "blue")
    assert (other["machine"], other["failures"], other["breaches"]) == ("vm-4", 1, [])
    both = asked(door, "/v1/availability?sort=availability")
    assert [one["owner"] for one in both] == ["red", "blue"]
    assert asked(door, "/v1/availability?owner=red", "blue") == []
    assert [one["group"] for one in asked(door, "/v1/availability?group=g1&owner=red")] == ["g1"]
    for query in ("since=2026-03-04T00:00:00Z&until=2026-03-04T00:00:00Z", "until=0001-01-01T00:00:00Z"):
        status, problem = door.ask("GET", f"/v1/availability?{query}")
        assert (status, len(problem["errors"])) == (422, 1)


def test_tokens_and_subscriptions_come_in_order(door: Door) -> None:
    tokens = [door.token(Role.CONSUMER, project) for project in ("red", "blue")]
    for token in tokens:
        assert door.ask("POST", "/v1/subscriptions", {}, token=token)[0] == 201
    falling = [one["project"] for one in asked(door, "/v1/tokens?sort=-project") if one["project"]]
    assert falling == sorted(falling, reverse=True)
    assert {"red", "blue"} <= set(falling)
    created = [one["created"] for one in asked(door, "/v1/subscriptions?sort=-created")]
    assert created == sorted(created, reverse=True)
    assert len(created) == 2
