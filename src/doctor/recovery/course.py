"""How a task that has begun goes on, by what the controller says has become of it.

The controller is always asked before it is told: whoever died over a command leaves a successor who does not know
whether it went out [I-23].
"""

from typing import NamedTuple

from doctor.model.instruction import Progress, Stage


class Tell(NamedTuple):
    """Give the command."""


class Watch(NamedTuple):
    """Ask again later."""

    detail: str


class Done(NamedTuple):
    """It was done."""


class Failed(NamedTuple):
    """It was not done, and repeating it is the owner's decision."""

    reason: str


def course(progress: Progress) -> Tell | Watch | Done | Failed:
    """Decide what to do about a command of which this has become."""
    match progress.stage:
        case Stage.UNTOUCHED | Stage.HALTED:
            return Tell()
        case Stage.RUNNING:
            return Watch(progress.detail)
        case Stage.SUCCEEDED:
            return Done()
        case Stage.FAILED:
            return Failed(progress.detail or "the controller could not do it")
