"""Reports that come in one turn of the event loop are judged as one step, and each is answered for itself."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest

from doctor.api.southbound import Reply, SouthboundDoor, too_slow
from doctor.flows.fault import Accepted, Reported
from doctor.model.errors import DoctorError, StoreError
from doctor.model.identity import Identity, Role
from doctor.testing.clock import ManualClock

STRANGER = ((b"x-auth-token", b"nobody"),)
MONITOR = ((b"x-auth-token", b"monitor"),)


class Steps:
    """A fault flow that keeps what it was given: step by step, the types of the events."""

    def __init__(self) -> None:
        self.judged: list[list[str]] = []

    async def accept(self, reports: Iterable[Reported]) -> list[Accepted]:
        """Take reports, unless one is beyond it or the disk is full."""
        types = [report.events[0].type for report in reports]
        self.judged.append(types)
        await asyncio.sleep(0)
        if "poison" in types:
            raise ZeroDivisionError
        if "full" in types:
            raise StoreError("the disk is full")
        return [Accepted([f"id of {name}"], [True]) for name in types]


def event(name: str) -> bytes:
    """Return the body that reports one event of this type."""
    return msgspec.json.encode({"time": datetime(2026, 3, 4, tzinfo=UTC), "type": name})


def answers(
    *reports: tuple[Sequence[tuple[bytes, bytes]], bytes | DoctorError],
) -> tuple[list[str], list[list[str]]]:
    """Hand over reports in one turn; return what each was answered, and the steps in which they were judged."""
    steps = Steps()
    replies: dict[int, Reply] = {}

    def identify(headers: Iterable[tuple[bytes, bytes]]) -> Identity | None:
        return Identity(name="m", role=Role.MONITOR, project=None) if headers is MONITOR else None

    async def play() -> None:
        door = SouthboundDoor(None, steps, identify, ManualClock())  # type: ignore[arg-type]
        answered = [asyncio.Event() for _ in reports]

        def keep(number: int, reply: Reply) -> None:
            replies[number] = reply
            answered[number].set()

        for number, (headers, body) in enumerate(reports):
            door.take(headers, body, partial(keep, number))
        assert not replies
        for one in answered:
            await one.wait()

    asyncio.run(play())
    return [_short(replies[number]) for number in range(len(reports))], steps.judged


def _short(reply: Reply) -> str:
    body = msgspec.json.decode(reply.body)
    return body["accepted"][0]["event_id"] if reply.status == 202 else str(reply.status)


def test_what_comes_together_is_one_step_and_each_has_its_own_answer() -> None:
    """[D 5.6]"""
    said, steps = answers(*((MONITOR, event(name)) for name in "abc"))
    assert said == ["id of a", "id of b", "id of c"]
    assert steps == [["a", "b", "c"]]


def test_what_cannot_be_accepted_is_refused_alone() -> None:
    """A stranger, something that is no JSON, and a body that did not come."""
    reports = (STRANGER, event("b")), (MONITOR, b"{"), (MONITOR, too_slow())
    said, steps = answers((MONITOR, event("a")), *reports, (MONITOR, event("c")))
    assert said == ["id of a", "401", "400", "408", "id of c"]
    assert steps == [["a", "c"]]


def test_nobody_is_judged_when_all_are_refused() -> None:
    assert answers((STRANGER, event("a"))) == (["401"], [])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_report_on_which_the_judging_breaks_harms_no_other(place: int) -> None:
    """[I-1] They are judged again, one by one."""
    names = ["a", "b"]
    names.insert(place, "poison")
    said, steps = answers(*((MONITOR, event(name)) for name in names))
    assert said == ["500" if name == "poison" else f"id of {name}" for name in names]
    assert steps == [names, *([name] for name in names)]


def test_all_are_told_when_the_store_cannot_keep_them() -> None:
    """[I-29] The Monitors send again; nothing is tried one by one on a full disk."""
    said, steps = answers((MONITOR, event("a")), (MONITOR, event("full")))
    assert said == ["507", "507"]
    assert steps == [["a", "full"]]
