"""What is done around the work on hosts: a command, an HTTP call, a playbook."""

from typing import Protocol

from doctor.kit.deadline import Deadline
from doctor.model.maintenance_action import Job, RunOutcome


class MaintenanceAction(Protocol):
    """One action of the settings (entry point ``doctor.maintenance_actions``). What every one promises:

    - Failures are values, never exceptions. Nothing lasts longer than the deadline, and a call may be cancelled; whatever
      it has begun on this machine has ended then.
    - It may be run again under the same ``run_id``, after Doctor was killed for one: what the run before has left on
      this machine is ended first, and a service is told the id, so that it can tell a repeat.
    - `Done` is said only of what was done; what nobody knows is `NotDone`.
    - It is told the facts of the run as data. Secrets are neither logged, nor part of a detail, nor of the arguments of a
      process.
    """

    kind: str

    async def run(self, job: Job, deadline: Deadline) -> RunOutcome:
        """Do it, and say how it went."""
        ...

    async def close(self) -> None:
        """Begin nothing more. It may be called again."""
        ...
