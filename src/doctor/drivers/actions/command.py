"""A program of the operator's: what it is about stands on its standard input as JSON, and its exit status is the answer.

There is no shell, and nothing of the request gets into its arguments. It has to bear to be run twice: after a crash of
Doctor the same run is begun again, and what was left of it is ended first.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from doctor.drivers.actions import process
from doctor.kit import program
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.model.maintenance_action import Done, Job, NotDone, RunOutcome

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRETS = re.compile(r"passw|secret|token|credential|api_?key", re.IGNORECASE)


class CommandSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a command.

    - ``command``: the program, by name or path, and its arguments.
    - ``environment``: what it finds in its environment, beside `PATH`, `LC_ALL`, `DOCTOR_RUN_ID` and `DOCTOR_HOST`.
    """

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    environment: dict[str, str] = {}


class CommandAction:
    """Runs the program (implements `doctor.ports.action.MaintenanceAction`)."""

    kind = "command"

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self._closed = False

    async def run(self, job: Job, deadline: Deadline) -> RunOutcome:
        """Run it to its end."""
        if self._closed:
            return NotDone("Doctor is being stopped")
        name, *arguments = self._settings.command
        found = program.find(name)
        if found is None:
            return NotDone(f"{name}: there is no such program here")
        environment = {**self._settings.environment, "DOCTOR_HOST": job.host or ""}
        told = msgspec.json.encode(job.facts)
        finished = await process.run(job, [found, *arguments], deadline, environment, told)
        if isinstance(finished, NotDone):
            return finished
        if finished.code == 0:
            return Done(process.last_words(finished.output))
        said = process.last_words(finished.errors, finished.output)
        ended = (
            f"ended with {finished.code}" if finished.code > 0 else f"was killed by signal {-finished.code}"
        )
        return NotDone(f"{name} {ended}" + (f": {said}" if said else ""))

    async def close(self) -> None:
        """Start it no more."""
        self._closed = True


def make(settings: Mapping[str, Any]) -> CommandAction:
    """Make the action from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, CommandSettings)
    name = read.command[0]
    if not name or ("/" in name and not Path(name).is_absolute()):
        raise ValueError("command[0]: name a program of the path, or write its whole path")
    for index, one in enumerate(read.command):
        if "\0" in one:
            raise ValueError(f"command[{index}]: must not contain a NUL")
    for key, value in read.environment.items():
        if not NAME.fullmatch(key) or key.startswith("DOCTOR_") or "\0" in value:
            raise ValueError(f"environment.{key}: is no name for a variable of yours, or has no fit value")
        if SECRETS.search(key) and not key.upper().endswith("_FILE"):
            raise ValueError(
                f"environment.{key}: is a secret; put it into a file, and tell the command where that is ({key}_FILE)"
            )
    return CommandAction(read)
