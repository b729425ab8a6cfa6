"""Has the flows of isolation, marks, instructions and recovery hear of each other: whoever waits looks again when it may go on."""

from collections.abc import Iterator

from doctor.flows.fault import FaultFlow
from doctor.flows.instruction import InstructionFlow
from doctor.flows.isolation import IsolationFlow
from doctor.flows.marking import MarkingFlow
from doctor.flows.recovery import RecoveryFlow
from doctor.model.instruction import Instruction


def couple(
    faults: FaultFlow,
    isolation: IsolationFlow,
    marks: MarkingFlow,
    instructions: InstructionFlow,
    recoveries: RecoveryFlow,
) -> None:
    """Couple them. A host does not come back as long as an instruction has machines on their way from it [I-15]."""
    isolation.unfinished = instructions.unfinished
    faults.on_settled(isolation.settled)
    faults.on_settled(marks.settled)
    faults.on_settled(lambda transitions: instructions.ring())
    faults.on_settled(recoveries.settled)
    faults.on_heard(isolation.heard)
    faults.on_isolated(marks.isolated)
    faults.on_isolated(lambda host: instructions.ring())
    faults.on_isolated(lambda host: recoveries.ring())
    isolation.on_moved(marks.isolated)
    isolation.on_moved(lambda host: instructions.ring())
    isolation.on_moved(lambda host: recoveries.ring())
    instructions.on_kept(lambda one: marks.look_at(_left_by(one)))


def _left_by(instruction: Instruction) -> Iterator[str]:
    """Return the hosts that the machines of an instruction have left, or were to leave: they may be up again now."""
    return (task.host for task in instruction.tasks if task.state.is_over and task.host is not None)
