"""The scenario tool says no when it should, and why: else no story proves anything."""

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from doctor.drivers.stores.memory import MemoryStore
from doctor.model.notification import Delivered, DeliveryOutcome, StoredNotification
from doctor.model.subscription import Endpoint
from doctor.ports.store import Change
from doctor.testing.scenario import Scenario, host_down, host_up
from tests.scenarios.nfvi import small_nfvi


def heard_at_1(store: MemoryStore | None = None) -> Scenario:
    """A story in which red hears of vm-1 at 1.0."""
    story = Scenario(small_nfvi(), store=store)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    return story


WRONG: list[Callable[[Scenario], None]] = [
    lambda story: None,
    lambda story: story.want("vnfm-red").between(0.0, 0.9).gets("vm-1 is error"),
    lambda story: story.want("vnfm-red").between(1.1, 2.0).gets("vm-1 is error"),
    lambda story: story.want("vnfm-red").between(0.0, 2.0).gets("vm-1 is down"),
    lambda story: story.want("vnfm-red").between(0.0, 2.0).gets("vm-1 is error", "vm-2 is error"),
    lambda story: story.want("vnfm-red").between(0.0, 2.0).gets_change("vm-1 is error"),
    lambda story: story.want("vnfm-red").between(0.0, 2.0).gets_clear("vm-1 is error"),
]


@pytest.mark.parametrize(
    "wrong", WRONG, ids=["unwanted", "late", "early", "other-words", "more-words", "change", "clear"]
)
def test_something_else_was_heard(wrong: Callable[[Scenario], None]) -> None:
    story = heard_at_1()
    wrong(story)
    with pytest.raises(
        AssertionError, match=r"was to hear\n[\s\S]*and heard\n +1.000  fault #1: vm-1 is error"
    ):
        story.play()


def test_nothing_was_heard() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.want("vnfm-red").between(0.0, 2.0).gets("vm-1 is error")
    with pytest.raises(AssertionError, match=r"fault: vm-1 is error\nand heard\n  nothing"):
        story.play()


def test_nobody_of_this_name() -> None:
    story = heard_at_1()
    story.want("vnfm-red").between(0.0, 2.0).gets("vm-1 is error")
    story.want("vnfm-rde").hears_nothing()
    with pytest.raises(AssertionError, match="nobody of this name ever subscribed: vnfm-rde"):
        story.play()


def test_a_name_is_used_once() -> None:
    story = heard_at_1()
    story.at(0.0).subscribe("vnfm-red", project="red")
    with pytest.raises(ExceptionGroup) as failed:
        story.play()
    assert "subscribed before" in str(failed.value.exceptions[0])


def test_an_answer_was_another_one() -> None:
    story = heard_at_1()
    story.want("vnfm-red").between(0.0, 2.0).gets("vm-1 is error")
    story.at(2.0).push(host_up("compute-2")).is_duplicate()
    with pytest.raises(AssertionError, match=r"what was pushed at 2.0 was answered"):
        story.play()


def test_what_should_have_failed_was_accepted() -> None:
    story = heard_at_1()
    story.at(2.0).push(host_up("compute-2")).fails()
    with pytest.raises(AssertionError, match=r"what was pushed at 2.0 was accepted, and should have failed"):
        story.run()


def test_what_should_have_been_accepted_failed() -> None:
    story = heard_at_1()
    story.at(2.0).crash()
    story.at(3.0).push(host_up("compute-2"))
    with pytest.raises(AssertionError, match=r"what was pushed at 3.0 failed: Doctor is not running"):
        story.run()


def test_one_doctor_at_a_time() -> None:
    story = heard_at_1()
    story.at(2.0).start()
    with pytest.raises(ExceptionGroup) as failed:
        story.run()
    assert "one Doctor at a time" in str(failed.value.exceptions[0])


def test_nobody_subscribes_while_doctor_is_down() -> None:
    story = heard_at_1()
    story.at(2.0).crash()
    story.at(3.0).subscribe("late", project="red")
    with pytest.raises(ExceptionGroup) as failed:
        story.run()
    assert "not running" in str(failed.value.exceptions[0])


# --- the promises that no story may break ---


class Twisted(MemoryStore):
    """A store that keeps something else than it is given."""

    def __init__(self, twist: Callable[[StoredNotification], StoredNotification]) -> None:
        super().__init__()
        self._twist = twist

    async def commit(self, change: Change) -> None:
        change.notifications = [self._twist(one) for one in change.notifications]
        await super().commit(change)


def without_a_life(one: StoredNotification) -> StoredNotification:
    """Make a notification of an alarm that was cleared before it was raised."""
    message = msgspec.json.decode(one.body)
    message["virtual_resource_info"][0]["faults"][0]["alarm_state"] = (
        "cleared" if one.sequence == 1 else "raised"
    )
    return replace(one, body=msgspec.json.encode(message))


def with_turned_times(one: StoredNotification) -> StoredNotification:
    """Make a notification of an alarm that changed before it was raised."""
    message = msgspec.json.decode(one.body)
    message["virtual_resource_info"][0]["faults"][0]["changed_time"] = "2020-01-01T00:00:00Z"
    return replace(one, body=msgspec.json.encode(message))


@pytest.mark.parametrize(
    ("twist", "broken"),
    [
        pytest.param(lambda one: replace(one, sequence=one.sequence + 1), "gaps in the sequence", id="gap"),
        pytest.param(without_a_life, "was cleared and then raised", id="life"),
        pytest.param(with_turned_times, "are out of order", id="times"),
    ],
)
def test_a_promise_is_broken_in_the_outbox(
    twist: Callable[[StoredNotification], StoredNotification], broken: str
) -> None:
    """[I-5] Gap-free, raised < changed < cleared. The dispatched copy is the twisted one too."""
    story = heard_at_1(Twisted(twist))
    story.at(2.0).push(host_up("compute-1"))
    with pytest.raises(AssertionError, match=broken):
        story.run()


def test_a_promise_is_broken_on_the_way() -> None:
    """[I-1, I-4] What is told is what was kept."""
    story = heard_at_1()
    deliver = story.channel.deliver

    async def other(
        endpoint: Endpoint, notification: StoredNotification, *, attempt: int, replay: bool = False
    ) -> DeliveryOutcome:
        return await deliver(endpoint, replace(notification, body=notification.body + b" "), attempt=attempt)

    story.channel.deliver = other  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="told and not kept like this"):
        story.run()


def test_a_promise_is_broken_in_the_order() -> None:
    """[I-5] First tries go by sequence."""
    story = heard_at_1()
    story.at(2.0).push(host_up("compute-1"))
    story.at(3.0).do(lambda: story.channel.attempts.reverse())
    with pytest.raises(AssertionError, match="out of order at"):
        story.run()


def test_a_promise_is_broken_by_haste() -> None:
    """[I-18] One request at a time."""
    story = heard_at_1()
    story.at(3.0).do(lambda: story.channel.most_under_way.update(x=2))
    with pytest.raises(AssertionError, match="2 requests at once at x"):
        story.run()


def test_what_was_heard_can_be_looked_at() -> None:
    story = heard_at_1()
    story.run()
    (heard,) = story.heard("vnfm-red")
    assert (heard.at, heard.sequence, heard.says) == (1.0, 1, frozenset({"vm-1 is error"}))
    assert str(heard) == "    1.000  fault #1: vm-1 is error"
    assert isinstance(story.attempts("vnfm-red")[0].outcome, Delivered)
    assert story.attempted_at("vnfm-red") == [1.0]
    assert len(story.answers) == 1
