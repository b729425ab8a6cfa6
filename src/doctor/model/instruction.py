"""What a Consumer asks for in answer to a notification, and how far it got [D 3.3.6, 5.2.1 steps 7 and 8]."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from doctor.model.resource import VIRTUAL_MACHINE


class Action(StrEnum):
    """What can be asked for. The last three say something; nothing is done to the machine for them."""

    EVACUATE = "evacuate"
    MIGRATE = "migrate"
    LIVE_MIGRATE = "live_migrate"
    REBUILD = "rebuild"
    REBOOT = "reboot"
    STOP = "stop"
    START = "start"
    UPDATE = "update"
    TERMINATE = "terminate"
    LEAVE = "leave"  # do nothing about it
    SWITCHED_OVER = "switched_over"  # the standby has taken over
    REPAIR = "repair"  # the fault on it persists


class TaskState(StrEnum):
    """How far the instruction got with one resource."""

    QUEUED = "queued"
    WAITING_FOR_ISOLATION = "waiting_for_isolation"
    RUNNING = "running"  # on record: the controller may have been told
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will be done."""
        return self in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.REFUSED)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of an instruction. ``reason`` says why it waits, failed or was refused.

    ``kind`` is which type of resource it is. ``detail`` is what the controller said of it, for the Administrator only: it may
    name hosts.

    ``host`` is where it was when that was last decided. ``seen`` is what the controller had seen of it before the first
    command, None as long as none may have been given: by it a successor knows whether the command arrived. ``command`` is
    what the controller ``cloud`` is asked for, which is not always the action. ``target`` is the host on which it is to
    be started, None where the controller chooses.
    """

    resource_id: str
    kind: str = VIRTUAL_MACHINE
    state: TaskState
    reason: str = ""
    detail: str = ""
    host: str | None = None
    cloud: str | None = None
    command: Action | None = None
    seen: str | None = None
    target: str | None = None
    begun: datetime | None = None
    ended: datetime | None = None


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction of a project, or of the Administrator (``project`` None), with a task for each resource.

    ``deadline`` is until when each task must have begun. ``notification_id``, ``subscription_id`` and ``fault_key`` are of
    the notification that it answers. ``alarm_id`` is the alarm of which the owner has said beforehand that this is to be
    done, ``session_id`` the maintenance for which he has agreed to it; without either somebody has asked for it.
    """

    instruction_id: str
    project: str | None
    user: str
    action: Action
    parameters: dict[str, Any] = {}
    notification_id: str | None = None
    subscription_id: str | None = None
    fault_key: str = ""
    alarm_id: str | None = None
    session_id: str | None = None
    created: datetime
    deadline: datetime
    tasks: tuple[Task, ...]

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will be done."""
        return all(task.state.is_over for task in self.tasks)

    @property
    def is_acknowledged(self) -> bool:
        """Tell whether all that was asked for was done: the ACK or NACK of the result."""
        return all(task.state is TaskState.SUCCEEDED for task in self.tasks)

    @property
    def ended(self) -> datetime | None:
        """Return when the last task was over, None before that."""
        return max((task.ended for task in self.tasks if task.ended), default=None) if self.is_over else None

    def task(self, resource_id: str) -> Task | None:
        """Return the task of a resource."""
        return next((one for one in self.tasks if one.resource_id == resource_id), None)

    def with_task(self, task: Task) -> "Instruction":
        """Return it with another task for the resource of this one."""
        tasks = tuple(task if one.resource_id == task.resource_id else one for one in self.tasks)
        return msgspec.structs.replace(self, tasks=tasks)


class Command(NamedTuple):
    """What a controller is to do with one machine, or another resource of a ``kind``.

    ``host`` is where it is now, ``target`` where it is to be, if it moves and that is not left to the controller.

    ``since`` is what `Progress.seen` was before the first command: what came after it is of this command. None asks what
    it is now.
    """

    action: Action
    resource_id: str
    host: str | None
    parameters: dict[str, Any]
    since: str | None = None
    target: str | None = None
    kind: str = VIRTUAL_MACHINE


class Stage(StrEnum):
    """How far a controller got with a command."""

    UNTOUCHED = "untouched"  # it has seen no such command
    RUNNING = "running"
    HALTED = "halted"  # it waits for the same command once more, to end it
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Progress(NamedTuple):
    """What has become of a command. ``seen`` names the newest of all that was ever done to the machine."""

    stage: Stage
    seen: str = ""
    detail: str = ""
