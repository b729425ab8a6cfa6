"""What people do to alarms, and who hears of it [D 5.5.3, IFA 005]."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import looptime
import pytest

from doctor.flows.ageing import AgeingFlow
from doctor.flows.alarm import AlarmAction
from doctor.model.ageing import AGEING_SEVERITIES, Keep
from doctor.model.errors import Reason, RejectedError, StoreError
from doctor.model.fault import Severity
from doctor.model.history import Happening, HistoryItem
from doctor.model.identity import Identity, Role
from doctor.model.notification import Refused
from doctor.model.resource import VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Aggregate, EventKind, SubscribeFilter, When
from doctor.ports.store import Change
from doctor.testing.scenario import RunningFlows, Scenario, down, host_down, host_up
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import FAULTS, crowded_nfvi, small_nfvi

GRADED = """
version: 1
faults:
  - {name: host-limps, when: {type: compute.host.down, severity: [minor]}, severity: minor}
  - {name: host-down, when: {type: compute.host.down}}
propagate:
  - {from: host, kind: hosts, state: down, to_state: error, severity: same}
"""
ADMIN = Identity(name="root", role=Role.ADMIN)
RED = Identity(name="ann", role=Role.CONSUMER, project="red")
BLUE = Identity(name="bob", role=Role.CONSUMER, project="blue")


def worse(host: str = "compute-1") -> Any:
    """Say that a host that has trouble is down for good: the same fault, and worse."""
    return down("compute.host.down", host, severity="critical")


def milder(host: str = "compute-1") -> Any:
    """Say that a host has the same trouble, and less of it."""
    return down("compute.host.down", host, severity="minor")


def then(work: Coroutine[Any, Any, Any]) -> Any:
    """Do something after a story, under virtual time."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(work)


def history(story: Scenario, resource_id: str, identity: Identity) -> list[HistoryItem]:
    """Return the history of the newest alarm of a resource, as somebody may read it."""

    async def read() -> list[HistoryItem]:
        doctor = RunningFlows(story.store, story.channel, story.clock, story.resources, story.selector)
        await doctor.situation.load()
        closed = await story.store.closed_faults(before=None, limit=99)
        records = [one for one in (*doctor.situation.book, *closed) if resource_id in one.alarms]
        alarm_id = records[0].alarms[resource_id].alarm_id
        return await doctor.alarm_history.of(*await doctor.alarms.find(identity, alarm_id), identity.scope)

    found: list[HistoryItem] = then(read())
    return found


# --- shelving ---


def test_of_a_shelved_alarm_the_owner_hears_the_end_and_no_changes() -> None:
    """Somebody else's alarm of the same fault goes on being told."""
    story = Scenario(small_nfvi(), policy=GRADED)
    for name, project in (("vnfm-red", "red"), ("vnfm-blue", "blue")):
        story.at(0.0).subscribe(name, project=project)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=100.0)
    story.at(3.0).push(milder())
    story.at(4.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(4.0, 4.5).gets_clear("vm-1 is normal")
    story.want("vnfm-blue").between(1.0, 1.5).gets("vm-3 is error")
    story.want("vnfm-blue").between(3.0, 3.5).gets_change("vm-3 is error (minor)")
    story.want("vnfm-blue").between(4.0, 4.5).gets_clear("vm-3 is normal")
    story.play(until=200.0)


def test_the_administrator_goes_on_hearing_of_what_an_owner_shelves_and_shelves_his_own() -> None:
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("noc", project=None, asked=FAULTS)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=100.0)
    story.at(2.0).act(AlarmAction.SHELVE, "compute-1", until=50.0)
    story.at(3.0).push(milder())
    story.want("noc").between(1.0, 1.5).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.want("noc").between(3.0, 3.5).gets_change("vm-1 is error (minor)", "vm-3 is error (minor)")
    story.want("noc").between(50.0, 50.1).gets_change("compute-1 is down (minor)")
    story.play(until=200.0)


def test_when_its_time_has_come_the_owner_hears_what_has_changed() -> None:
    """[I-8] Nothing that he believes is wrong for longer than he wanted; and exactly at that second."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=3600.0)
    story.at(3.0).push(milder())
    story.at(4000.0).push(worse())
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(3600.0, 3600.1).gets_change("vm-1 is error (minor)")
    story.want("vnfm-red").between(4000.0, 4000.5).gets_change("vm-1 is error")
    story.play()
    told = history(story, "vm-1", RED)
    assert [(one.what, one.notification_type, one.reason) for one in told if one.time != told[0].time] == [
        (Happening.SHELVED, None, None),
        (Happening.CHANGED, None, None),
        (Happening.NOT_TOLD, "fault_changed", "the alarm was shelved"),
        (Happening.UNSHELVED, None, None),
        (Happening.TOLD, "fault_changed", None),
        (Happening.CHANGED, None, None),
        (Happening.TOLD, "fault_changed", None),
    ]


@pytest.mark.parametrize("second", [50.0, 100.0], ids=["before its time", "twice"])
def test_what_is_as_before_comes_back_in_silence(second: float) -> None:
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=90.0)
    story.at(second).act(AlarmAction.UNSHELVE, "vm-1", project="red")
    story.at(second).act(AlarmAction.UNSHELVE, "vm-1", project="red")
    story.at(120.0).push(milder())
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(120.0, 120.5).gets_change("vm-1 is error (minor)")
    story.play()


def test_a_shelving_outlives_doctor_and_ends_though_it_was_away() -> None:
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=20.0)
    story.at(3.0).crash()
    story.at(4.0).start()
    story.at(5.0).push(milder())
    story.at(6.0).crash()
    story.at(30.0).start()
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(30.0, 30.5).gets_change("vm-1 is error (minor)")
    story.play()


def test_a_shelving_that_could_not_end_ends_a_little_later() -> None:
    """The disk is full at that moment."""
    store = FallibleStore()
    story = Scenario(small_nfvi(), store=store, policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=20.0)
    story.at(3.0).push(milder())
    story.at(10.0).do(lambda: setattr(store, "breaks", 1))
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(21.0, 21.5).gets_change("vm-1 is error (minor)")
    story.play(until=40.0)


# --- clearing by hand ---


def test_a_clear_by_hand_is_told_as_any_clear_and_the_next_report_raises_it_anew() -> None:
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.CLEAR, "compute-1")
    story.at(3.0).push(host_down("compute-1", seen=1.0)).is_duplicate()
    story.at(4.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(2.0, 2.5).gets_clear("vm-1 is normal")
    story.want("vnfm-red").between(4.0, 4.5).gets("vm-1 is error")
    story.play()
    first, _, third = (one.message["virtual_resource_info"][0] for one in story.heard("vnfm-red"))
    assert first["faults"][0]["alarm_id"] != third["faults"][0]["alarm_id"]


def test_only_the_root_is_cleared_by_hand_and_only_by_the_administrator() -> None:
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(1.0).push(host_down("compute-1"))
    refused: list[RejectedError] = []

    async def try_all() -> None:
        doctor = story.doctor
        (record,) = doctor.situation.book
        for identity, resource_id in ((ADMIN, "vm-1"), (RED, "vm-1"), (RED, "vm-3"), (RED, "compute-1")):
            alarm_id = record.alarms[resource_id].alarm_id
            with pytest.raises(RejectedError) as caught:
                await doctor.alarms.act(identity, alarm_id, AlarmAction.CLEAR)
            refused.append(caught.value)
        own = record.alarms["compute-1"].alarm_id
        assert own in refused[0].detail
        await doctor.alarms.act(ADMIN, own, AlarmAction.CLEAR, user="carol")
        await doctor.alarms.act(ADMIN, own, AlarmAction.CLEAR)

    story.note(2.0, try_all)
    story.play()
    assert [one.reason for one in refused] == [
        Reason.IMPOSSIBLE,
        Reason.FORBIDDEN,
        Reason.NOT_FOUND,
        Reason.NOT_FOUND,
    ]
    for resource_id in ("compute-1", "vm-1"):
        end = history(story, resource_id, ADMIN)[-2]
        assert (end.what, end.user) == (Happening.CLEARED, "carol")


# --- notes ---


def test_an_acknowledgement_does_not_rewrite_the_fault() -> None:
    """A fault with thousands of alarms is one record; what is said of one of them is kept beside it."""

    class Watched(FallibleStore):
        changes: list[Change] = []

        async def commit(self, change: Change) -> None:
            self.changes.append(change)
            await super().commit(change)

    store = Watched()
    story = Scenario(crowded_nfvi(50), store=store)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.ACKNOWLEDGE, "vm-7", project="red")
    story.at(3.0).act(AlarmAction.ACKNOWLEDGE, "vm-7")
    story.at(3.5).crash()
    story.at(4.0).start()
    story.run()
    raised, acknowledged = store.changes
    assert (len(raised.faults), raised.history, len(raised.memos)) == (1, [], 1)  # and who said so
    assert (acknowledged.faults, len(acknowledged.memos)) == ([], 1)
    items = history(story, "vm-7", RED)
    assert [(one.what, one.user) for one in items if one.user] == [(Happening.ACKNOWLEDGED, "somebody")]


def test_what_was_not_kept_was_not_done() -> None:
    store = FallibleStore()
    story = Scenario(small_nfvi(), store=store, policy=GRADED)
    story.at(1.0).push(host_down("compute-1"))

    async def fail() -> None:
        (record,) = story.doctor.situation.book
        alarm_id = record.alarms["vm-1"].alarm_id
        store.breaks = 1
        with pytest.raises(StoreError):
            await story.doctor.alarms.comment(RED, alarm_id, "hello")
        await story.doctor.alarms.comment(RED, alarm_id, "again", user="eve")
        note = story.doctor.situation.notes.of(alarm_id)
        assert note is not None
        assert [(one.user, one.text) for one in note.comments] == [("eve", "again")]

    story.note(2.0, fail)
    story.run()


# --- the list told anew ---


def test_everybody_is_told_what_is_open_of_his_own() -> None:
    """[IFA 005] Also that nothing is; who does not want to hear of faults does not."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).subscribe("vnfm-green", project="green")
    story.at(0.0).subscribe("picky", project="red", asked=SubscribeFilter(fault_type=frozenset({"x"})))
    story.at(0.0).subscribe(
        "deaf", project="red", asked=SubscribeFilter(event=frozenset({EventKind.MAINTENANCE}))
    )
    story.at(1.0).push(host_down("compute-1"))
    story.at(1.5).subscribe("noc", project=None, asked=FAULTS)
    story.at(2.0).rebuild_list()
    story.at(3.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(2.0, 2.5).gets_list("vm-1 is error")
    story.want("vnfm-red").between(3.0, 3.5).gets_clear("vm-1 is normal")
    story.want("vnfm-green").between(2.0, 2.5).gets_list()
    story.want("picky").between(2.0, 2.5).gets_list()
    story.want("noc").between(2.0, 2.5).gets_list("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.want("noc").between(3.0, 3.5).gets_clear("compute-1 is normal", "vm-1 is normal", "vm-3 is normal")
    story.play()
    (mine,) = [one.message for one in story.heard("vnfm-red") if one.kind == "alarm_list_rebuilt"]
    assert "compute-1" not in str(mine)
    assert "physical_resource_info" not in mine


# --- history ---


@pytest.mark.requirement("G29")
def test_history_tells_who_was_told_and_who_was_not_and_why() -> None:
    """[HA 5.2] An owner reads of his own subscriptions, the Administrator of all whom the alarm concerns."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=2, clear=False)
    story.at(0.0).subscribe("vnfm-blue", project="blue")
    story.at(0.0).subscribe("noc", project=None, asked=SubscribeFilter(fault_type=frozenset({"x"})))
    story.at(0.5).always_answer("vnfm-red/1", Refused("no", 400))
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_down("compute-1"))
    story.at(60.0).push(host_up("compute-1"))
    story.run(until=90.0)
    mine = history(story, "vm-1", RED)
    mine[2:4] = sorted(mine[2:4], key=lambda one: one.what, reverse=True)  # two endpoints, at the same time
    assert [(one.what, one.reason, one.attempts, one.count) for one in mine] == [
        (Happening.RAISED, None, None, None),
        (Happening.REPEATED, None, None, 1),
        (Happening.TOLD, None, 1, None),
        (Happening.NOT_TOLD, "given up", 3, None),
        (Happening.CLEARED, None, None, None),
        (Happening.NOT_TOLD, "the subscription does not ask for ends", None, None),
    ]
    names = {story.subscriptions[name].subscription_id: name for name in story.subscriptions}
    all_of_it = history(story, "vm-1", ADMIN)
    assert {names[one.subscription_id] for one in all_of_it if one.subscription_id} == {"vnfm-red", "noc"}
    assert {one.reason for one in all_of_it if names.get(one.subscription_id or "") == "noc"} == {
        "the subscription asks for other fault types"
    }


def test_history_tells_who_was_told_later_who_not_yet_and_of_corrections() -> None:
    """[HA 5.2, I-24] What waits for a host or a group; an end that was none."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("eager", project="red")
    story.at(0.0).subscribe("careful", project="red", when=When.ISOLATED)
    story.at(0.0).subscribe("bold", project="red", aggregate=Aggregate(group="vnf", more_than=1))
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).isolate("compute-1")
    seen: list[list[tuple[str, Happening, str | None]]] = []
    found: list[str] = []

    async def look() -> None:
        doctor = story.doctor
        for record in doctor.situation.book:
            found.extend(one.alarm_id for one in record.alarms.values() if one.resource_id == "vm-1")
        items = await doctor.alarm_history.of(*await doctor.alarms.find(RED, found[0]), "red")
        names = {one.subscription_id: name for name, one in story.subscriptions.items()}
        told = [one for one in items if one.what in (Happening.TOLD, Happening.NOT_TOLD)]
        rows = [(names[one.subscription_id or ""], one.what, one.reason) for one in told]
        seen.append(sorted(rows, key=str))

    story.note(3.0, look)
    gone = VirtualResource(id="vm-2", host="compute-2", owner="red")
    story.at(4.0).load(ResourceMap(small_nfvi().physical.values(), [gone]))
    story.note(5.0, look)
    story.run(until=6.0)
    before, after = seen
    held = "held back until more of its group are out, or its host is isolated"
    assert before == [  # the fault, and that its host is isolated
        ("bold", Happening.NOT_TOLD, held),
        ("bold", Happening.NOT_TOLD, held),
        ("careful", Happening.NOT_TOLD, held),
        ("careful", Happening.NOT_TOLD, held),
        ("careful", Happening.TOLD, None),
        ("eager", Happening.TOLD, None),
        ("eager", Happening.TOLD, None),
    ]
    for row in before:
        after.remove(row)
    assert after == [
        ("bold", Happening.NOT_TOLD, held),
        ("careful", Happening.TOLD, None),
        ("eager", Happening.TOLD, None),
    ]


def test_a_change_at_the_very_end_of_a_shelving_was_held_back_by_it() -> None:
    """Of what happens at one time nobody knows what came first; the owner was told in the end."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.SHELVE, "vm-1", project="red", until=90.0)
    story.at(3.0).push(milder())
    story.at(3.0).act(AlarmAction.UNSHELVE, "vm-1", project="red")
    story.want("vnfm-red").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm-red").between(3.0, 3.5).gets_change("vm-1 is error (minor)")
    story.play()
    reasons = [one.reason for one in history(story, "vm-1", RED) if one.what is Happening.NOT_TOLD]
    assert reasons == ["the alarm was shelved"]


def test_history_knows_that_nobody_was_there_and_who_is_gone() -> None:
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).unsubscribe("vnfm-red")
    story.at(3.0).push(milder())
    story.at(4.0).do(lambda: story.doctor.timelines.flush())
    story.run()
    mine, everything = history(story, "vm-1", RED), history(story, "vm-1", ADMIN)
    silent = [one.reason for one in mine if one.what is Happening.NOT_TOLD]
    assert silent == ["nobody was subscribed"] * 2
    assert [one.subscription_id for one in everything if one.what is Happening.TOLD] == [
        story.subscriptions["vnfm-red"].subscription_id
    ]


# --- ageing ---


@pytest.mark.requirement("G29")
def test_ageing_forgets_what_is_over_with_its_notes_and_nothing_that_is_open() -> None:
    """[HA 5.2] By number here; the setting outlives the process."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).act(AlarmAction.ACKNOWLEDGE, "vm-1", project="red")
    story.at(3.0).push(host_up("compute-1"))
    story.at(4.0).push(host_down("compute-1"))
    story.at(5.0).act(AlarmAction.ACKNOWLEDGE, "vm-1", project="red")
    story.at(6.0).crash()
    story.run()

    async def age() -> None:
        doctor = RunningFlows(story.store, story.channel, story.clock, story.resources, story.selector)
        await doctor.situation.load()
        ageing = AgeingFlow(doctor.situation, story.clock, doctor.silences, days=30)
        assert ageing.current.keep == dict.fromkeys(AGEING_SEVERITIES, Keep(days=30))
        await ageing.forget()
        assert len(doctor.situation.notes) == 2
        await ageing.apply({Severity.CRITICAL: Keep(count=0)}, user="root")
        again = RunningFlows(story.store, story.channel, story.clock, story.resources, story.selector)
        await again.situation.load()
        ageing = AgeingFlow(again.situation, story.clock, again.silences, days=30)
        assert ageing.current.keep[Severity.CRITICAL] == Keep(count=0)
        assert ageing.current.keep[Severity.MINOR] == Keep(days=30)
        await ageing.forget()
        (note,) = again.situation.notes
        assert again.situation.book.alarm(note.alarm_id) is not None
        snapshot = await story.store.load(recent_events=0)
        assert set(snapshot.memos["alarm"]) == {note.alarm_id}
        await ageing.apply({}, user="root")
        assert ageing.current.keep == dict.fromkeys(AGEING_SEVERITIES, Keep(days=30))

    then(age())
