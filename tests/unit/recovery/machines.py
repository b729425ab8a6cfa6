"""A machine and its host as the deciders of instructions see them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from doctor.model.fault import ResourceState
from doctor.model.instruction import Action, Instruction, Task, TaskState
from doctor.model.resource import Isolation, VirtualResource
from doctor.recovery.rules import Facts

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
VM = VirtualResource(id="vm-1", host="compute-1", owner="red", group="core")


def facts(**given: Any) -> Facts:
    """Return what is known of a machine that serves; what is a field of a machine is its own."""
    own = {name: given.pop(name) for name in VM.__struct_fields__ if name in given}
    usual: dict[str, Any] = {
        "machine": replace(VM, **own),
        "state": ResourceState.NORMAL,
        "host_state": ResourceState.NORMAL,
        "isolation": Isolation.NOT_REQUIRED,
        "can_isolate": True,
        "has_controller": True,
    }
    return Facts(**{**usual, **given})


def dead(isolation: Isolation = Isolation.PENDING, **given: Any) -> Facts:
    """Return what is known of a machine whose host is down."""
    return facts(state=ResourceState.ERROR, host_state=ResourceState.DOWN, **{"isolation": isolation} | given)


def other(kind: str, **given: Any) -> Facts:
    """Return what is known of a port or a volume, on a dead host if that is said."""
    return facts(**given)._replace(machine=VirtualResource(id="other-1", type=kind, owner="red"))


def instruction(action: Action, *tasks: Task, **given: Any) -> Instruction:
    """Return an instruction with a minute to begin."""
    return Instruction(
        instruction_id="instruction-1",
        project="red",
        user="vnfm",
        action=action,
        created=NOON,
        deadline=NOON + timedelta(minutes=1),
        tasks=tasks or (task(),),
        **given,
    )


def task(state: TaskState = TaskState.QUEUED, **given: Any) -> Task:
    """Return the task of the machine."""
    return Task(**{"resource_id": "vm-1", "state": state, "host": "compute-1"} | given)
