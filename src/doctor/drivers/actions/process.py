"""Runs a program for an action: what an earlier run has left is ended first, and only one of a run ever runs here."""

import asyncio
from collections.abc import Mapping, Sequence

from doctor.kit import program
from doctor.kit.deadline import Deadline
from doctor.model.maintenance_action import MOST_DETAIL, Job, NotDone

RUN_ID = "DOCTOR_RUN_ID"  # in the environment: by this what an earlier run has left is found
GRACE = 5.0  # seconds in which a program may tidy up when it is told to end


async def run(
    job: Job, arguments: Sequence[str], deadline: Deadline, environment: Mapping[str, str], told: bytes = b""
) -> program.Finished | NotDone:
    """Run a program to its end, or say why there was none."""
    await asyncio.to_thread(program.end_former, f"{RUN_ID}={job.run_id}")
    environment = {**program.ENVIRONMENT, **environment, RUN_ID: job.run_id}
    grace = min(GRACE, deadline.left / 10)
    try:
        return await program.run(
            arguments, deadline, told=told, environment=environment, grace=grace, keeps_last=True
        )
    except TimeoutError:
        return NotDone("it had not ended in time, and was killed with all that it had started")
    except OSError as error:
        return NotDone(f"{arguments[0]} cannot be started: {error.strerror or error}")


def last_words(*outputs: str) -> str:
    """Return the last line of the first output that has one."""
    for output in outputs:
        if lines := [line for line in output.splitlines() if line.strip()]:
            words = "".join(one if one.isprintable() else " " for one in lines[-1].strip())
            return words[:MOST_DETAIL]
    return ""
