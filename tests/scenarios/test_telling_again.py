"""What is told again, or told although nothing happened: acknowledgements, replay, heartbeats, outages."""

from datetime import timedelta

import pytest

from doctor.flows.replay import MOST_AT_ONCE, Replay
from doctor.model.errors import RejectedError
from doctor.model.notification import DeliveryState, Failed, Gone, Refused
from doctor.model.subscription import Acknowledge, TellingPolicy
from doctor.testing.scenario import Scenario, host_down, host_up
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import FAULTS, small_nfvi

EXPLICIT = Acknowledge.EXPLICIT
AWAY = Failed("connection refused")


# --- acknowledge: explicit ---


@pytest.mark.requirement("F2")
def test_what_is_not_acknowledged_is_sent_again_until_it_is() -> None:
    """[design 5, I-4] Every 30 s at first, the same bytes under the same id."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", acknowledge=EXPLICIT)
    story.at(1.0).push(host_down("compute-1"))
    story.at(70.0).acknowledge("vnfm", 1)
    for second in (1.0, 31.0, 61.0):
        story.want("vnfm").between(second, second).gets("vm-1 is error")
    story.play(until=1000.0)
    heard = story.heard("vnfm")
    assert len({one.notification.body for one in heard}) == 1
    assert [one.attempt for one in story.attempts("vnfm")] == [1, 2, 3]


def test_the_next_notification_does_not_wait_for_an_acknowledgement() -> None:
    """[design 5] First deliveries keep their order."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", acknowledge=EXPLICIT)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_up("compute-1"))
    story.at(3.0).acknowledge("vnfm", 2)
    story.at(40.0).acknowledge("vnfm", 1)
    story.want("vnfm").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm").between(2.0, 2.5).gets_clear("vm-1 is normal")
    story.want("vnfm").between(31.0, 31.5).gets("vm-1 is error")
    story.play(until=200.0)


def test_what_is_acknowledged_in_time_is_sent_once() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", acknowledge=EXPLICIT)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).acknowledge("vnfm", 1)
    story.at(2.5).acknowledge("vnfm", 1)
    story.want("vnfm").between(1.0, 1.5).gets("vm-1 is error")
    story.play(until=200.0)


def test_what_was_open_is_open_after_a_restart() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", acknowledge=EXPLICIT)
    story.at(1.0).push(host_down("compute-1"))
    story.at(10.0).crash()
    story.at(20.0).start()
    story.want("vnfm").between(1.0, 1.5).gets("vm-1 is error")
    story.want("vnfm").between(50.0, 50.5).gets("vm-1 is error")
    story.at(60.0).acknowledge("vnfm", 1)
    story.at(70.0).crash()
    story.at(80.0).start()
    story.play(until=300.0)


def test_who_asks_for_acknowledgements_no_more_is_told_once() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", acknowledge=EXPLICIT)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).update("vnfm", policy=TellingPolicy())
    story.want("vnfm").between(1.0, 1.5).gets("vm-1 is error")
    story.play(until=200.0)


def test_a_repeat_that_fails_is_repeated_later() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", acknowledge=EXPLICIT)
    story.at(1.0).push(host_down("compute-1"))
    story.at(30.0).answer("vnfm", AWAY)
    story.at(70.0).acknowledge("vnfm", 1)
    story.run(until=200.0)
    assert story.attempted_at("vnfm") == [1.0, 31.0, 61.0]


def test_nothing_is_sent_again_to_who_is_gone() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", acknowledge=EXPLICIT)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).unsubscribe("vnfm")
    story.run(until=100.0)
    assert story.attempted_at("vnfm") == [1.0]


# --- heartbeats ---


@pytest.mark.requirement("B17")
def test_silence_is_told_to_those_who_ask() -> None:
    """[design 5] With the last sequence and none of its own; whatever is told puts the next one off."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", heartbeat=timedelta(seconds=10))
    story.at(0.0).subscribe("other", project="red")
    story.want("vnfm").between(10.0, 10.0).gets_heartbeat()
    story.at(15.0).push(host_down("compute-1"))
    for name in ("vnfm", "other"):
        story.want(name).between(15.0, 15.5).gets("vm-1 is error")
    story.want("vnfm").between(25.0, 25.0).gets_heartbeat()
    story.want("vnfm").between(35.0, 35.0).gets_heartbeat()
    story.play(until=36.0)
    assert [one.sequence for one in story.heard("vnfm")] == [0, 1, 1, 1]
    assert set(story.heard("vnfm")[-1].message) == {
        "notification_id", "subscription_id", "sequence", "notification_type", "event_time", "sent_time",
    }  # fmt: skip


def test_a_heartbeat_that_is_not_taken_is_not_repeated() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", heartbeat=timedelta(seconds=10))
    story.at(0.5).answer("vnfm", AWAY)
    story.run(until=21.0)
    assert story.attempted_at("vnfm") == [10.0, 20.0]


def test_heartbeats_go_on_after_a_restart_and_end_when_they_are_not_wanted() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", heartbeat=timedelta(seconds=10))
    story.at(15.0).crash()
    story.at(20.0).start()
    story.at(35.0).update("vnfm", policy=TellingPolicy(heartbeat=timedelta(seconds=1)))
    story.at(37.5).update("vnfm", policy=TellingPolicy())
    story.run(until=100.0)
    assert story.attempted_at("vnfm") == [10.0, 30.0, 36.0, 37.0]


def test_no_heartbeat_comes_between_an_attempt_and_its_repeat() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", heartbeat=timedelta(seconds=1))
    story.at(0.5).always_answer("vnfm", AWAY)
    story.at(0.6).push(host_down("compute-1"))
    story.at(30.0).always_answer("vnfm", None)
    story.run(until=60.0)
    kinds = [one.kind for one in story.heard("vnfm")]
    assert kinds[0] == "fault"
    assert set(kinds[1:]) == {"heartbeat"}


# --- parked, and sent once more ---


def test_what_was_parked_is_sent_again_when_somebody_asks() -> None:
    """[I-20] The same bytes under the same id, marked; then it is parked no more."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red")
    story.at(0.5).answer("vnfm", *[Refused("answered 422", 422)] * 3)
    story.at(1.0).push(host_down("compute-1"))
    story.at(5.0).push(host_up("compute-1"))
    parked: list[list[int]] = []

    def look() -> None:
        async def act() -> None:
            rows = await story.doctor.replays.parked(story.subscriptions["vnfm"], after=0, limit=10)
            parked.append([row.sequence for row in rows])

        story.note(9.0, act)
        story.note(11.0, act)

    look()
    story.at(10.0).replay("vnfm", 1, 2)
    story.want("vnfm").between(5.0, 5.5).gets_clear("vm-1 is normal")
    story.want("vnfm").between(10.0, 10.5).gets("vm-1 is error")
    story.play()
    assert parked == [[1], []]
    assert [one.attempt for one in story.attempts("vnfm") if one.replay] == [4]


def test_everything_can_be_sent_again_to_who_lost_it() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", endpoints=2)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_up("compute-1"))
    story.at(10.0).replay("vnfm", 1, 2, parked_only=False)
    for second in (1.0, 10.0):
        story.want("vnfm").between(second, second + 1.0).gets("vm-1 is error")
    for second in (2.0, 10.0):
        story.want("vnfm").between(second, second + 1.0).gets_clear("vm-1 is normal")
    story.run()
    for name in ("vnfm/0", "vnfm/1"):
        assert [one.sequence for one in story.heard(name)] == [1, 2, 1, 2]


def test_what_is_refused_again_stays_parked() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red")
    story.at(0.5).always_answer("vnfm", Refused("answered 422", 422))
    story.at(1.0).push(host_down("compute-1"))
    story.at(10.0).replay("vnfm", 1, 1)
    states: list[DeliveryState] = []

    async def look() -> None:
        rows = await story.doctor.replays.parked(story.subscriptions["vnfm"], after=0, limit=10)
        states.extend(row.state for row in rows)

    story.note(12.0, look)
    story.run()
    assert states == [DeliveryState.PARKED]
    assert len(story.attempts("vnfm")) == 6


@pytest.mark.parametrize(
    ("endpoints", "wish", "pointer"),
    [
        pytest.param(1, Replay(2, 1), "/to", id="empty"),
        pytest.param(1, Replay(1, MOST_AT_ONCE + 1), "/to", id="too-long"),
        pytest.param(1, Replay(1, 1, True, "none"), "/endpoint_id", id="no-such-endpoint"),
        pytest.param(0, Replay(1, 1), "", id="no-endpoints"),
    ],
)
def test_what_cannot_be_sent_again(endpoints: int, wish: Replay, pointer: str) -> None:
    """[bad input] 422 with the place."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm", project="red", endpoints=endpoints)
    flaws: list[str] = []

    async def ask() -> None:
        with pytest.raises(RejectedError) as failed:
            await story.doctor.replays.replay(story.subscriptions["vnfm"], wish)
        flaws.extend(flaw.pointer for flaw in failed.value.flaws)

    story.note(1.0, ask)
    story.run()
    assert flaws == [pointer]


# --- consumers that cannot be reached ---


@pytest.mark.requirement("E19")
def test_the_administrator_hears_of_a_consumer_that_cannot_be_reached() -> None:
    """[I-18] Within 5 seconds, and of its return; the Consumer itself hears nothing of that."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(0.0).subscribe("vnfm", project="blue")
    story.at(0.5).always_answer("vnfm", AWAY)
    story.at(1.0).push(host_down("compute-1"))
    story.want("operator").between(1.0, 1.5).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.at(20.0).always_answer("vnfm", None)
    story.want("vnfm").between(20.0, 60.0).gets("vm-3 is error")
    story.run(until=120.0)
    kinds = [(one.kind.value, one.at) for one in story.heard("operator")]
    assert [kind for kind, _ in kinds] == ["fault", "fault", "fault_cleared"]
    assert kinds[1][1] <= 6.0
    (told,) = story.heard("operator")[1].message["physical_resource_info"]
    assert told["physical_resource_id"] == story.subscriptions["vnfm"].subscription_id
    assert told["faults"][0]["fault_type"] == "consumer unreachable"
    assert told["faults"][0]["fault_details"]["url"] == "http://vnfm/0"
    assert len(story.heard("vnfm")) == 1


def test_a_restart_of_a_consumer_is_no_outage() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(0.0).subscribe("vnfm", project="blue")
    story.at(0.5).answer("vnfm", *[AWAY] * 5)
    story.at(1.0).push(host_down("compute-1"))
    story.want("operator").between(1.0, 1.5).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.run(until=60.0)
    assert len(story.heard("operator")) == 1


def test_an_administrator_that_cannot_be_reached_is_not_told_so() -> None:
    """[I-18] No alarm about an endpoint waits for that endpoint; another Administrator hears of it."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(0.0).subscribe("colleague", project=None, asked=FAULTS)
    story.at(0.5).always_answer("operator", AWAY)
    story.at(1.0).push(host_down("compute-1"))
    story.at(600.0).always_answer("operator", None)
    story.run(until=3600.0)
    assert [one.kind for one in story.heard("operator")] == ["fault"]
    assert [one.kind for one in story.heard("colleague")] == ["fault", "fault", "fault_cleared"]


def test_an_outage_ends_after_a_restart_too_and_with_the_subscription() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(0.0).subscribe("vnfm", project="blue")
    story.at(0.0).subscribe("gone", project="blue")
    story.at(0.5).always_answer("vnfm", AWAY)
    story.at(0.5).always_answer("gone", AWAY)
    story.at(1.0).push(host_down("compute-1"))
    story.at(10.0).crash()
    story.at(20.0).start()
    story.at(25.0).unsubscribe("gone")
    story.at(30.0).always_answer("vnfm", None)
    story.run(until=200.0)
    kinds = [one.kind.value for one in story.heard("operator")]
    assert kinds == ["fault", "fault", "fault", "fault_cleared", "fault_cleared"]


def test_two_dead_endpoints_of_one_consumer_are_one_outage() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(0.0).subscribe("vnfm", project="blue", endpoints=2)
    story.at(0.5).always_answer("vnfm", AWAY)
    story.at(1.0).push(host_down("compute-1"))
    story.at(30.0).always_answer("vnfm/0", None)
    story.at(300.0).always_answer("vnfm/1", None)
    story.run(until=600.0)
    heard = story.heard("operator")
    assert [one.kind.value for one in heard] == ["fault", "fault", "fault_cleared"]
    assert heard[-1].at >= 300.0


@pytest.mark.parametrize("answer", [Refused("answered 422", 422), Gone("answered 410")])
def test_who_answers_no_is_there(answer: Refused | Gone) -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(0.0).subscribe("vnfm", project="blue")
    story.at(0.5).always_answer("vnfm", answer)
    story.at(1.0).push(host_down("compute-1"))
    story.run(until=60.0)
    assert len(story.heard("operator")) == 1


def test_an_outage_is_reported_when_the_store_is_back() -> None:
    """[I-29] Nothing of it is lost."""
    store = FallibleStore()
    story = Scenario(small_nfvi(), store=store)
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(0.0).subscribe("vnfm", project="blue")
    story.at(0.5).always_answer("vnfm", AWAY)
    story.at(1.0).push(host_down("compute-1"))
    story.at(3.5).do(lambda: setattr(store, "breaks", 1))
    story.run(until=30.0)
    assert store.refused
    assert [one.kind.value for one in story.heard("operator")] == ["fault", "fault"]
