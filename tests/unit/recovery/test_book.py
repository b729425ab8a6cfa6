"""The book of instructions answers quickly what could be counted slowly."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.model.instruction import Action, Instruction, TaskState
from doctor.recovery.book import InstructionBook
from tests.unit.recovery.machines import NOON, instruction, task

S = TaskState
# A machine is under one open instruction at a time: each instruction has machines of its own here.
STEPS = st.lists(
    st.tuples(st.integers(1, 3), st.lists(st.sampled_from(S), min_size=2, max_size=2), st.booleans()),
    max_size=12,
)


def made(number: int, states: list[TaskState]) -> Instruction:
    tasks = (
        task(state, resource_id=f"vm-{number}-{index}", cloud="cloud" if index else None)
        for index, state in enumerate(states)
    )
    return replace(instruction(Action.STOP, *tasks), instruction_id=str(number))


@given(STEPS)
def test_it_is_as_if_everything_were_counted_anew(steps: list[tuple[int, list[TaskState], bool]]) -> None:
    book, simple = InstructionBook(), dict[str, Instruction]()
    for number, states, forgets in steps:
        one = made(number, states)
        if forgets:
            book.forget(one.instruction_id)
            simple.pop(one.instruction_id, None)
        else:
            book.put(one)
            simple[one.instruction_id] = one
    still = [(one, each) for one in simple.values() for each in one.tasks if not each.state.is_over]
    running = {each.resource_id: each for _, each in still if each.state is S.RUNNING}
    assert {one.instruction_id for one in book} == simple.keys()
    assert sorted(each.resource_id for _, each in book.open) == sorted(each.resource_id for _, each in still)
    assert book.running == running
    for cloud in (None, "cloud"):
        assert book.busy(cloud) == sum(each.cloud == cloud for each in running.values())
    occupied = {each.resource_id: one.instruction_id for one, each in still}
    for number in (1, 2, 3):
        for index in (0, 1):
            name = f"vm-{number}-{index}"
            assert book.occupying(name) == occupied.get(name, "")


def test_a_machine_leaves_its_host_from_its_command_on_until_it_is_over() -> None:
    """[I-15] Also while it is held back: its command may still arrive."""
    book = InstructionBook()

    def left(state: TaskState, **more: object) -> list[str]:
        book.put(instruction(Action.EVACUATE, task(state, **more)))
        return book.leaving("compute-1")

    assert left(S.WAITING_FOR_ISOLATION) == []
    begun = {"begun": NOON, "command": Action.EVACUATE}
    words = ["vm-1 is being evacuated: instruction instruction-1"]
    assert left(S.RUNNING, **begun) == left(S.WAITING_FOR_ISOLATION, **begun) == words
    assert book.leaving("compute-2") == []
    assert left(S.FAILED, **begun) == []
    assert left(S.RUNNING, begun=NOON, command=Action.STOP) == []
