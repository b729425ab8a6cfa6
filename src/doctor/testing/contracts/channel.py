"""What every channel must do. A driver's tests inherit the suite and say how its endpoints are made to answer::

class TestMyChannel(ChannelContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[ChannelRig]:
        ...
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

import pytest

from doctor.model.notification import Delivered, Failed, Gone, Refused, StoredNotification
from doctor.model.subscription import Endpoint
from doctor.ports.channel import Channel


class Answer(Enum):
    """How an endpoint can be told to behave; a rig translates it into the words of its channel."""

    TAKES = "takes the notification"
    BREAKS = "fails, and may take it later"
    BUSY = "asks to be left alone for 7 seconds"
    REFUSES = "cannot take this content"
    GONE = "wants nothing more, ever"
    SILENT = "does not answer"


@dataclass(frozen=True)
class Received:
    """What an endpoint saw of one attempt."""

    notification_id: str
    sequence: int
    attempt: int
    body: bytes


class ChannelRig(ABC):
    """A channel with two endpoints, ``a`` and ``b``, that answer as they are told."""

    channel: Channel

    @abstractmethod
    def endpoint(self, name: str) -> Endpoint:
        """Return endpoint ``a`` or ``b``."""

    @abstractmethod
    def behave(self, name: str, answer: Answer) -> None:
        """Let an endpoint answer like this from now on."""

    @abstractmethod
    def received(self, name: str) -> list[Received]:
        """Return what an endpoint saw, whatever it answered, in order."""

    @abstractmethod
    def absent(self) -> Endpoint:
        """Return an endpoint that is not there."""

    @abstractmethod
    def unusable(self) -> Endpoint:
        """Return an endpoint that may never be used."""


def notification(
    sequence: int = 1, body: bytes = b'{"sequence":1,"text":"\xc3\xa4 \\u00e4"}'
) -> StoredNotification:
    """Make a notification whose id follows from its sequence."""
    return StoredNotification(
        notification_id=f"11111111-1111-5111-8111-{sequence:012}",
        subscription_id="22222222-2222-5222-8222-222222222222",
        sequence=sequence,
        fault_key="host compute-1",
        created=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        body=body,
    )


class ChannelContract:
    """The suite. A subclass has the fixture ``rig``."""

    async def test_it_delivers_the_body_to_the_letter(self, rig: ChannelRig) -> None:
        """The bytes of the outbox are what arrives, with id, sequence and attempt [I-4]."""
        sent = notification(3)
        outcome = await rig.channel.deliver(rig.endpoint("a"), sent, attempt=1)
        assert isinstance(outcome, Delivered)
        assert rig.received("a") == [Received(sent.notification_id, 3, 1, sent.body)]

    async def test_a_large_body_arrives_whole(self, rig: ChannelRig) -> None:
        """A storm makes long notifications."""
        sent = notification(1, b"[" + b"0," * 1_000_000 + b"0]")
        assert isinstance(await rig.channel.deliver(rig.endpoint("a"), sent, attempt=2), Delivered)
        assert [seen.body == sent.body for seen in rig.received("a")] == [True]

    async def test_it_says_when_it_told_and_when_it_was_received(self, rig: ChannelRig) -> None:
        """Both times are of this attempt, aware, and in their order [T6, T7]."""
        before = datetime.now(UTC)
        outcome = await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1)
        assert isinstance(outcome, Delivered)
        assert before <= outcome.told <= outcome.received <= datetime.now(UTC)

    async def test_a_repeat_is_the_same_message(self, rig: ChannelRig) -> None:
        """Only the number of the attempt differs, so that the Consumer can drop it [I-4]."""
        rig.behave("a", Answer.BREAKS)
        assert isinstance(await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1), Failed)
        rig.behave("a", Answer.TAKES)
        assert isinstance(await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=2), Delivered)
        first, second = rig.received("a")
        assert (first.attempt, second.attempt) == (1, 2)
        assert (first.notification_id, first.sequence, first.body) == (
            second.notification_id,
            second.sequence,
            second.body,
        )

    async def test_one_call_is_one_attempt(self, rig: ChannelRig) -> None:
        """Repeating is for the flow to decide."""
        rig.behave("a", Answer.BREAKS)
        outcome = await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1)
        assert isinstance(outcome, Failed)
        assert outcome.error
        assert outcome.retry_after is None
        assert len(rig.received("a")) == 1

    async def test_a_wish_to_wait_is_passed_on(self, rig: ChannelRig) -> None:
        """A busy endpoint says itself when to come back."""
        rig.behave("a", Answer.BUSY)
        outcome = await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1)
        assert isinstance(outcome, Failed)
        assert outcome.retry_after == 7.0

    async def test_what_cannot_be_taken_is_refused(self, rig: ChannelRig) -> None:
        """The flow parks such a message after some tries [I-20]."""
        rig.behave("a", Answer.REFUSES)
        assert isinstance(await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1), Refused)

    async def test_an_endpoint_can_ask_to_be_forgotten(self, rig: ChannelRig) -> None:
        """Nothing more is sent to it then."""
        rig.behave("a", Answer.GONE)
        assert isinstance(await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1), Gone)

    async def test_an_absent_endpoint_is_a_failure_with_a_reason(self, rig: ChannelRig) -> None:
        """Failures are values, never exceptions."""
        outcome = await rig.channel.deliver(rig.absent(), notification(), attempt=1)
        assert isinstance(outcome, Failed)
        assert outcome.error

    async def test_an_unusable_endpoint_is_never_used(self, rig: ChannelRig) -> None:
        """It may have been stored when it was still allowed."""
        unusable = rig.unusable()
        objection = rig.channel.check(unusable)
        assert objection
        outcome = await rig.channel.deliver(unusable, notification(), attempt=1)
        assert isinstance(outcome, Failed)
        assert outcome.error == objection
        assert await rig.channel.probe(unusable) == objection

    async def test_a_silent_endpoint_does_not_hold_up_another(self, rig: ChannelRig) -> None:
        """One dead Consumer harms nobody else [I-18, I-19]."""
        rig.behave("a", Answer.SILENT)
        silent = asyncio.create_task(rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1))
        try:
            await _until(lambda: bool(rig.received("a")))
            async with asyncio.timeout(1.0):
                for sequence in range(1, 20):
                    outcome = await rig.channel.deliver(rig.endpoint("b"), notification(sequence), attempt=1)
                    assert isinstance(outcome, Delivered)
            assert not silent.done()
        finally:
            silent.cancel()
            await asyncio.gather(silent, return_exceptions=True)

    async def test_an_attempt_can_be_cancelled(self, rig: ChannelRig) -> None:
        """A shutdown does not wait for a silent endpoint, and the channel is as good as before."""
        rig.behave("a", Answer.SILENT)
        silent = asyncio.create_task(rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1))
        await _until(lambda: bool(rig.received("a")))
        silent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await silent
        rig.behave("a", Answer.TAKES)
        assert isinstance(await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=2), Delivered)

    async def test_many_endpoints_at_once(self, rig: ChannelRig) -> None:
        """Attempts run side by side."""
        sent = [notification(sequence) for sequence in range(1, 51)]
        outcomes = await asyncio.gather(
            *(
                rig.channel.deliver(rig.endpoint(name), each, attempt=1)
                for each in sent
                for name in ("a", "b")
            )
        )
        assert all(isinstance(outcome, Delivered) for outcome in outcomes)
        for name in ("a", "b"):
            assert sorted(seen.sequence for seen in rig.received(name)) == list(range(1, 51))

    async def test_a_probe_finds_an_endpoint_and_tells_it_nothing(self, rig: ChannelRig) -> None:
        """The test of an endpoint uses up no sequence."""
        assert await rig.channel.probe(rig.endpoint("a")) is None
        assert rig.received("a") == []

    async def test_a_probe_says_what_is_wrong(self, rig: ChannelRig) -> None:
        """The subscriber gets the sentence as a warning."""
        assert await rig.channel.probe(rig.absent())

    async def test_a_good_endpoint_is_not_objected_to(self, rig: ChannelRig) -> None:
        """The check needs no network, so it does not wait."""
        assert rig.channel.check(rig.endpoint("a")) is None

    async def test_a_closed_channel_fails_and_may_be_closed_again(self, rig: ChannelRig) -> None:
        """What comes late in a shutdown is a failure like any other."""
        await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=1)
        await rig.channel.close()
        await rig.channel.close()
        assert isinstance(await rig.channel.deliver(rig.endpoint("a"), notification(), attempt=2), Failed)


async def _until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not happened():  # noqa: ASYNC110 - an endpoint may be in another process and sets no event
            await asyncio.sleep(0.005)
