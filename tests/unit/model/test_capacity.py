"""The capacity of the pool, against a version that counts everything anew each time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.model.capacity import Amount, HostCounts, Pool, ZoneCapacity, differences
from doctor.model.fault import ResourceState
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap

NORMAL, DOWN = ResourceState.NORMAL, ResourceState.DOWN


def host(name: str, zone: str | None = "az1", **metadata: Any) -> PhysicalResource:
    return PhysicalResource(id=name, zone_id=zone, metadata=metadata)


def machine(name: str, on: str, vcpus: int | None = None, memory_mb: int | None = None) -> VirtualResource:
    return VirtualResource(id=name, host=on, owner="red", vcpus=vcpus, memory_mb=memory_mb)


def everything_normal(_: str) -> ResourceState:
    return NORMAL


@pytest.mark.requirement("D2")
def test_what_machines_take_is_not_available_and_a_dead_host_gives_nothing() -> None:
    """[D 5.1.3]"""
    resources = ResourceMap(
        [host("c1", vcpus=8, memory_mb=1000), host("c2", vcpus=4, memory_mb=500), host("c3", "az2", vcpus=2)],
        [machine("vm-1", "c1", 3, 100), machine("vm-2", "c1", 1), machine("vm-3", "c2")],
    )
    pool = Pool(resources, everything_normal)
    assert [(one.zone_id, one.vcpus, one.memory_mb) for one in pool.zones()] == [
        ("az1", Amount(total=12, available=8), Amount(total=1500, available=1400)),
        ("az2", Amount(total=2, available=2), Amount(total=0, available=0)),
    ]
    (told,) = pool.settle(["c1", "vm-1", "nobody-knows"], {"c1": DOWN}.__getitem__, changed_by="f1")
    assert told == ZoneCapacity(
        zone_id="az1",
        hosts=HostCounts(total=2, available=1, down=1, maintenance=0),
        vcpus=Amount(total=12, available=4),
        memory_mb=Amount(total=1500, available=500),
        changed_by="f1",
    )
    assert pool.settle(["c1"], {"c1": ResourceState.ERROR}.__getitem__, changed_by="f2") == ()
    assert pool.zone("az1").changed_by == "f1"


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (8, 8), ("8", 8), (8.9, 8), (0, 0), (None, 0), (-1, 0), ("many", 0), (True, 0), ([8], 0),
        (float("inf"), 0), (float("nan"), 0), (10**13, 0),
    ],
)  # fmt: skip
def test_a_number_is_what_reads_as_one(said: Any, counted: int) -> None:
    pool = Pool(ResourceMap([host("c1", vcpus=said)]), everything_normal)
    assert pool.zone("az1").vcpus.total == counted


def test_more_taken_than_there_is_leaves_nothing_and_takes_nothing_from_others() -> None:
    resources = ResourceMap([host("c1", vcpus=2), host("c2", vcpus=2)], [machine("vm-1", "c1", 9)])
    assert Pool(resources, everything_normal).zone("az1").vcpus == Amount(total=4, available=2)


def test_a_new_map_tells_the_zones_that_differ_and_those_that_are_gone() -> None:
    before = Pool(ResourceMap([host("c1", vcpus=2), host("c2", "az2"), host("c3", None)]), everything_normal)
    before.settle(["c3"], {"c3": DOWN}.__getitem__, changed_by="f1")
    resources = ResourceMap([host("c1", vcpus=4), host("c3", None), host("c4", "az3")])
    after = Pool(resources, lambda one: DOWN if one == "c3" else NORMAL)
    assert [(one.zone_id, one.hosts.total) for one in differences(before, after)] == [
        ("az1", 1),
        ("az3", 1),
        ("az2", 0),
    ]


STATES = st.sampled_from(list(ResourceState))
HOSTS = st.lists(
    st.builds(
        host,
        st.sampled_from([f"c{number}" for number in range(6)]),
        st.sampled_from(["az1", "az2", None]),
        vcpus=st.integers(0, 9),
        memory_mb=st.integers(0, 9),
    ),
    unique_by=lambda one: one.id,
    max_size=6,
)


@pytest.mark.requirement("B16", "D2")
@given(HOSTS, st.lists(st.tuples(st.sampled_from([f"c{number}" for number in range(7)]), STATES)), st.data())
def test_counting_along_is_counting_anew(
    hosts: list[PhysicalResource], steps: list[tuple[str, ResourceState]], data: st.DataObject
) -> None:
    places = [one.id for one in hosts]
    machines = [
        machine(f"vm-{number}", data.draw(st.sampled_from(places)), data.draw(st.integers(0, 5)), None)
        for number in range(data.draw(st.integers(0, 5)) if places else 0)
    ]
    resources = ResourceMap(hosts, machines)
    states: dict[str, ResourceState] = {}

    def state_of(resource_id: str) -> ResourceState:
        return states.get(resource_id, NORMAL)

    pool = Pool(resources, state_of)
    for place, state in steps:
        before = {one.zone_id: _bare(one) for one in pool.zones()}
        states[place] = state
        told = pool.settle([place], state_of, changed_by="f")
        anew = Pool(resources, state_of)
        assert [_bare(one) for one in pool.zones()] == [_bare(one) for one in anew.zones()]
        assert differences(pool, anew) == ()
        changed = {one.zone_id for one in anew.zones() if _bare(one) != before[one.zone_id]}
        assert {one.zone_id for one in told} == changed


def _bare(one: ZoneCapacity) -> tuple[object, ...]:
    return one.zone_id, one.hosts, one.vcpus, one.memory_mb
