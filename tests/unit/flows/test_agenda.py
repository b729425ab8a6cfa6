"""What is to be done when."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import looptime

from doctor.flows.agenda import Agenda
from doctor.model.errors import StoreError
from doctor.testing.clock import START, LoopClock, ManualClock


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def noting(done: list[str], what: str) -> Callable[[datetime], Awaitable[None]]:
    async def act(now: datetime) -> None:
        done.append(f"{what} at {(now - START).total_seconds():g}")

    return act


async def test_what_is_due_is_done_once_the_earliest_first() -> None:
    agenda, done = Agenda(ManualClock()), list[str]()
    for second, what in ((3.0, "third"), (1.0, "first"), (2.0, "second")):
        agenda.at(after(second), what, noting(done, what))
    await agenda.due(after(0.5))
    assert done == []
    await agenda.due(after(2.0))
    await agenda.due(after(2.0))
    assert done == ["first at 2", "second at 2"]


async def test_the_last_word_on_a_key_counts() -> None:
    agenda, done = Agenda(ManualClock()), list[str]()
    agenda.at(after(1.0), "a", noting(done, "early"))
    agenda.at(after(5.0), "a", noting(done, "late"))
    agenda.at(after(1.0), "b", noting(done, "never"))
    agenda.cancel("b")
    agenda.cancel("unknown")
    await agenda.due(after(9.0))
    assert done == ["late at 9"]


async def test_an_action_may_change_what_comes_next() -> None:
    agenda, done = Agenda(ManualClock()), list[str]()

    async def first(now: datetime) -> None:
        agenda.cancel("second")
        agenda.at(after(20.0), "first", noting(done, "again"))

    agenda.at(after(1.0), "first", first)
    agenda.at(after(2.0), "second", noting(done, "second"))
    await agenda.due(after(9.0))
    assert done == []
    await agenda.due(after(20.0))
    assert done == ["again at 20"]


async def test_what_fails_after_it_has_planned_its_next_time_is_tried_again_soon() -> None:
    agenda, tried = Agenda(ManualClock()), list[float]()

    async def act(now: datetime) -> None:
        tried.append((now - START).total_seconds())
        agenda.at(now + timedelta(minutes=1), "a", act)
        if len(tried) == 1:
            raise StoreError("full")

    agenda.at(after(1.0), "a", act)
    for second in range(1, 70):
        await agenda.due(after(second))
    assert tried == [1, 2, 62]


async def test_what_fails_for_now_is_tried_again_and_what_is_broken_stops_nobody() -> None:
    agenda, done = Agenda(ManualClock()), list[str]()
    failures = [StoreError("full")]

    async def fails(now: datetime) -> None:
        if failures:
            raise failures.pop()
        await noting(done, "saved")(now)

    async def is_broken(now: datetime) -> None:
        raise ValueError("a defect")

    agenda.at(after(1.0), "a", is_broken)
    agenda.at(after(2.0), "b", fails)
    agenda.at(after(3.0), "c", noting(done, "other"))
    await agenda.due(after(3.0))
    assert done == ["other at 3"]
    await agenda.due(after(4.0))
    assert done == ["other at 3", "saved at 4"]


def test_it_runs_by_the_clock() -> None:
    """Also what comes to it later, and sooner than what it waits for."""
    done: list[str] = []

    async def story() -> None:
        agenda = Agenda(LoopClock())
        running = asyncio.create_task(agenda.run())
        agenda.at(after(7200.0), "far", noting(done, "far"))
        await asyncio.sleep(10)
        agenda.at(after(20.0), "near", noting(done, "near"))
        agenda.at(after(5.0), "over", noting(done, "over"))
        await asyncio.sleep(8000)
        running.cancel()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(story())
    assert done == ["over at 10", "near at 20", "far at 7200"]
