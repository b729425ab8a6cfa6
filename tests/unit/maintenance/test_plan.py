"""A plan says where machines would go; it never puts more on a host than that has, and no two apart ones together."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from doctor.maintenance.plan import Guests, Plan, plan
from doctor.model.maintenance import Deed, MaintenanceLimits
from doctor.model.resource import Constraints, VirtualResource
from doctor.recovery.turns import Room

APART = Constraints(anti_affinity=True)
D = Deed


def machine(name: str, host: str, vcpus: int = 1, **more: Any) -> VirtualResource:
    return VirtualResource(id=name, host=host, owner="red", vcpus=vcpus, memory_mb=1, **more)


def planned(hosts: list[Guests], *others: Room, at_once: int | None = None) -> Plan:
    return plan(hosts, others, at_once, MaintenanceLimits())


def guests(host: str, *machines: tuple[VirtualResource, Deed], vcpus: float = 4.0) -> Guests:
    return Guests(Room(host, "az1", vcpus, vcpus), machines)


def test_machines_go_to_a_host_that_is_not_to_be_emptied_itself() -> None:
    hosts = [
        guests("a", (machine("vm-1", "a"), D.MIGRATE)),
        guests("b", (machine("vm-2", "b"), D.LIVE_MIGRATE), vcpus=99),
    ]
    found = planned(hosts, Room("c", "az1", 2, 2), at_once=1)
    assert [(one.turn, [each.target for each in one.machines]) for one in found.hosts] == [
        (1, ["c"]),
        (2, ["a"]),  # it is back, and has more room
    ]
    assert (found.moves, found.twice, found.takes.total_seconds()) == (2, 0, 45.0)


def test_where_there_is_no_other_room_a_machine_moves_twice() -> None:
    hosts = [guests("a", (machine("vm-1", "a"), D.MIGRATE)), guests("b")]
    found = planned(hosts, at_once=1)
    assert [[each.target for each in one.machines] for one in found.hosts] == [["b"], ["a"]]
    assert (found.moves, found.twice) == (2, 1)


def test_where_one_of_a_group_has_left_another_one_may_come() -> None:
    hosts = [
        guests("a", (machine("vm-1", "a", group="core", constraints=APART), D.MIGRATE)),
        guests("b", (machine("vm-2", "b", group="core", constraints=APART), D.MIGRATE)),
    ]
    found = planned(hosts, Room("c", "az1", 2, 2), at_once=1)
    assert [[each.target for each in one.machines] for one in found.hosts] == [["c"], ["a"]]


def test_what_is_in_the_way_is_said() -> None:
    found = planned(
        [
            guests(
                "a",
                (machine("vm-1", "a"), D.LEAVE),
                (machine("vm-2", "a"), D.ASK),
                (machine("vm-3", "a"), D.STOP),
                (machine("vm-4", "a", vcpus=3), D.MIGRATE),
            )
        ],
        Room("b", "az1", 2, 2),
    )
    (host,) = found.hosts
    assert [(each.target, each.risk) for each in host.machines] == [
        (None, "its owner lets it stay: the host cannot be emptied"),
        ("b", "its owner has to answer"),
        (None, ""),
        (None, "no other host has room for it"),
    ]


def test_nothing_is_a_plan_too() -> None:
    assert planned([]) == Plan((), planned([]).takes, 0, 0)


SIZES = st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=6)


@given(
    sizes=st.lists(SIZES, min_size=1, max_size=5),
    others=st.lists(st.integers(0, 6), max_size=4),
    at_once=st.integers(1, 3),
    apart_by=st.sampled_from([APART, Constraints(max_per_host=2), Constraints(max_per_host=3)]),
)
def test_no_host_gets_more_than_it_has_and_apart_ones_stay_apart(
    sizes: list[list[tuple[int, bool]]], others: list[int], at_once: int, apart_by: Constraints
) -> None:
    hosts = [
        guests(
            f"h-{n}",
            *(
                (
                    machine(
                        f"vm-{n}-{m}", f"h-{n}", size, group="g", constraints=apart_by if apart else None
                    ),
                    D.MIGRATE,
                )
                for m, (size, apart) in enumerate(machines)
            ),
            vcpus=20,
        )
        for n, machines in enumerate(sizes)
    ]
    rooms = [Room(f"o-{n}", "az1", left, 99) for n, left in enumerate(others)]
    found = planned(hosts, *rooms, at_once=at_once)
    on: dict[str, list[VirtualResource]] = {
        one.room.host: [each for each, _ in one.machines] for one in hosts
    }
    has = {one.host: one.vcpus for one in rooms} | {one.room.host: one.room.vcpus for one in hosts}
    for host in found.hosts:
        for guess in host.machines:
            if guess.target is None:
                continue
            assert guess.target != host.host
            on[host.host].remove(guess.machine)
            if guess.machine.constraints is not None:
                there = [each for each in on.get(guess.target, []) if each.constraints is not None]
                assert len(there) < (apart_by.together or 0)
            on.setdefault(guess.target, []).append(guess.machine)
    assert all(sum(each.vcpus or 0 for each in machines) <= has[host] for host, machines in on.items())
