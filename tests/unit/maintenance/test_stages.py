"""The way of a host through a session: nothing that is not in the table, and no host past its deadline."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from doctor.maintenance.book import MaintenanceBook
from doctor.maintenance.guard import Standing, objections
from doctor.maintenance.room import Load
from doctor.maintenance.stages import (
    TRANSITIONS,
    Trigger,
    in_words,
    may_begin,
    moved,
    outcome,
    verdict,
)
from doctor.model.fault import ResourceState
from doctor.model.maintenance import (
    Deed,
    Guest,
    GuestState,
    HostStage,
    HostWork,
    MaintenanceLimits,
    Session,
    SessionState,
)
from doctor.model.resource import Constraints, MaintenanceState, PhysicalResource, VirtualResource, vnf_of
from doctor.recovery.turns import Room
from tests.unit.recovery.machines import NOON

G, S, T = GuestState, HostStage, Trigger
MINUTE = timedelta(minutes=1)


def guest(state: GuestState, name: str = "vm-1", **more: Any) -> Guest:
    return Guest(resource_id=name, owner="red", state=state, told=NOON, **more)


def work(stage: HostStage = S.EMPTYING, *guests: Guest, host: str = "compute-1", **more: Any) -> HostWork:
    usual: dict[str, Any] = {"deadline": NOON + MINUTE}
    return HostWork(session_id="s", host=host, stage=stage, guests=guests, **{**usual, **more})


def session(*hosts: str, **more: Any) -> Session:
    usual: dict[str, Any] = {
        "session_id": "s",
        "state": SessionState.RUNNING,
        "created": NOON,
        "starts": NOON,
    }
    return Session(
        user="alice", reason="", timeout=MINUTE, hosts=hosts or ("compute-1",), **{**usual, **more}
    )


def test_no_way_leads_back_from_what_is_over() -> None:
    assert not [stage for stage, _ in TRANSITIONS if stage.is_over]
    reached = {S.WAITING} | set(TRANSITIONS.values())
    assert reached == set(S)


@pytest.mark.parametrize("stage", list(S))
@pytest.mark.parametrize("trigger", list(T))
def test_a_step_is_in_the_table_or_a_defect(stage: HostStage, trigger: Trigger) -> None:
    if (stage, trigger) in TRANSITIONS:
        after = moved(work(stage), trigger, NOON, reason="why")
        assert (after.stage, after.reason) == (TRANSITIONS[stage, trigger], "why")
        assert (after.ended is not None) is after.stage.is_over
    else:
        with pytest.raises(KeyError):
            moved(work(stage), trigger, NOON)


@pytest.mark.parametrize(
    ("one", "state", "minutes", "expected"),
    [
        pytest.param(work(), ResourceState.MAINTENANCE, 0, (T.EMPTIED, ""), id="nobody-was-there"),
        pytest.param(work(S.EMPTYING, guest(G.ASKED)), ResourceState.MAINTENANCE, 0, None, id="goes-on"),
        pytest.param(
            work(S.EMPTYING, guest(G.AWAY), guest(G.STOPPED)),
            ResourceState.MAINTENANCE,
            9,
            (T.EMPTIED, ""),
            id="empty-at-last",
        ),
        pytest.param(
            work(S.EMPTYING, guest(G.ASKED)),
            ResourceState.MAINTENANCE,
            1,
            (T.GIVE_UP, "not empty in time: vm-1: its owner has not answered"),
            id="too-late",
        ),
        pytest.param(
            work(S.EMPTYING, guest(G.AWAY)),
            ResourceState.DOWN,
            0,
            (T.GIVE_UP, "the host has failed"),
            id="it-has-failed",
        ),
        pytest.param(work(S.EMPTY), ResourceState.DOWN, 9, None, id="it-is-worked-on"),
        pytest.param(
            work(S.EMPTYING, guest(G.ASKED), deadline=None), ResourceState.NORMAL, 9, None, id="no-end"
        ),
    ],
)
def test_whether_a_host_is_empty_or_never_will_be(
    one: HostWork, state: ResourceState, minutes: float, expected: tuple[Trigger, str] | None
) -> None:
    assert verdict(one, state, NOON + minutes * MINUTE) == expected


def test_of_many_machines_in_the_way_some_are_named() -> None:
    said = in_words(guest(G.MOVING, f"vm-{n}") for n in range(8))
    assert said.count("it is under way") == 5
    assert said.endswith("; and 3 more")


@pytest.mark.parametrize(
    ("more", "begun", "expected"),
    [
        pytest.param({}, (), ["a", "b", "c"], id="all-together"),
        pytest.param({"at_once": 2}, (), ["a", "b"], id="in-turns"),
        pytest.param({"at_once": 2}, ("a",), ["b"], id="one-is-away"),
        pytest.param({"at_once": 1}, ("a",), [], id="enough-are-away"),
        pytest.param({"state": SessionState.PAUSED}, (), [], id="paused"),
        pytest.param({"state": SessionState.PROPOSED}, (), [], id="proposed"),
        pytest.param({"starts": NOON + MINUTE}, (), [], id="later"),
    ],
)
def test_whose_turn_it_is(more: dict[str, Any], begun: tuple[str, ...], expected: list[str]) -> None:
    works = [work(S.EMPTY if one in begun else S.WAITING, host=one) for one in "abc"]
    assert [one.host for one in may_begin(session(*"abc", **more), works, NOON)] == expected


@pytest.mark.parametrize(
    ("at_once", "stages", "expected"),
    [
        pytest.param(None, (S.EMPTY, S.EMPTYING), None, id="not-yet"),
        pytest.param(None, (S.EMPTY, S.EMPTY), SessionState.DONE, id="all-empty"),
        pytest.param(None, (S.EMPTY, S.FAILED), SessionState.FAILED, id="one-failed"),
        pytest.param(None, (S.EMPTY, S.ABORTED), SessionState.ABORTED, id="one-called-off"),
        pytest.param(1, (S.EMPTY, S.RETURNED), None, id="in-turns-the-last-is-worked-on"),
        pytest.param(1, (S.RETURNED, S.RETURNED), SessionState.DONE, id="in-turns-all-back"),
    ],
)
def test_when_the_one_answer_is_given(
    at_once: int | None, stages: tuple[HostStage, ...], expected: SessionState | None
) -> None:
    works = [work(stage, host=f"h-{n}", reason="why") for n, stage in enumerate(stages)]
    end = outcome(session(at_once=at_once), works)
    assert (None if end is None else end[0]) is expected


def test_of_many_hosts_that_failed_some_are_named() -> None:
    works = [work(S.FAILED, host=f"h-{n}", reason="why") for n in range(7)]
    end = outcome(session(), works)
    assert end is not None
    assert end[1].endswith("h-4: why; and 2 more hosts")


def test_the_book_knows_what_is_away() -> None:
    here, there = guest(G.ASKED), guest(G.AWAY, "vm-2")
    book = MaintenanceBook([session("compute-1", "compute-2")], [work(S.WAITING, here)])
    assert "vm-1" not in book.away
    book.put_host(work(S.EMPTYING, here, there))
    book.put_host(work(S.EMPTYING, guest(G.ASKED, "vm-2"), host="compute-2"))
    assert [one in book.away for one in ("compute-1", "compute-2", "vm-1", "vm-2", "vm-3")] == [True] * 4 + [
        False
    ]
    assert book.state_of("compute-1") is MaintenanceState.GOING_TO_MAINTENANCE
    assert book.state_of("compute-9") is MaintenanceState.ENABLED
    book.put_host(work(S.FAILED, guest(G.ASKED, "vm-2"), host="compute-2"))
    assert "vm-2" not in book.away
    assert [one.session_id for one in book.open] == ["s"]
    book.forget("s")
    assert "compute-1" not in book.away
    assert (len(book), list(book), dict(book.hosts), book.works("s")) == (0, [], {}, [])
    book.forget("s")


def host(name: str, zone: str | None = "az1") -> PhysicalResource:
    return PhysicalResource(id=name, zone_id=zone)


def machine(name: str, **more: Any) -> VirtualResource:
    return VirtualResource(**{"id": name, "owner": "red", "vcpus": 2, "memory_mb": 2, **more})


def against(
    *loads: Load,
    at_once: int | None = None,
    all_: int = 4,
    room: float = 8.0,
    standing: Standing = Standing(4, 0),  # noqa: B008 - frozen
) -> list[str]:
    zones = {load.host.zone_id: all_ for load in loads}
    vnfs = {vnf_of(machine): standing for load in loads for machine, _ in load.machines}
    rooms = [Room("other", "az1", room, room)]
    return objections(loads, rooms, zones, zones, vnfs, at_once, MaintenanceLimits(floor=0.5))


ONE_OUT = Constraints(max_out=1)


def test_a_request_that_leaves_enough_is_fine() -> None:
    assert against(Load(host("a"), [(machine("vm-1"), Deed.MIGRATE)])) == []


def test_so_many_hosts_of_a_zone_have_to_serve() -> None:
    loads = [Load(host(name), []) for name in "abc"]
    assert against(*loads) == ["zone az1: 1 of 4 hosts would serve, and 2 have to"]
    assert against(*loads, at_once=2) == []
    nowhere = [Load(host(name, None), []) for name in "abc"]
    assert against(*nowhere) == ["hosts without a zone: 1 of 4 hosts would serve, and 2 have to"]


def test_the_only_host_of_a_zone_may_be_emptied() -> None:
    assert against(Load(host("a"), []), all_=1) == []


def test_what_has_to_go_elsewhere_has_to_have_room_there() -> None:
    machines = [(machine(f"vm-{n}"), Deed.ASK) for n in range(3)]
    loads = [Load(host("a"), machines), Load(host("b"), machines)]
    assert against(*loads) == [
        "vcpus: 12 would have to go elsewhere, and 8 are left there",
        "memory_mb: 12 would have to go elsewhere, and 8 are left there",
    ]
    assert against(*loads, at_once=1) == []
    off = [(one, Deed.STOP) for one, _ in machines]
    assert against(Load(host("a"), off), Load(host("b"), off)) == []


def test_so_many_of_a_group_may_be_off() -> None:
    off = [(machine(f"vm-{n}", group="core", constraints=ONE_OUT), Deed.STOP) for n in range(2)]
    alone = [(machine("vm-9", constraints=ONE_OUT), Deed.STOP)]
    moving = [(one, Deed.MIGRATE) for one, _ in off]
    assert against(Load(host("a"), off)) == ["group core of red: 2 would be off at once, and 1 may be"]
    assert against(Load(host("a"), off[:1]), Load(host("b"), off[1:]), at_once=1) == []
    assert against(Load(host("a"), [*moving, *alone])) == []


def test_what_is_out_already_is_away_as_well() -> None:
    off = [(machine("vm-1", group="core", constraints=ONE_OUT), Deed.STOP)]
    says = ["group core of red: 2 would be off at once, and 1 may be"]
    assert against(Load(host("a"), off), standing=Standing(4, 1)) == says


@pytest.mark.parametrize(
    ("off", "out", "is_fine"), [(2, 0, True), (3, 0, False), (2, 1, False), (1, 1, True)]
)
def test_what_a_level_promises_holds_for_planned_work(off: int, out: int, is_fine: bool) -> None:
    """A quorum: at most half of four may be out at once."""
    stopped = [(machine(f"vm-{n}", group="core"), Deed.STOP) for n in range(off)]
    says = f"group core of red: {off + out} of 4 would be off at once, and its level promises 50% at most"
    found = against(Load(host("a"), stopped), standing=Standing(4, out, share=0.5))
    assert found == ([] if is_fine else [says])


def test_a_machine_alone_is_all_of_its_vnf() -> None:
    stopped = [(machine("vm-1"), Deed.STOP)]
    (says,) = against(Load(host("a"), stopped), standing=Standing(1, 0, share=0.9))
    assert says.startswith("machine vm-1 of red: 1 of 1 would be off at once")
    assert against(Load(host("a"), [(stopped[0][0], Deed.MIGRATE)]), standing=Standing(1, 0, share=0.9)) == []


def test_the_manual_has_the_table() -> None:
    """docs/how-to/maintain-hosts.md shows the way of a host as it is."""
    words = {
        Trigger.BEGIN: "its turn",
        Trigger.EMPTIED: "nobody is in the way any more",
        Trigger.GIVE_UP: "it is given up",
        Trigger.GIVE_BACK: "the work is done",
        Trigger.ABORT: "it is called off",
    }
    manual = Path("docs/how-to/maintain-hosts.md").read_text()
    rows = manual.partition("| from | by | to |\n| --- | --- | --- |\n")[2].partition("\n\n")[0].splitlines()
    assert rows == [f"| `{a}` | {words[by]} | `{b}` |" for (a, by), b in TRANSITIONS.items()]
