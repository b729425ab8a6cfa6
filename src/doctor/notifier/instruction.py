"""What a notification says of the end of an instruction, and who is told: the ACK or NACK [D 3.3.6, 5.2.1 step 8]."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from doctor.kit.ids import stable_id
from doctor.model.instruction import Instruction, Task
from doctor.model.notification import InstructionResult, Notification, NotificationType, TaskResult
from doctor.model.subscription import EventKind, Subscription
from doctor.notifier.matching import resource_matches

encode = msgspec.json.Encoder().encode


def told_of_result(instruction: Instruction, subscriptions: Iterable[Subscription]) -> Iterator[Subscription]:
    """Return which subscriptions of the one who asked hear of the end.

    It is the one whose notification the instruction answers. If it answers none, all hear of it that hear of faults of one
    of the resources.
    """
    for one in subscriptions:
        if instruction.subscription_id is not None:
            if one.subscription_id == instruction.subscription_id:
                yield one
        elif one.filter.asks_for(EventKind.FAULT, one.project) and any(
            resource_matches(one.filter, task.resource_id, task.kind) for task in instruction.tasks
        ):
            yield one


def reason_for(task: Task, viewer: str | None) -> str | None:
    """Return why a task is as it is: to the Administrator (None) with what the controller said, which may name hosts."""
    words = (task.reason, task.detail if viewer is None else "")
    return ": ".join(word for word in words if word) or None


def write_result(
    subscription: Subscription, instruction: Instruction, public_url: str, *, sequence: int, now: datetime
) -> tuple[str, bytes]:
    """Return id and body of the notification that an instruction is over."""
    kind = NotificationType.INSTRUCTION_RESULT
    notification_id = stable_id(
        "notification", subscription.subscription_id, instruction.instruction_id, kind
    )
    doors = f"{public_url}/v1"
    message = Notification(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        notification_type=kind,
        event_time=instruction.ended or now,
        sent_time=now,
        instruction=InstructionResult(
            instruction_id=instruction.instruction_id,
            action=instruction.action,
            acknowledged=instruction.is_acknowledged,
            results=tuple(
                TaskResult(
                    virtual_resource_id=one.resource_id,
                    state=one.state,
                    reason=reason_for(one, subscription.project),
                )
                for one in instruction.tasks
            ),
        ),
        links={
            "instructions": f"{doors}/instructions",
            "instruction": f"{doors}/instructions/{instruction.instruction_id}",
            "handled": f"{doors}/notifications/{notification_id}/handled",
        },
    )
    return notification_id, encode(message)
