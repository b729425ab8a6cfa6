"""Whose turn it is, against a second version that counts everything anew for each machine."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.model.recovery import RecoveryLimits
from doctor.model.resource import Constraints, VirtualResource
from doctor.recovery.turns import AFTER_OTHERS, NO_ROOM, Candidate, Later, Room, Turn, turns
from tests.unit.recovery.machines import NOON

HOSTS = tuple(f"host-{n}" for n in range(1, 6))
ZONES: dict[str, str | None] = {"host-1": "a", "host-2": "a", "host-3": "a", "host-4": "b", "host-5": "b"}
APART = Constraints(anti_affinity=True)

LIMITS = st.builds(
    RecoveryLimits,
    at_once=st.integers(1, 6),
    per_zone=st.integers(1, 4),
    per_host=st.integers(1, 3),
    reserved=st.dictionaries(
        st.sampled_from(HOSTS), st.frozensets(st.sampled_from(["1", "2"]), max_size=1), max_size=2
    ),
)
ROOMS = st.lists(
    st.builds(
        lambda host, vcpus: Room(host, ZONES[host], vcpus, float("inf")),
        st.sampled_from(HOSTS),
        st.sampled_from([0.0, 1.0, 2.0, 4.0]),
    ),
    unique_by=lambda room: room.host,
)
BURDENS = st.lists(st.sampled_from(HOSTS), max_size=4).map(Counter)


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    return [
        Candidate(
            machine=VirtualResource(
                id=f"vm-{n}",
                host=draw(st.sampled_from(HOSTS)),
                owner="red",
                group=draw(st.sampled_from([None, "core", "edge"])),
                sal=draw(st.sampled_from([None, 1, "2", "2B"])),
                vcpus=draw(st.sampled_from([None, 1, 2])),
                constraints=draw(st.sampled_from([None, APART])),
            ),
            priority=draw(st.integers(-1, 1)),
            since=NOON + timedelta(seconds=draw(st.integers(0, 2))),
            moves=draw(st.booleans()),
            apart=draw(st.frozensets(st.sampled_from(HOSTS), max_size=2)),
        )
        for n in range(draw(st.integers(0, 8)))
    ]


def simple(
    given_: list[Candidate], rooms: list[Room], burden: Counter[str], limits: RecoveryLimits
) -> dict[str, Turn | Later]:
    """Say it slowly: each machine looks at what all before it have got."""
    got: dict[str, Turn | Later] = {}
    taken: list[tuple[Candidate, str]] = []

    def on(host: str) -> int:
        return burden[host] + sum(there == host for _, there in taken)

    def within(zone: str | None) -> int:
        return sum(on(host) for host in HOSTS if ZONES[host] == zone)

    def has_turn(host: str) -> bool:
        return on(host) < limits.per_host and within(ZONES[host]) < limits.per_zone

    def will_do(one: Candidate, room: Room) -> bool:
        machine = one.machine
        others = [(each.machine, there) for each, there in taken if each.moves]
        vcpus = room.vcpus - sum(each.vcpus or 0 for each, there in others if there == room.host)
        group = {there for each, there in others if machine.group and each.group == machine.group}
        levels = limits.reserved.get(room.host, frozenset())
        return (
            room.host not in {machine.host, *one.apart}
            and vcpus >= (machine.vcpus or 0)
            and not (machine.constraints == APART and room.host in group)
            and (not levels or str(machine.sal) in levels)
        )

    def wish(one: Candidate, room: Room) -> Any:
        home = ZONES[one.machine.host or ""]
        left = room.vcpus - sum(
            each.machine.vcpus or 0 for each, there in taken if each.moves and there == room.host
        )
        return (room.zone_id != home, room.host in limits.reserved, -left, room.host)

    for one in sorted(given_, key=lambda one: one.rank):
        is_full = one.moves and bool(rooms) and not any(has_turn(room.host) for room in rooms)
        if is_full or burden.total() + len(taken) >= limits.at_once:
            got[one.machine.id] = AFTER_OTHERS
            continue
        could = [room.host for room in rooms if will_do(one, room)] if one.moves else [one.machine.host or ""]
        free = [host for host in could if has_turn(host)]
        if not free:
            got[one.machine.id] = AFTER_OTHERS if could else NO_ROOM
            continue
        if one.moves:
            host = min((room for room in rooms if room.host in free), key=lambda room: wish(one, room)).host
            got[one.machine.id] = Turn(host)
        else:
            host, got[one.machine.id] = free[0], Turn()
        taken.append((one, host))
    return got


@pytest.mark.requirement("G18", "G41")
@given(candidates(), ROOMS, BURDENS, LIMITS)
def test_it_is_as_if_each_looked_at_all_before_it(
    waiting: list[Candidate], rooms: list[Room], burden: Counter[str], limits: RecoveryLimits
) -> None:
    assert turns(waiting, rooms, ZONES, burden, limits) == simple(waiting, rooms, burden, limits)


@given(candidates(), ROOMS, BURDENS, LIMITS)
def test_no_limit_is_exceeded_and_all_are_served_in_the_end(
    waiting: list[Candidate], rooms: list[Room], burden: Counter[str], limits: RecoveryLimits
) -> None:
    """Round by round, what has begun ends: nobody waits for ever but who finds no room."""
    left, homes = list(waiting), Counter(burden)
    room_of = {room.host: room for room in rooms}
    decided: dict[str, Turn | Later] = {}
    for _ in range(len(waiting) + 2):
        decided = turns(left, list(room_of.values()), ZONES, homes, limits)
        begun: Counter[str] = Counter(homes)
        for one in left:
            turn = decided[one.machine.id]
            if isinstance(turn, Turn):
                host = turn.target or one.machine.host or ""
                assert host not in one.apart or not one.moves
                begun[host] += 1
                if turn.target is not None:
                    room = room_of[host]
                    room_of[host] = room._replace(vcpus=room.vcpus - (one.machine.vcpus or 0))
                    assert room_of[host].vcpus >= 0
        news = begun - homes
        assert all(begun[host] <= max(limits.per_host, homes[host]) for host in HOSTS)
        assert not news or begun.total() <= limits.at_once
        for zone in ("a", "b"):
            inside = sum(count for host, count in begun.items() if ZONES[host] == zone)
            before = sum(count for host, count in homes.items() if ZONES[host] == zone)
            assert inside <= max(limits.per_zone, before)
        left = [one for one in left if not isinstance(decided[one.machine.id], Turn)]
        homes = Counter()  # what was under way is done
    assert all(decided[one.machine.id] == NO_ROOM for one in left)


def one(name: str, **more: Any) -> Candidate:
    machine = {"host": "host-1", "owner": "red", **more.pop("machine", {})}
    usual: dict[str, Any] = {"priority": 0, "since": NOON, "moves": True}
    return Candidate(machine=VirtualResource(id=name, **machine), **{**usual, **more})


def room(host: str, vcpus: float = 8) -> Room:
    return Room(host, ZONES[host], vcpus, float("inf"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(one("b", machine={"sal": 1}), one("a", machine={"sal": 2}, priority=9), id="level"),
        pytest.param(one("b", machine={"sal": "3"}), one("a"), id="any-level"),
        pytest.param(one("b", priority=1), one("a"), id="priority"),
        pytest.param(one("b"), one("a", since=NOON + timedelta(seconds=1)), id="time"),
        pytest.param(one("a"), one("b"), id="name"),
    ],
)
def test_who_goes_first(first: Candidate, second: Candidate) -> None:
    """[HA 5.3] By level, then priority, then time."""
    got = turns([second, first], [room("host-2")], ZONES, Counter(), RecoveryLimits(at_once=1))
    assert got == {first.machine.id: Turn("host-2"), second.machine.id: AFTER_OTHERS}


@pytest.mark.parametrize(
    ("candidate", "rooms", "limits", "outcome"),
    [
        pytest.param(one("a"), [room("host-4"), room("host-2")], {}, Turn("host-2"), id="own-zone"),
        pytest.param(one("a"), [room("host-4")], {}, Turn("host-4"), id="any-zone"),
        pytest.param(one("a"), [room("host-2", 1), room("host-3", 2)], {}, Turn("host-3"), id="most-room"),
        pytest.param(one("a"), [room("host-1")], {}, NO_ROOM, id="not-where-it-was"),
        pytest.param(one("a", machine={"vcpus": 9}), [room("host-2")], {}, NO_ROOM, id="too-large"),
        pytest.param(
            one("a", apart=frozenset({"host-2"})), [room("host-2")], {}, NO_ROOM, id="beside-its-group"
        ),
        pytest.param(
            one("a"),
            [room("host-2"), room("host-3", 1)],
            {"reserved": {"host-2": frozenset()}},
            Turn("host-3"),
            id="reserved-comes-last",
        ),
        pytest.param(
            one("a", machine={"sal": 1}),
            [room("host-2")],
            {"reserved": {"host-2": frozenset({"1"})}},
            Turn("host-2"),
            id="reserved-for-it",
        ),
        pytest.param(
            one("a", machine={"sal": 2}),
            [room("host-2")],
            {"reserved": {"host-2": frozenset({"1"})}},
            NO_ROOM,
            id="reserved-for-others",
        ),
    ],
)
def test_where_a_machine_goes(
    candidate: Candidate, rooms: list[Room], limits: dict[str, Any], outcome: Turn | Later
) -> None:
    assert turns([candidate], rooms, ZONES, Counter(), RecoveryLimits(**limits)) == {"a": outcome}


@pytest.mark.requirement("G19")
def test_two_of_a_group_that_keeps_apart_never_go_to_one_host() -> None:
    """[HA 4.1] Placement policies are preserved."""
    waiting = [one(name, machine={"group": "core", "constraints": APART}) for name in "abc"]
    got = turns(waiting, [room("host-2"), room("host-3")], ZONES, Counter(), RecoveryLimits())
    assert sorted(str(turn) for turn in got.values()) == sorted(
        map(str, (Turn("host-2"), Turn("host-3"), NO_ROOM))
    )


def test_what_the_first_could_have_is_kept_for_it() -> None:
    """A large one that has to wait for its turn is not overtaken by small ones for ever."""
    waiting = [one("large", machine={"sal": 1, "vcpus": 8}), one("small", machine={"sal": 2, "vcpus": 1})]
    rooms = [room("host-2", 8)]
    got = turns(waiting, rooms, ZONES, Counter({"host-2": 2}), RecoveryLimits(per_host=2))
    assert got == {"large": AFTER_OTHERS, "small": AFTER_OTHERS}
    assert turns(waiting, rooms, ZONES, Counter(), RecoveryLimits())["large"] == Turn("host-2")
