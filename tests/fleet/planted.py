"""A Doctor with a bug in it, to see that the oracle finds it: ``planted.py BUG serve ...``."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from doctor.cli.main import main
from doctor.drivers.controllers.embedded import EmbeddedController
from doctor.fencing.confirmation import Confirmed
from doctor.fencing.evidence import Judgement
from doctor.flows import instruction, isolation
from doctor.flows.fences import Fences
from doctor.model.fencing import Fenced
from doctor.model.instruction import Command, Progress, Stage
from doctor.recovery.gate import Go

EVACUATION_LASTS = 25.0  # seconds in a slow cloud: longer than it takes to give a host back


class Bug(StrEnum):
    """What somebody could have written."""

    TRUSTS_THE_ACKNOWLEDGEMENT = "trusts-the-acknowledgement"
    TRUSTS_THE_READING = "trusts-the-reading"
    DOES_NOT_WAIT = "does-not-wait"
    ONE_SENSOR = "one-sensor"
    POWER_BEFORE_RECONCILIATION = "power-before-reconciliation"
    NONE_IN_A_SLOW_CLOUD = "none-in-a-slow-cloud"


def plant(place: object, name: str, bug: object) -> None:
    """Put something else in the place of what is right."""
    setattr(place, name, bug)


def trust_the_acknowledgement() -> None:
    """Take a command that was given for one that was obeyed, and read nothing back."""

    async def confirm(*_: object) -> Fenced:
        return Fenced((), frozenset())

    plant(isolation, "is_taken", lambda *_: True)
    plant(Fences, "confirm", confirm)


def trust_the_reading() -> None:
    """Take what its BMC reads for the truth about a host, whoever sees it alive."""
    plant(isolation, "confirmation", lambda *_, **__: Confirmed("its BMC says so"))


def begin_at_once() -> None:
    """Let machines leave a host whether it is isolated or not."""
    plant(instruction, "gate", lambda *_: Go())


def believe_anybody() -> None:
    """Cut a host off as soon as one witness says that it is dead, whatever others say."""
    plant(Judgement, "objection", lambda self, _: None if self.dead else "nobody says so")


def give_back_early() -> None:
    """Give a host its power back although its machines are on their way elsewhere, in a cloud where that takes its time."""
    be_slow()
    plant(instruction.InstructionFlow, "unfinished", lambda *_: ())


def be_slow() -> None:
    """Take long over evacuations."""
    tell, look = EmbeddedController.tell, EmbeddedController.look
    begun: set[str] = set()
    under_way: set[asyncio.Task[None]] = set()

    async def evacuate(self: EmbeddedController, command: Command) -> None:
        await asyncio.sleep(EVACUATION_LASTS)
        await tell(self, command)

    async def slow_tell(self: EmbeddedController, command: Command) -> None:
        begun.add(command.resource_id)
        under_way.add(asyncio.create_task(evacuate(self, command)))

    async def slow_look(self: EmbeddedController, command: Command) -> Progress:
        seen = await look(self, command)
        is_running = seen.stage is Stage.UNTOUCHED and command.resource_id in begun
        return Progress(Stage.RUNNING, seen.seen) if is_running else seen

    plant(EmbeddedController, "tell", slow_tell)
    plant(EmbeddedController, "look", slow_look)


BUGS: Mapping[str, Callable[[], Any]] = {
    Bug.TRUSTS_THE_ACKNOWLEDGEMENT: trust_the_acknowledgement,
    Bug.TRUSTS_THE_READING: trust_the_reading,
    Bug.DOES_NOT_WAIT: begin_at_once,
    Bug.ONE_SENSOR: believe_anybody,
    Bug.POWER_BEFORE_RECONCILIATION: give_back_early,
    Bug.NONE_IN_A_SLOW_CLOUD: be_slow,
}

if __name__ == "__main__":
    BUGS[sys.argv[1]]()
    main(sys.argv[2:])
