"""How notifications reach their endpoints, whatever those answer."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.flows.delivery import IN_MEMORY, REFUSALS_BEFORE_PARKING, Lane
from doctor.model.notification import (
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    Failed,
    Gone,
    Refused,
    StoredNotification,
)
from doctor.model.subscription import Endpoint
from doctor.testing.channel import Answer
from doctor.testing.clock import START
from doctor.testing.scenario import Scenario, host_down, host_up, without_damping
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import small_nfvi
from tests.unit.model.nfvis import long_lists

OUT_OF_ORDER = Failed("connection refused")
UNABLE = Refused("422 Unprocessable", 422)


def flapping(story: Scenario, numbers: range, *, start: float = 1.0, every: float = 1.0) -> None:
    """Let compute-1 go down and up, each time with one notification for its owner: odd ones are ``down``."""
    for place, number in enumerate(numbers):
        report = host_down if number % 2 else host_up
        story.at(start + place * every).push(report("compute-1"))


def deliveries(story: Scenario, name: str) -> list[Delivery]:
    """Return how messages ended, by sequence."""
    subscription_id = story.subscriptions[name].subscription_id
    return list(asyncio.run(story.store.deliveries(subscription_id, after=0, limit=10_000)))


# --- endpoints ---


@pytest.mark.requirement("B18")
def test_every_endpoint_gets_the_same_message() -> None:
    """[design 5] One notification_id and one sequence for all endpoints of a subscription."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=3)
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 1.1).gets("vm-1 is error")
    story.play()
    told = [story.heard(f"vnfm-red/{index}")[0].notification for index in range(3)]
    assert told[0] == told[1] == told[2]


def test_the_sequence_counts_per_subscription() -> None:
    """[I-5] Each from 1, without gaps, also for two subscriptions of one owner."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("first", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).subscribe("second", project="red")
    story.at(3.0).push(host_up("compute-1"))
    story.run()
    assert [heard.sequence for heard in story.heard("first")] == [1, 2]
    assert [heard.sequence for heard in story.heard("second")] == [1]


# --- what fails for now ---


def test_a_dead_endpoint_is_tried_again_on_the_schedule_with_the_same_bytes() -> None:
    """[I-4, reliability 3.3] 50, 100, 200, 500 ms, 1, 2, 5, 10, 30 s after one another; the number of the try counts."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).answer("vnfm-red", *[OUT_OF_ORDER] * 9)
    story.at(1.0).push(host_down("compute-1"))
    story.run(until=100.0)
    tries = story.attempted_at("vnfm-red")
    waits = [round(later - earlier, 3) for earlier, later in itertools.pairwise(tries)]
    assert tries[0] == 1.0
    assert waits == [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]
    attempts = story.attempts("vnfm-red")
    assert [attempt.attempt for attempt in attempts] == list(range(1, 11))
    assert len({attempt.notification.body for attempt in attempts}) == 1
    assert len(story.heard("vnfm-red")) == 1


@pytest.mark.requirement("B15")
def test_a_dead_endpoint_delays_nobody_else() -> None:
    """[I-18, I-19] Neither another owner nor another endpoint of the same subscription."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=2)
    story.at(0.0).subscribe("vnfm-blue", project="blue")
    story.at(0.0).always_answer("vnfm-red/0", OUT_OF_ORDER)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_up("compute-1"))
    story.want("vnfm-blue").between(1.0, 1.0).gets("vm-3 is error")
    story.want("vnfm-blue").between(2.0, 2.0).gets_clear("vm-3 is normal")
    story.want("vnfm-red/1").between(1.0, 1.0).gets("vm-1 is error")
    story.want("vnfm-red/1").between(2.0, 2.0).gets_clear("vm-1 is normal")
    story.play()


@pytest.mark.requirement("B15")
def test_a_hanging_endpoint_delays_nobody_else() -> None:
    """[I-19] It gets what it missed in order when it wakes up, one request at a time."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).subscribe("vnfm-blue", project="blue")
    story.at(0.5).hold("vnfm-red")
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_up("compute-1"))
    story.at(60.0).release("vnfm-red")
    story.want("vnfm-red").between(1.0, 1.0).gets("vm-1 is error")
    story.want("vnfm-red").between(60.0, 60.0).gets_clear("vm-1 is normal")
    story.want("vnfm-blue").between(1.0, 1.0).gets("vm-3 is error")
    story.want("vnfm-blue").between(2.0, 2.0).gets_clear("vm-3 is normal")
    story.play()


def test_what_comes_behind_a_failing_message_waits_for_it() -> None:
    """[I-5] Order per endpoint comes before speed."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).answer("vnfm-red", *[OUT_OF_ORDER] * 5)
    story.at(1.0).push(host_down("compute-1"))
    story.at(1.2).push(host_up("compute-1"))
    story.want("vnfm-red").between(2.8, 2.9).gets("vm-1 is error")
    story.want("vnfm-red").between(2.8, 2.9).gets_clear("vm-1 is normal")
    story.play()


def test_an_endpoint_that_asks_for_time_gets_it() -> None:
    """[reliability 3.3] ``Retry-After`` is honoured."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).answer("vnfm-red", Failed("429 Too Many Requests", 429, retry_after=7.0))
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(8.0, 8.0).gets("vm-1 is error")
    story.play()


def test_after_a_day_of_failures_a_message_is_parked() -> None:
    """[reliability 3.3] The gap shows in the outbox, and what came after it goes on."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).always_answer("vnfm-red", OUT_OF_ORDER)
    story.at(1.0).push(host_down("compute-1"))
    story.at(90_000.0).always_answer("vnfm-red", None)
    story.at(90_000.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(90_000.0, 90_000.0).gets_clear("vm-1 is normal")
    story.play()
    (parked,) = [one for one in deliveries(story, "vnfm-red") if one.state is DeliveryState.PARKED]
    assert parked.error == OUT_OF_ORDER.error
    assert 1_440 <= parked.attempts <= 1_600


def test_a_defect_of_a_channel_is_a_failure_like_any_other() -> None:
    """A driver that raises stops no lane."""
    story = Scenario(small_nfvi(), policy=without_damping())
    deliver, calls = story.channel.deliver, itertools.count()

    async def broken(
        endpoint: Endpoint, notification: StoredNotification, *, attempt: int, replay: bool = False
    ) -> DeliveryOutcome:
        if next(calls) == 0:
            raise ZeroDivisionError
        return await deliver(endpoint, notification, attempt=attempt)

    story.channel.deliver = broken  # type: ignore[method-assign]
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.05, 1.05).gets("vm-1 is error")
    story.play()


# --- what never works ---


def test_what_is_refused_is_parked_and_the_next_goes_through() -> None:
    """[I-20] The gap is visible in the sequence and in the outbox."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).answer("vnfm-red", *[UNABLE] * REFUSALS_BEFORE_PARKING)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(2.0, 2.0).gets_clear("vm-1 is normal")
    story.play()
    assert [heard.sequence for heard in story.heard("vnfm-red")] == [2]
    assert story.attempted_at("vnfm-red") == [1.0, 1.05, 1.15, 2.0]
    ended = [(one.sequence, one.state, one.attempts, one.error) for one in deliveries(story, "vnfm-red")]
    assert ended == [
        (1, DeliveryState.PARKED, 3, UNABLE.error),
        (2, DeliveryState.DELIVERED, 1, ""),
    ]


def test_an_endpoint_that_is_gone_is_left_alone() -> None:
    """[reliability 3.3] 410 Gone: everything for it is parked, and others go on."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=2)
    story.at(0.5).answer("vnfm-red/0", Gone("410 Gone"))
    flapping(story, range(1, 4))
    story.run()
    assert story.attempted_at("vnfm-red/0") == [1.0]
    assert [heard.sequence for heard in story.heard("vnfm-red/1")] == [1, 2, 3]
    gone = [one for one in deliveries(story, "vnfm-red") if one.state is DeliveryState.PARKED]
    assert [one.sequence for one in gone] == [1, 2, 3]
    assert [one.attempts for one in gone] == [1, 1, 1]


def test_an_endpoint_that_was_gone_is_tried_again_once_its_owner_says_so() -> None:
    """[reliability 3.3] Any change of the subscription will do; what was parked stays parked."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).answer("vnfm-red", Gone("410 Gone"))
    flapping(story, range(1, 3))
    story.at(10.0).update("vnfm-red", endpoints=1)
    flapping(story, range(3, 5), start=11.0)
    story.run()
    assert [heard.sequence for heard in story.heard("vnfm-red")] == [3, 4]


# --- endpoints come and go ---


def test_an_endpoint_that_is_added_hears_of_what_comes_after() -> None:
    """[design 5] It joins the sequence where that is."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    flapping(story, range(1, 4))
    story.at(10.0).update("vnfm-red", endpoints=2)
    flapping(story, range(4, 6), start=11.0)
    story.run()
    assert [heard.sequence for heard in story.heard("vnfm-red/0")] == [1, 2, 3, 4, 5]
    assert [heard.sequence for heard in story.heard("vnfm-red/1")] == [4, 5]


def test_an_endpoint_that_stays_keeps_its_place() -> None:
    """[design 5] Changing a subscription repeats nothing and loses nothing, also while messages wait."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).always_answer("vnfm-red", OUT_OF_ORDER)
    flapping(story, range(1, 4))
    story.at(10.0).update("vnfm-red", endpoints=2)
    story.at(20.0).always_answer("vnfm-red/0", None)
    story.run(until=60.0)
    assert [heard.sequence for heard in story.heard("vnfm-red/0")] == [1, 2, 3]
    assert story.heard("vnfm-red/1") == []


def test_an_endpoint_that_is_removed_hears_nothing_more() -> None:
    """[design 5] Not even what waited for it."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=2)
    story.at(0.5).do(lambda: removed.extend(story.endpoint_ids("vnfm-red/1")))
    story.at(0.5).always_answer("vnfm-red/1", OUT_OF_ORDER)
    removed: list[str] = []
    story.at(1.0).push(host_down("compute-1"))
    story.at(1.3).update("vnfm-red", endpoints=1)
    story.at(1.4).do(lambda: story.channel.always_answer(removed[0], None))
    story.at(2.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(1.0, 1.0).gets("vm-1 is error")
    story.want("vnfm-red").between(2.0, 2.0).gets_clear("vm-1 is normal")
    story.play()
    assert story.channel.delivered(removed[0]) == []


def test_a_subscription_without_endpoints_is_kept_for_pulling() -> None:
    """[design 5] Its messages wait in the outbox, and whoever watches it is roused."""
    story = Scenario(small_nfvi(), policy=without_damping())
    watchers: list[asyncio.Event] = []
    roused: list[tuple[bool, ...]] = []

    def watch() -> None:
        watchers.append(story.doctor.delivery.watcher(story.subscriptions["vnfm-red"].subscription_id))
        look()

    def look() -> None:
        roused.append(tuple(watcher.is_set() for watcher in watchers))

    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=0)
    story.at(0.5).do(watch)
    story.at(1.0).push(host_down("compute-1"))
    story.at(1.1).do(look)
    story.at(1.2).do(watch)
    story.at(2.0).unsubscribe("vnfm-red")
    story.at(2.1).do(look)
    story.run()
    assert roused == [(False,), (True,), (True, False), (True, True)]


# --- lanes that fall behind ---


@pytest.mark.parametrize(
    "messages", [IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 2 * IN_MEMORY, 5 * IN_MEMORY + 3]
)
def test_a_lane_that_falls_behind_catches_up_from_the_outbox(messages: int) -> None:
    """[I-5, I-18] In order, without loss, without a message told twice; memory is bounded meanwhile."""
    story = Scenario(small_nfvi(), policy=without_damping())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).hold("vnfm-red")
    flapping(story, range(1, messages + 1), every=0.01)
    story.at(50.0).release("vnfm-red")
    flapping(story, range(messages + 1, messages + 5), start=51.0)
    story.run()
    assert [heard.sequence for heard in story.heard("vnfm-red")] == list(range(1, messages + 5))


def test_what_is_saved_while_the_outbox_is_read_is_not_lost() -> None:
    """[I-1] The answer of the outbox speaks of the moment in which it was asked."""
    story = Scenario(small_nfvi(), policy=without_damping(), store=FallibleStore(seconds=0.01))
    story.at(0.0).subscribe("vnfm-red", project="red")
    for step in range(8):
        flapping(story, range(1, 3), start=1.0 + step + step * 0.002, every=0.5 + step * 0.001)
    story.at(20.0).update("vnfm-red", endpoints=2)
    flapping(story, range(1, 3), start=20.005, every=0.011)
    story.run()
    assert [heard.sequence for heard in story.heard("vnfm-red/0")] == list(range(1, 19))
    assert [heard.sequence for heard in story.heard("vnfm-red/1")] == [17, 18]


def test_an_outbox_that_cannot_be_read_is_asked_again() -> None:
    """[I-1] On the same schedule, and nothing is lost."""
    store = FallibleStore()
    story = Scenario(small_nfvi(), policy=without_damping(), store=store)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.5).crash()
    story.at(0.6).do(lambda: setattr(store, "reads_break", 3))
    story.at(0.7).start()
    story.at(0.8).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.05, 1.05).gets("vm-1 is error")
    story.play()


MOVES = long_lists(
    st.sampled_from(["save", "save", "save", "dispatch", "dispatch last", "ask", "answer", "take", "take"]),
    150,
)


@settings(deadline=None)
@given(MOVES, st.integers(0, 5), st.sampled_from([0, 1, IN_MEMORY - 1, IN_MEMORY, 3 * IN_MEMORY]))
def test_a_lane_loses_nothing_and_keeps_the_order(moves: list[str], since: int, backlog: int) -> None:
    """[I-1, I-5] Whenever the outbox is asked, and however late its answer, or the word of what was saved, comes in."""
    lane = Lane("s", Endpoint(endpoint_id="e", url="http://e", since=since))
    outbox = [message(sequence) for sequence in range(1, since + backlog + 1)]
    saved: list[StoredNotification] = []
    asked: tuple[list[StoredNotification], int] | None = None
    taken: list[int] = []

    def move(what: str) -> None:
        nonlocal asked
        match what:
            case "save":
                outbox.append(message(len(outbox) + 1))
                saved.append(outbox[-1])
            case "dispatch" if saved:
                lane.put(saved.pop(0))
            case "dispatch last" if saved:
                lane.put(saved.pop())
            case "ask" if lane.behind and asked is None and not lane._waiting:
                asked = [one for one in outbox if one.sequence > lane.queued][:IN_MEMORY], lane.missed
            case "answer" if asked is not None:
                lane.refill(*asked)
                asked = None
            case "take" if asked is None and (found := lane.next()) is not None:
                taken.append(found.sequence)

    for what in moves:
        move(what)
        assert len(lane._waiting) <= IN_MEMORY
    for what in ("dispatch", "answer", "take", "ask") * (3 + len(outbox)):
        move(what)
    assert taken == list(range(since + 1, len(outbox) + 1))


def message(sequence: int) -> StoredNotification:
    return StoredNotification(
        notification_id=f"n-{sequence}",
        subscription_id="s",
        sequence=sequence,
        fault_key="f",
        created=START,
        body=b"",
    )


# --- by chance ---

ANSWERS: st.SearchStrategy[Answer] = st.sampled_from(
    [None, None, None, OUT_OF_ORDER, Failed("503", 503, retry_after=3.0), UNABLE]
)


@settings(deadline=None, max_examples=40)
@given(
    answers=st.lists(long_lists(ANSWERS, 30), min_size=2, max_size=2),
    gaps=long_lists(st.sampled_from([0.0, 0.001, 0.04, 0.3, 5.0]), 25),
    gone=st.booleans(),
    seconds=st.sampled_from([0.0, 0.02]),
)
def test_whatever_endpoints_answer_the_order_holds_and_nothing_is_lost(
    answers: list[list[Answer]], gaps: list[float], gone: bool, seconds: float
) -> None:
    """[I-4, I-5, I-20] First tries go strictly by sequence; each message ends as delivered or parked at each endpoint."""
    story = Scenario(small_nfvi(), policy=without_damping(), store=FallibleStore(seconds=seconds))
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=2)
    for index, script in enumerate(answers):
        story.at(0.5).answer(f"vnfm-red/{index}", *script)
    if gone:
        story.at(0.5).answer("vnfm-red/1", Gone("410"))
    second = 1.0
    for number, gap in enumerate(gaps):
        second += gap
        report = host_down if number % 2 == 0 else host_up
        story.at(second).push(report("compute-1", seen=number))
    story.run(until=second + 1_000.0)
    ended = {(one.endpoint_id, one.sequence): one.state for one in deliveries(story, "vnfm-red")}
    for endpoint_id in story.endpoint_ids("vnfm-red"):
        states = [ended.get((endpoint_id, sequence)) for sequence in range(1, len(gaps) + 1)]
        received = story.channel.sequences(endpoint_id)
        assert None not in states
        assert received == [
            number for number, state in enumerate(states, 1) if state is DeliveryState.DELIVERED
        ]
