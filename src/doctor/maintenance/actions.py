"""Which action of a session is next, by those that were run: one after the other, and none after one that has failed."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from doctor.kit.ids import stable_id
from doctor.model.maintenance_action import Done, Moment, Run, RunOutcome, RunState


class Begin(NamedTuple):
    """This one is next."""

    name: str


class Wait(NamedTuple):
    """This one is being run."""

    run: Run


class Failed(NamedTuple):
    """This one has failed, and what comes after it is not begun."""

    run: Run


class Over(NamedTuple):
    """All were done, if there are any."""


Course: TypeAlias = Begin | Wait | Failed | Over


def course(names: Sequence[str], moment: Moment, runs: Iterable[Run]) -> Course:
    """Return how it is with the actions of a moment. Of several runs of one action the last counts."""
    last = {one.name: one for one in runs if one.moment is moment}
    for name in names:
        run = last.get(name)
        if run is None:
            return Begin(name)
        if run.state is RunState.RUNNING:
            return Wait(run)
        if run.state is RunState.FAILED:
            return Failed(run)
    return Over()


def begun(
    session_id: str,
    host: str | None,
    moment: Moment,
    name: str,
    runs: Iterable[Run],
    now: datetime,
    timeout: timedelta,
) -> Run:
    """Return the next run of an action; its id is the same for whoever makes it."""
    number = 1 + sum(one.name == name and one.moment is moment for one in runs)
    return Run(
        run_id=stable_id("maintenance run", session_id, host or "", moment, name, str(number)),
        moment=moment,
        name=name,
        number=number,
        began=now,
        deadline=now + timeout,
    )


def ended(runs: Sequence[Run], run_id: str, outcome: RunOutcome, now: datetime) -> tuple[Run, ...]:
    """Return runs after one of them has ended."""
    state = RunState.SUCCEEDED if isinstance(outcome, Done) else RunState.FAILED
    return tuple(
        replace(one, state=state, ended=now, detail=outcome.detail)
        if one.run_id == run_id and one.state is RunState.RUNNING
        else one
        for one in runs
    )


def running(runs: Iterable[Run]) -> Run | None:
    """Return the run that is under way, if there is one."""
    return next((one for one in runs if one.state is RunState.RUNNING), None)


def in_words(run: Run) -> str:
    """Say that a run has failed, and why."""
    where = "" if run.moment is Moment.HOST else f"{run.moment} "
    return f"{where}action {run.name} failed: {run.detail}"
