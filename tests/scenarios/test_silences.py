"""What is not told while somebody has asked for silence, and what is told when it is over (design part 4)."""

from datetime import timedelta
from typing import Any

import pytest

from doctor.flows.ageing import AgeingFlow
from doctor.flows.alarm import AlarmAction
from doctor.flows.silence import SilenceFlow, SilenceLimits
from doctor.model.errors import Reason, RejectedError
from doctor.model.history import Happening, HistoryItem
from doctor.model.silence import Audience, SilenceMatcher, SilenceState
from doctor.notifier.silence_life import SilenceEdit, SilenceOrder
from doctor.testing.clock import START
from doctor.testing.scenario import RunningFlows, Scenario, down, host_down, host_up, switch_down
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import FAULTS, redundant_nfvi, small_nfvi
from tests.scenarios.test_alarms import ADMIN, BLUE, GRADED, RED, history, milder, then, worse

EVERYBODY = Audience.EVERYBODY


def told(*projects: str | None) -> Scenario:
    """Begin a story in which these listen: ``vnfm-red`` for red, ``noc`` for the Administrator (None)."""
    story = Scenario(small_nfvi(), policy=GRADED)
    for project in projects:
        if project is None:
            story.at(0.0).subscribe("noc", project=None, asked=FAULTS)
        else:
            story.at(0.0).subscribe(f"vnfm-{project}", project=project)
    return story


def said(items: list[HistoryItem]) -> list[tuple[Any, ...]]:
    return [(one.what, one.notification_type, one.reason) for one in items]


# --- whose silence it is ---


def test_the_administrators_planned_work_is_not_told_to_himself_and_owners_are_told() -> None:
    """[I-27] What follows from the fault is quiet for him too; it is the owners' as ever."""
    story = told(None, "red", "blue")
    story.at(1.0).silence("compute-1", until=100.0)
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).push(host_up("compute-1"))
    for name, machine in (("vnfm-red", "vm-1"), ("vnfm-blue", "vm-3")):
        story.want(name).between(2.0, 2.5).gets(f"{machine} is error")
        story.want(name).between(3.0, 3.5).gets_clear(f"{machine} is normal")
    story.want("noc").hears_nothing()
    story.play(until=200.0)


def test_with_everybody_the_owners_hear_nothing_either() -> None:
    story = told(None, "red", "blue")
    story.at(1.0).silence("compute-1", until=100.0, audience=EVERYBODY)
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).push(host_up("compute-1"))
    story.at(4.0).push(host_down("compute-2"))
    story.want("noc").between(4.0, 4.5).gets("compute-2 is down", "vm-2 is error")
    story.want("vnfm-red").between(4.0, 4.5).gets("vm-2 is error")
    story.play(until=200.0)


def test_an_owners_silence_is_for_his_own_telling_and_for_nobody_elses() -> None:
    """Even if it is for all he has: his neighbour on the host and the Administrator hear what they always hear."""
    story = told(None, "red", "blue")
    story.at(1.0).silence(project="red", until=100.0, everything=True)
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).push(host_up("compute-1"))
    story.want("noc").between(2.0, 2.5).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.want("noc").between(3.0, 3.5).gets_clear("compute-1 is normal", "vm-1 is normal", "vm-3 is normal")
    story.want("vnfm-blue").between(2.0, 2.5).gets("vm-3 is error")
    story.want("vnfm-blue").between(3.0, 3.5).gets_clear("vm-3 is normal")
    story.play(until=200.0)


@pytest.mark.parametrize("name", ["vm-3", "compute-1", "vm-*", "*-1"])
def test_an_owner_cannot_name_what_is_not_his(name: str) -> None:
    """What he names of others covers nothing, and he learns nothing by trying."""
    story = told("blue")
    story.at(1.0).silence(name, project="red", until=100.0, everything=True)
    story.at(2.0).push(host_down("compute-1"))
    story.want("vnfm-blue").between(2.0, 2.5).gets("vm-3 is error")
    story.play(until=50.0)


@pytest.mark.parametrize(
    ("matcher", "is_quiet"),
    [
        pytest.param(SilenceMatcher(zone_id=("zone-1",)), True, id="zone"),
        pytest.param(SilenceMatcher(zone_id=("zone-2",)), False, id="another-zone"),
        pytest.param(SilenceMatcher(resource_type=("virtual *",)), True, id="type"),
        pytest.param(SilenceMatcher(resource_type=("virtual network",)), False, id="another-type"),
        pytest.param(SilenceMatcher(fault_type=("host down",)), True, id="fault-type"),
        pytest.param(SilenceMatcher(fault_type=("disk*",)), False, id="another-fault-type"),
        pytest.param(SilenceMatcher(project=("red", "green")), True, id="project"),
        pytest.param(SilenceMatcher(project=("blue",)), False, id="another-project"),
        pytest.param(SilenceMatcher(project=("red",), zone_id=("zone-2",)), False, id="all-must-hold"),
    ],
)
def test_what_is_meant_can_be_said_in_many_ways(matcher: SilenceMatcher, is_quiet: bool) -> None:
    story = told("red")
    story.at(1.0).silence(until=100.0, audience=EVERYBODY, everything=True, matcher=matcher)
    story.at(2.0).push(host_down("compute-1"))
    if not is_quiet:
        story.want("vnfm-red").between(2.0, 2.5).gets("vm-1 is error")
    story.play(until=50.0)


def test_planned_work_on_a_switch_covers_the_hosts_that_are_cut_off_by_it() -> None:
    """The hosts' own faults too, once it is known that the switch is their cause."""
    story = Scenario(redundant_nfvi())
    story.at(0.0).subscribe("noc", project=None, asked=FAULTS)
    story.at(1.0).silence("feed-?", "switch-?", until=100.0)
    story.at(2.0).push(switch_down("switch-a"))
    story.at(2.1).push(switch_down("switch-b"))
    story.at(3.0).push(host_down("compute-1"))
    story.play(until=50.0)
    assert story.heard("noc") == []


# --- when it is over ---


@pytest.mark.requirement("G29")
@pytest.mark.parametrize("end", ["its time", "its author"])
def test_what_still_holds_when_the_silence_is_over_is_told_as_it_is_then(end: str) -> None:
    """[I-8] Once, with the last severity; what came and went stays untold."""
    story = told(None, "red", "blue")
    story.at(1.0).silence("compute-*", until=100.0, audience=EVERYBODY)
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).push(host_down("compute-2"))
    story.at(4.0).push(milder())
    story.at(5.0).push(host_up("compute-2"))
    second = 100.0
    if end == "its author":
        second = 60.0
        story.at(second).end_silence()
    when = (second, second + 0.5)
    story.want("noc").between(*when).gets(
        "compute-1 is down (minor)", "vm-1 is error (minor)", "vm-3 is error (minor)"
    )
    story.want("vnfm-red").between(*when).gets("vm-1 is error (minor)")
    story.want("vnfm-blue").between(*when).gets("vm-3 is error (minor)")
    story.at(150.0).push(host_up("compute-1"))
    story.want("noc").between(150.0, 150.5).gets_clear(
        "compute-1 is normal", "vm-1 is normal", "vm-3 is normal"
    )
    story.want("vnfm-red").between(150.0, 150.5).gets_clear("vm-1 is normal")
    story.want("vnfm-blue").between(150.0, 150.5).gets_clear("vm-3 is normal")
    story.play(until=200.0)


def test_of_what_was_told_before_the_end_is_told_at_once_and_a_change_when_it_is_over() -> None:
    story = told("red")
    story.at(1.0).push(host_down("compute-1"), host_down("compute-2"))
    story.at(2.0).silence("vm-?", project="red", until=100.0, everything=True)
    story.at(3.0).push(milder())
    story.at(4.0).push(host_up("compute-2"))
    for machine in ("vm-1", "vm-2"):
        story.want("vnfm-red").between(1.0, 1.5).gets(f"{machine} is error")
    story.want("vnfm-red").between(4.0, 4.5).gets_clear("vm-2 is normal")
    story.want("vnfm-red").between(100.0, 100.5).gets_change("vm-1 is error (minor)")
    story.play(until=200.0)


def test_what_is_in_the_end_as_it_was_told_is_not_told_again() -> None:
    story = told("red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).silence("vm-1", project="red", until=100.0)
    story.at(3.0).push(milder())
    story.at(4.0).push(worse())
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.play(until=200.0)


def test_where_two_silences_meet_the_last_one_counts() -> None:
    story = told("red")
    story.at(1.0).silence("vm-1", project="red", until=50.0)
    story.at(1.0).silence("compute-1", until=100.0, audience=EVERYBODY, name="work")
    story.at(2.0).push(host_down("compute-1"))
    story.at(70.0).push(milder())
    story.want("vnfm-red").between(100.0, 100.5).gets("vm-1 is error (minor)")
    story.play(until=200.0)


def test_a_silence_in_the_future_begins_and_ends_in_time_though_doctor_was_away() -> None:
    """[I-26 in spirit] Planned for 50 to 100; Doctor dies before it begins and again before it ends."""
    story = told("red")
    story.at(1.0).silence("vm-*", project="red", start=50.0, until=100.0, everything=True)
    story.at(2.0).push(host_down("compute-1"))
    story.at(10.0).crash()
    story.at(60.0).start()
    story.at(61.0).push(host_down("compute-2"))
    story.at(90.0).crash()
    story.at(120.0).start()
    story.want("vnfm-red").between(2.0, 2.5).gets("vm-1 is error")
    story.want("vnfm-red").between(120.0, 120.5).gets("vm-2 is error")
    story.play(until=200.0)


def test_a_silence_ends_to_the_second_when_nothing_else_happens() -> None:
    story = told("red")
    story.at(1.0).silence("vm-1", project="red", start=5.0, until=3600.0)
    story.at(6.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(3600.0, 3600.1).gets("vm-1 is error")
    story.play()


def test_a_silence_that_could_not_end_ends_a_little_later() -> None:
    """The disk is full at that moment."""
    store = FallibleStore()
    story = Scenario(small_nfvi(), store=store, policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).silence("vm-1", project="red", until=20.0)
    story.at(3.0).push(host_down("compute-1"))
    story.at(10.0).do(lambda: setattr(store, "breaks", 1))
    story.want("vnfm-red").between(21.0, 21.5).gets("vm-1 is error")
    story.play(until=40.0)


def test_another_end_is_another_end() -> None:
    story = told("red")
    story.at(1.0).silence("vm-1", project="red", until=20.0)
    story.at(2.0).push(host_down("compute-1"))

    async def later() -> None:
        silence = story.silences[""]
        edit = SilenceEdit(end=START + timedelta(seconds=52), reason="takes longer")
        changed = await story.doctor.silences.change(RED, silence.silence_id, edit)
        assert [(one.user, "takes longer" in one.what) for one in changed.changes] == [("ann", True)]
        assert await story.doctor.silences.change(RED, silence.silence_id, edit) is changed

    story.note(10.0, later)
    story.want("vnfm-red").between(52.0, 52.1).gets("vm-1 is error")
    story.play(until=90.0)


# --- with shelving ---


def test_an_alarm_that_comes_back_into_a_silence_waits_for_its_end() -> None:
    story = told("red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=50.0)
    story.at(3.0).push(milder())
    story.at(40.0).silence("vm-1", project="red", until=100.0)
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(100.0, 100.5).gets_change("vm-1 is error (minor)")
    story.play(until=200.0)


def test_an_alarm_that_is_shelved_when_the_silence_ends_waits_until_it_is_back() -> None:
    story = told("red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).silence("vm-1", project="red", until=50.0)
    story.at(3.0).push(milder())
    story.at(4.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=100.0)
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(100.0, 100.5).gets_change("vm-1 is error (minor)")
    story.play(until=200.0)


def test_of_his_own_alarms_that_are_shelved_the_administrator_hears_no_change_either() -> None:
    """What is physical is his: the silence ends, and the alarm of the host waits until it is back."""
    story = told(None)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).silence("compute-1", until=50.0)
    story.at(3.0).push(milder())
    story.at(4.0).act(AlarmAction.SHELVE, "compute-1", until=100.0)
    story.want("noc").between(1.0, 1.5).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.want("noc").between(50.0, 50.5).gets_change("vm-1 is error (minor)", "vm-3 is error (minor)")
    story.want("noc").between(100.0, 100.5).gets_change("compute-1 is down (minor)")
    story.play(until=200.0)


def test_an_alarm_that_was_never_told_is_new_though_it_was_shelved_meanwhile() -> None:
    story = told(None)
    story.at(1.0).silence("compute-1", until=100.0)
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).act(AlarmAction.SHELVE, "compute-1", until=50.0)
    story.at(4.0).push(milder())
    story.want("noc").between(100.0, 100.5).gets(
        "compute-1 is down (minor)", "vm-1 is error (minor)", "vm-3 is error (minor)"
    )
    story.play(until=200.0)


# --- it is about telling and nothing else ---


def story_of_a_bad_day(*, silent: bool) -> Scenario:
    story = Scenario(redundant_nfvi())
    if silent:
        story.at(0.5).silence(until=100.0, audience=EVERYBODY, everything=True)
    story.at(1.0).push(switch_down("switch-a"))
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).push(switch_down("switch-b"))
    story.at(4.0).push(down("compute.disk.aging", "compute-1"))
    story.run(until=20.0)
    return story


@pytest.mark.requirement("G29")
def test_a_silence_hides_nothing_from_what_is_decided() -> None:
    """[part 4 of reliability] Faults, states, causes are the same with it as without: fencing sees all there is."""

    async def known(story: Scenario) -> Any:
        doctor = RunningFlows(story.store, story.channel, story.clock, story.resources, story.selector)
        snapshot = await doctor.situation.load()
        states = {name: doctor.situation.book.state_of(name) for name in ("compute-1", "vm-1", "vm-2")}
        keys = {one.fault.fault_key: one.fault.fault_type for one in snapshot.faults}
        return states, sorted(
            (one.fault.fault_type, one.fault.resource_id, keys.get(one.fault.cause or ""), len(one.alarms))
            for one in snapshot.faults
        )

    loud, quiet = (then(known(story_of_a_bad_day(silent=silent))) for silent in (False, True))
    assert loud == quiet
    assert len(quiet[1]) == 4


# --- what remains of it ---


@pytest.mark.requirement("G29")
def test_history_says_by_whose_silence_somebody_was_not_told_and_why() -> None:
    """Of an alarm that came and went, too. Owners do not read what the Administrator wrote."""
    story = told(None, "red", "blue")
    story.at(1.0).silence("compute-1", until=100.0, audience=EVERYBODY, name="alice")
    story.at(2.0).silence("vm-1", project="red", until=200.0, name="ann")
    story.at(3.0).push(host_down("compute-1"))
    story.at(4.0).push(milder())
    story.at(5.0).push(host_up("compute-1"))
    story.run(until=300.0)
    mine = history(story, "vm-1", RED)
    by_me = "silenced by ann because planned work"
    not_told = [(one.reason, one.silence_id) for one in mine if one.what is Happening.NOT_TOLD]
    assert not_told == [(by_me, story.silences["ann"].silence_id)] * 3
    theirs = history(story, "vm-3", BLUE)
    hidden = [(one.reason, one.silence_id) for one in theirs if one.what is Happening.NOT_TOLD]
    assert hidden == [("silenced by the Administrator", None)] * 3
    everything = history(story, "vm-1", ADMIN)
    assert {one.reason for one in everything if one.what is Happening.NOT_TOLD} == {
        by_me,
        "silenced by alice because planned work",
    }
    assert not [one for one in (*mine, *theirs, *everything) if one.what is Happening.TOLD]


def test_history_says_what_was_told_when_the_silence_was_over() -> None:
    story = told("red")
    story.at(1.0).silence("vm-1", project="red", until=50.0, name="ann")
    story.at(2.0).push(host_down("compute-1"))
    story.at(60.0).silence("vm-1", project="red", until=100.0, name="ann")
    story.at(61.0).push(milder())
    story.at(110.0).push(host_up("compute-1"))
    story.run(until=120.0)
    reason = "silenced by ann because planned work"
    assert said(history(story, "vm-1", RED)) == [
        (Happening.RAISED, None, None),
        (Happening.NOT_TOLD, "fault", reason),
        (Happening.TOLD, "fault", None),
        (Happening.CHANGED, None, None),
        (Happening.NOT_TOLD, "fault_changed", reason),
        (Happening.TOLD, "fault_changed", None),
        (Happening.CLEARED, None, None),
        (Happening.TOLD, "fault_cleared", None),
    ]


def test_what_is_withheld_is_counted() -> None:
    """Notifications as many as would have gone out, also after a restart."""
    story = told(None, "red", "blue")
    story.at(0.0).subscribe("vnfm-red-2", project="red")
    story.at(1.0).silence("compute-1", until=100.0, audience=EVERYBODY)
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).crash()
    story.at(4.0).start()
    story.at(5.0).push(milder())
    seen: list[tuple[int, int, int]] = []

    async def look() -> None:
        silence = story.silences[""]
        tally = story.doctor.situation.silences.tally(silence.silence_id)
        covered = (await story.doctor.silences.covered([silence]))[silence.silence_id]
        seen.append((tally.notifications, tally.alarms, covered))

    story.note(1.5, look)
    story.note(6.0, look)
    story.run(until=10.0)
    assert seen == [(0, 0, 0), (8, 3, 3)]


def test_silences_that_are_long_over_are_forgotten_and_what_they_said_stays_with_the_alarm() -> None:
    story = told("red")
    story.at(1.0).silence("vm-1", project="red", until=50.0, name="ann")
    story.at(1.0).silence("vm-2", project="red", until=86_400.0, name="eve")
    story.at(2.0).push(host_down("compute-1"))
    story.at(3.0).push(host_up("compute-1"))
    left: list[Any] = []

    async def age() -> None:
        doctor = story.doctor
        ageing = AgeingFlow(doctor.situation, story.clock, doctor.silences, days=100 / 86_400)
        await ageing.forget()
        left.append([one.owner for one in doctor.situation.silences])

    story.note(149.0, age)
    story.note(151.0, age)
    story.run(until=160.0)
    assert left == [["ann", "eve"], ["eve"]]
    assert not then(story.store.load(recent_events=0)).memos.get("unheard")


def test_a_project_has_only_so_many_silences() -> None:
    story = told()
    story.at(1.0).silence("vm-1", project="red", until=50.0)

    async def more() -> None:
        doctor = story.doctor
        limits = SilenceFlow(
            doctor.situation,
            doctor.delivery,
            doctor.agenda,
            story.clock,
            SilenceLimits(per_project=1),
        )
        order = SilenceOrder(
            matcher=SilenceMatcher(resource_id=("vm-2",)),
            audience=None,
            owner="",
            reason="x",
            start=None,
            end=None,
            duration=timedelta(seconds=40),
        )
        with pytest.raises(RejectedError) as caught:
            await limits.create(RED, order)
        assert caught.value.reason is Reason.TOO_MANY
        await limits.create(BLUE, order)
        mine = limits.all(RED)[0]
        await limits.end(RED, mine.silence_id)
        await limits.create(RED, order)
        assert [one.state(story.clock.now()) for one in limits.all(RED)] == [
            SilenceState.ENDED,
            SilenceState.ACTIVE,
        ]

    story.note(2.0, more)
    story.run(until=10.0)


def test_whose_a_silence_is_not_cannot_see_change_or_end_it() -> None:
    story = told()
    story.at(1.0).silence("vm-1", project="red", until=50.0, name="red")
    story.at(1.0).silence("compute-1", until=50.0, name="admin")

    async def others() -> None:
        silences = story.doctor.silences
        red, admin = (story.silences[name].silence_id for name in ("red", "admin"))
        for identity, silence_id in ((BLUE, red), (BLUE, admin), (RED, admin), (RED, "none")):
            for attempt in (
                silences.end(identity, silence_id),
                silences.change(identity, silence_id, SilenceEdit(reason="x")),
            ):
                with pytest.raises(RejectedError) as caught:
                    await attempt
                assert caught.value.reason is Reason.NOT_FOUND
        assert [one.silence_id for one in silences.all(RED)] == [red]
        assert silences.all(BLUE) == []
        assert len(silences.all(ADMIN)) == 2
        ended = await silences.end(ADMIN, red)
        assert (ended.ended_by, ended.until) == ("root", story.clock.now())
        assert await silences.end(RED, red) == ended

    story.note(2.0, others)
    story.run(until=10.0)
