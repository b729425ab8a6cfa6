"""The door to instructions: what a Consumer wants done in answer to a notification [D 3.3.6, 5.2.1 steps 7 and 8]."""

from collections.abc import Callable
from typing import Literal

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Several, is_in
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import OWNERS, READERS
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.api.wire.instruction import InstructionOut, InstructionRequest, instruction_out, order_of
from doctor.flows.instruction import InstructionFlow
from doctor.model.instruction import Action, Instruction

_KEYS: dict[str, Callable[[Instruction], Key]] = {"created": lambda one: microseconds(one.created)}


class InstructionQuery(PageQuery, frozen=True, kw_only=True):
    """Which instructions, and in which order. `open` are those of which something is still to be done."""

    state: Literal["open", "over", "all"] = "all"
    action: list[Action] = []
    virtual_resource_id: Several = frozenset()
    sort: Literal["created", "-created"] = "-created"


class InstructionsDoor:
    """The operations on instructions."""

    def __init__(self, instructions: InstructionFlow) -> None:
        self._instructions = instructions

    @operation(
        "POST",
        "/v1/instructions",
        tag="Instructions",
        roles=OWNERS,
        answers={
            202: "It is kept; `resources` says for each whether it is under way, waits, or was refused."
        },
        example={
            "action": "evacuate",
            "virtual_resource_id": ["vm-1-1"],
            "parameters": {},
            "deadline": "PT60S",
        },
    )
    async def instruct(self, call: Call[InstructionRequest, None]) -> Answer[InstructionOut]:
        """Have something done to machines of mine.

        `evacuate`, and whatever else frees a machine of a dead host (`rebuild` and `terminate` there), waits for the
        host to be isolated (`waiting_for_isolation`), until the deadline. What cannot be done as things are is `refused`,
        with a reason. The end is told as `instruction_result`. `leave`, `switched_over` and `repair` say something and do
        nothing to the machine; `repair` reports that a fault persists. The Administrator may name the `target` host of a move.
        A `virtual NIC` takes `stop`, `start` and `update`, a `virtual storage` `start` and `update`.
        """
        made = await self._instructions.create(call.identity, order_of(call.body))
        location = {"Location": f"/v1/instructions/{made.instruction_id}"}
        return Answer(instruction_out(made, call.identity.scope), 202, location)

    @operation("GET", "/v1/instructions", tag="Instructions", roles=READERS)
    async def list_instructions(self, call: Call[None, InstructionQuery]) -> Answer[Page[InstructionOut]]:
        """List my instructions, the Administrator those of all: the newest first unless asked otherwise."""
        query, scope = call.query, call.identity.scope

        def is_wanted(one: Instruction) -> bool:
            return (
                (query.state == "all" or one.is_over is (query.state == "over"))
                and (not query.action or one.action in query.action)
                and any(is_in(task.resource_id, query.virtual_resource_id) for task in one.tasks)
            )

        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.instruction_id)
        rows = self._instructions.all(call.identity)
        return Answer(
            await sorted_page(rows, query, order, is_wanted, lambda one: instruction_out(one, scope))
        )

    @operation("GET", "/v1/instructions/{instruction_id}", tag="Instructions", roles=READERS)
    async def get_instruction(self, call: Call[None, None]) -> Answer[InstructionOut]:
        """Show an instruction: how far it got with each resource, and why."""
        found = self._instructions.get(call.identity, call.path["instruction_id"])
        return Answer(instruction_out(found, call.identity.scope))

    @operation(
        "DELETE",
        "/v1/instructions/{instruction_id}",
        tag="Instructions",
        roles=OWNERS,
        answers={200: "What had not begun is given up; what had goes on to its end."},
    )
    async def cancel_instruction(self, call: Call[None, None]) -> Answer[InstructionOut]:
        """Give up what has not begun yet. 409 if nothing of it can be given up."""
        found = await self._instructions.cancel(call.identity, call.path["instruction_id"])
        return Answer(instruction_out(found, call.identity.scope))
