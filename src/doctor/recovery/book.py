"""All instructions that are kept, found by what they are about."""

from collections.abc import Iterable, Iterator

from doctor.model.instruction import Action, Instruction, Task, TaskState

_LEAVES = {
    Action.EVACUATE: "evacuated",
    Action.TERMINATE: "terminated",
}  # commands that free a dead host of a machine


class InstructionBook:
    """The present; `put` keeps it in step with what is kept."""

    def __init__(self, instructions: Iterable[Instruction] = ()) -> None:
        self._all: dict[str, Instruction] = {}
        self._open: dict[str, None] = {}
        for one in instructions:
            self.put(one)

    def put(self, instruction: Instruction) -> None:
        """Take over an instruction as it is now."""
        self._all[instruction.instruction_id] = instruction
        if instruction.is_over:
            self._open.pop(instruction.instruction_id, None)
        else:
            self._open[instruction.instruction_id] = None

    def forget(self, instruction_id: str) -> None:
        """Have no such instruction any more."""
        self._all.pop(instruction_id, None)
        self._open.pop(instruction_id, None)

    def get(self, instruction_id: str) -> Instruction | None:
        """Return an instruction, or None."""
        return self._all.get(instruction_id)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self._all.values())

    @property
    def open(self) -> Iterator[tuple[Instruction, Task]]:
        """Return the tasks of which something is still to be done."""
        for instruction_id in self._open:
            instruction = self._all[instruction_id]
            yield from ((instruction, task) for task in instruction.tasks if not task.state.is_over)

    def occupying(self, resource_id: str) -> str:
        """Return the id of the instruction that is under way for a resource, or nothing."""
        found = (one.instruction_id for one, task in self.open if task.resource_id == resource_id)
        return next(found, "")

    @property
    def running(self) -> dict[str, Task]:
        """Return the tasks that have begun, by their resources."""
        return {task.resource_id: task for _, task in self.open if task.state is TaskState.RUNNING}

    def leaving(self, host: str) -> list[str]:
        """Return, in words, which machines are on their way from a host: until they are gone it may not come back [I-15]."""
        return [
            f"{task.resource_id} is being {_LEAVES[task.command]}: instruction {one.instruction_id}"
            for one, task in self.open
            if task.host == host and task.state is TaskState.RUNNING and task.command in _LEAVES
        ]
