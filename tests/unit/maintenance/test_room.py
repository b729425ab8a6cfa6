"""Whether there is room for what has to leave hosts, and who goes first so that machines move once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.maintenance.plan import Guests, plan
from doctor.maintenance.room import Load, Shortage, needs, prepared, shortage
from doctor.model.maintenance import Deed, MaintenanceLimits
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.recovery.turns import Room

D = Deed
SIZE = 10


def load(name: str, *sizes: int, deed: Deed = D.MIGRATE, size: float = SIZE) -> Load:
    """Return a host with machines of these sizes."""
    machines = [
        VirtualResource(id=f"{name}-{n}", host=name, owner="red", vcpus=one, memory_mb=one)
        for n, one in enumerate(sizes)
    ]
    left = size - sum(sizes)
    return Load(PhysicalResource(id=name), [(one, deed) for one in machines], Room(name, None, left, left))


def room(left: float) -> Room:
    """Return another host."""
    return Room("other", None, left, left)


@pytest.mark.parametrize(
    ("loads", "left", "at_once", "missing"),
    [
        pytest.param([load("a", 4)], 4, None, 0, id="fits"),
        pytest.param([load("a", 4)], 3, None, 1, id="does-not"),
        pytest.param([load("a", 4), load("b", 4)], 4, None, 4, id="together"),
        pytest.param([load("a", 4), load("b", 4)], 0, 1, 0, id="in-turns-the-others-take-some"),
        pytest.param([load("a", 9), load("b", 4)], 0, 1, 3, id="in-turns-the-worst-counts"),
        pytest.param([load("a", 9), load("b", 4)], 0, 2, 13, id="two-at-once"),
        pytest.param([load("a", 9, deed=D.STOP)], 0, None, 0, id="what-is-shut-down-needs-none"),
        pytest.param([load("a", 9, deed=D.ASK)], 0, None, 9, id="what-is-asked-for-may-need-it"),
        pytest.param([load("a", 9)], float("inf"), None, 0, id="sizes-unknown"),
        pytest.param([], 0, None, 0, id="nothing"),
    ],
)
def test_what_is_missing_is_what_the_worst_turn_needs(
    loads: list[Load], left: float, at_once: int | None, missing: int
) -> None:
    expected = Shortage(missing, missing) if missing else None
    assert shortage(loads, [room(left)], at_once) == expected
    assert [one.missing for one in needs(loads, [room(left)], at_once)] == [missing] * 2


def test_it_is_said_in_words() -> None:
    assert str(Shortage(2, 512)) == "2 vcpus and 512 MB of memory"
    assert str(Shortage(0, 512)) == "512 MB of memory"
    assert str(Shortage(2, 0)) == "2 vcpus"
    assert Load(PhysicalResource(id="a"), []).free("vcpus") == 0.0


@pytest.mark.parametrize(
    ("left", "at_once", "first"),
    [
        pytest.param(0, 1, ["c"], id="the-emptiest"),
        pytest.param(0, 2, ["c", "b"], id="as-many-as-go-together"),
        pytest.param(6, 1, [], id="others-have-room"),
        pytest.param(0, None, [], id="all-together"),
        pytest.param(0, 3, [], id="as-many-as-there-are"),
    ],
)
def test_the_emptiest_goes_first_where_others_have_no_room(
    left: float, at_once: int | None, first: list[str]
) -> None:
    loads = [load("a", 3, 3), load("b", 2), load("c", 1)]
    assert [one.host.id for one in prepared(loads, [room(left)], at_once)] == first


@given(sizes=st.lists(st.lists(st.integers(1, 4), max_size=2), min_size=2, max_size=6))
def test_prepared_hosts_never_make_more_machines_move_twice(sizes: list[list[int]]) -> None:
    """By the planner: whoever goes first, the order as asked for is no better where all hosts are as large."""
    loads = [load(f"h-{n}", *each) for n, each in enumerate(sizes)]
    first = prepared(loads, [], 1)
    order = [*first, *(one for one in loads if one not in first)]

    def twice(some: list[Load]) -> int:
        guests = [Guests(Room(one.host.id, None, SIZE, SIZE), one.machines) for one in some]
        return plan(guests, [], 1, MaintenanceLimits()).twice

    assert twice(order) <= max(twice(loads), len(first[0].machines) if first else 0)
