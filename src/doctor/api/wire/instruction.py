"""The shapes of instructions: what is asked for, and how far it got."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from doctor.flows.instruction import Order
from doctor.kit.times import parse_duration
from doctor.model.errors import Flaw, RejectedError
from doctor.model.instruction import Action, Instruction, TaskState
from doctor.notifier.instruction import reason_for

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Duration = Annotated[str, msgspec.Meta(max_length=40)] | float


class InstructionRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be done to which of my resources.

    ``notification_id`` is what it answers; the same answer twice is one instruction. ``idempotency_key`` says which are
    the same where that is not enough. ``deadline`` is how long from now each may take to begin.
    """

    action: Action
    virtual_resource_id: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=100)]
    parameters: dict[str, Any] = {}
    notification_id: Name | None = None
    deadline: Duration | None = None
    idempotency_key: Name | None = None


class ResourceOut(msgspec.Struct, frozen=True, kw_only=True):
    """How far it got with one resource; ``reason`` says why it waits, failed or was refused."""

    virtual_resource_id: str
    state: TaskState
    reason: str | None
    begun: datetime | None
    ended: datetime | None


class InstructionOut(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction. ``acknowledged`` is null until it is over, then whether all of it was done.

    ``alarm_id`` is the alarm for which its owner has said beforehand that this is to be done; null if somebody asked for it.
    """

    instruction_id: str
    project: str | None
    user: str
    action: Action
    parameters: dict[str, Any]
    notification_id: str | None
    alarm_id: str | None
    created: datetime
    deadline: datetime
    ended: datetime | None
    acknowledged: bool | None
    resources: tuple[ResourceOut, ...]


def order_of(given: InstructionRequest) -> Order:
    """Return what is asked for, each resource once.

    Raises:
        RejectedError: the deadline is no duration.
    """
    try:
        deadline = None if given.deadline is None else parse_duration(given.deadline)
    except (ValueError, OverflowError) as error:
        flaw = Flaw("/deadline", str(error))
        raise RejectedError("the instruction is wrong", flaws=[flaw]) from None
    return Order(
        action=given.action,
        resource_ids=tuple(dict.fromkeys(given.virtual_resource_id)),
        parameters=given.parameters,
        notification_id=given.notification_id,
        deadline=deadline,
        idempotency_key=given.idempotency_key,
    )


def instruction_out(found: Instruction, viewer: str | None) -> InstructionOut:
    """Return an instruction as a project, or the Administrator (None), may see it."""
    return InstructionOut(
        instruction_id=found.instruction_id,
        project=found.project,
        user=found.user,
        action=found.action,
        parameters=found.parameters,
        notification_id=found.notification_id,
        alarm_id=found.alarm_id,
        created=found.created,
        deadline=found.deadline,
        ended=found.ended,
        acknowledged=found.is_acknowledged if found.is_over else None,
        resources=tuple(
            ResourceOut(
                virtual_resource_id=task.resource_id,
                state=task.state,
                reason=reason_for(task, viewer),
                begun=task.begun,
                ended=task.ended,
            )
            for task in found.tasks
        ),
    )
