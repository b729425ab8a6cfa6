"""All instructions that are kept, found by what they are about."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from doctor.model.instruction import Action, Instruction, Task, TaskState

_LEAVES = {
    Action.EVACUATE: "evacuated",
    Action.TERMINATE: "terminated",
}  # commands that free a dead host of a machine


class InstructionBook:
    """The present; `put` keeps it in step with what is kept, and the counts with it: they are asked for each machine."""

    def __init__(self, instructions: Iterable[Instruction] = ()) -> None:
        self._all: dict[str, Instruction] = {}
        self._open: dict[str, None] = {}
        self._occupied: dict[str, str] = {}
        self._running: dict[str, Task] = {}
        self._about: dict[str, dict[str, None]] = {}
        self._busy: Counter[str | None] = Counter()
        for one in instructions:
            self.put(one)

    def put(self, instruction: Instruction) -> None:
        """Take over an instruction as it is now."""
        self.forget(instruction.instruction_id)
        self._all[instruction.instruction_id] = instruction
        for task in instruction.tasks:
            self._about.setdefault(task.resource_id, {})[instruction.instruction_id] = None
        if instruction.is_over:
            return
        self._open[instruction.instruction_id] = None
        for task in _open_tasks(instruction):
            self._occupied[task.resource_id] = instruction.instruction_id
            if task.state is TaskState.RUNNING:
                self._running[task.resource_id] = task
                self._busy[task.cloud] += 1

    def forget(self, instruction_id: str) -> None:
        """Have no such instruction any more."""
        known = self._all.pop(instruction_id, None)
        self._open.pop(instruction_id, None)
        for task in () if known is None else known.tasks:
            about = self._about[task.resource_id]
            del about[instruction_id]
            if not about:
                del self._about[task.resource_id]
        for task in () if known is None else _open_tasks(known):
            del self._occupied[task.resource_id]
            if self._running.pop(task.resource_id, None) is not None:
                self._busy[task.cloud] -= 1

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
            yield from ((instruction, task) for task in _open_tasks(instruction))

    def about(self, resource_id: str) -> list[Instruction]:
        """Return the instructions that name a resource."""
        return [self._all[one] for one in self._about.get(resource_id, ())]

    @property
    def running(self) -> Mapping[str, Task]:
        """Return the tasks that have begun, by their resources."""
        return self._running

    def busy(self, cloud: str | None) -> int:
        """Return on how many machines a controller works."""
        return self._busy[cloud]

    def occupying(self, resource_id: str) -> str:
        """Return the id of the instruction that is under way for a resource, or nothing."""
        return self._occupied.get(resource_id, "")

    def leaving(self, host: str) -> list[str]:
        """Return, in words, which machines are on their way from a host: until they are gone it may not come back [I-15].

        A task that was held back after it had begun counts too: its command may still arrive.
        """
        return [
            f"{task.resource_id} is being {_LEAVES[task.command]}: instruction {one.instruction_id}"
            for one, task in self.open
            if task.host == host and task.begun is not None and task.command in _LEAVES
        ]


def _open_tasks(instruction: Instruction) -> Iterator[Task]:
    return (task for task in instruction.tasks if not task.state.is_over)
