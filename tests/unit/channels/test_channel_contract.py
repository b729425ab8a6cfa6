"""The fake channel keeps the contract that the real ones keep, so that tests with it mean something."""

import pytest

from doctor.model.notification import Failed, Gone, Refused
from doctor.model.subscription import Endpoint
from doctor.testing.channel import Answer as Fake
from doctor.testing.channel import FakeChannel
from doctor.testing.contracts.channel import Answer, ChannelContract, ChannelRig, Received, notification

ANSWERS: dict[Answer, Fake] = {
    Answer.TAKES: None,
    Answer.BREAKS: Failed("answered 500", 500),
    Answer.BUSY: Failed("answered 503", 503, 7.0),
    Answer.REFUSES: Refused("answered 422", 422),
    Answer.GONE: Gone("answered 410"),
}


class FakeRig(ChannelRig):
    def __init__(self) -> None:
        self.channel: FakeChannel = FakeChannel()
        self.channel.absent("absent")
        self.channel.always_answer("absent", Failed("connection refused"))
        self.channel.forbid("http://169.254.169.254/")

    def endpoint(self, name: str) -> Endpoint:
        return Endpoint(endpoint_id=name, url=f"http://{name}.example/")

    def behave(self, name: str, answer: Answer) -> None:
        if answer is Answer.SILENT:
            self.channel.hold(name)
            return
        self.channel.always_answer(name, ANSWERS[answer])
        if answer is Answer.TAKES:
            self.channel.hold(name)
            self.channel.release(name)

    def received(self, name: str) -> list[Received]:
        return [
            Received(
                seen.notification.notification_id,
                seen.notification.sequence,
                seen.attempt,
                seen.notification.body,
            )
            for seen in self.channel.attempts
            if seen.endpoint_id == name
        ]

    def absent(self) -> Endpoint:
        return Endpoint(endpoint_id="absent", url="http://absent.example/")

    def unusable(self) -> Endpoint:
        return Endpoint(endpoint_id="unusable", url="http://169.254.169.254/")


class TestFakeChannel(ChannelContract):
    @pytest.fixture
    def rig(self) -> FakeRig:
        return FakeRig()


A = Endpoint(endpoint_id="a", url="http://a.example/")


async def test_the_fake_answers_in_the_order_that_was_written() -> None:
    channel = FakeChannel()
    channel.answer("a", Failed("answered 500", 500), None)
    channel.always_answer("a", Gone("answered 410"))
    outcomes = [await channel.deliver(A, notification(), attempt=attempt) for attempt in (1, 2, 3)]
    assert [type(outcome).__name__ for outcome in outcomes] == ["Failed", "Delivered", "Gone"]
    assert channel.sequences("a") == [1]
    assert channel.delivered("b") == []


async def test_the_fake_knows_how_many_were_under_way_at_once() -> None:
    channel = FakeChannel()
    for sequence in (1, 2):
        await channel.deliver(A, notification(sequence), attempt=1)
    assert channel.most_under_way == {"a": 1}


async def test_the_fake_refuses_unknown_formats() -> None:
    assert FakeChannel().check(Endpoint(endpoint_id="a", url="http://a.example/", format="pigeon"))
