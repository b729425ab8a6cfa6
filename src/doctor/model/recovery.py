"""What an owner has said beforehand about the recovery of his machines, and how far that got with each [D 3.3.6]."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from doctor.model.instruction import Action
from doctor.model.scope import Scope


class Handler(StrEnum):
    """Who handles the recovery of a machine [HA 6.2]."""

    OWNER = "owner"  # nothing is done before he has said that the standby has taken over
    DOCTOR = "doctor"


class RecoveryStep(msgspec.Struct, frozen=True, kw_only=True):
    """What is tried, and for how long: a machine that is not well by then is for the next step.

    ``fault_type`` and ``zone_id`` are of which faults and in which zones; without any it is of all.
    """

    action: Action
    parameters: dict[str, Any] = {}
    timeout: timedelta = timedelta(minutes=5)
    fault_type: tuple[str, ...] = ()
    zone_id: tuple[str, ...] = ()


class RecoveryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done to machines that have failed, step by step, and when.

    ``after`` is how long Doctor waits for an instruction before it begins. The higher ``priority`` goes first among
    machines of one level. ``after_groups`` are recovered before. With ``start_on_return`` a machine that stayed on its
    host is started there when that is back.
    """

    project: str
    scope: Scope
    steps: tuple[RecoveryStep, ...] = ()
    handled_by: Handler = Handler.OWNER
    after: timedelta = timedelta(0)
    priority: int = 0
    after_groups: tuple[str, ...] = ()
    start_on_return: bool = False
    user: str = ""
    changed: datetime | None = None


class RecoveryState(StrEnum):
    """How far the recovery of a machine got."""

    WAITING = "waiting"
    RUNNING = "running"  # a step is under way
    SUCCEEDED = "succeeded"
    LEFT = "left"  # to its owner, or as it is
    EXHAUSTED = "exhausted"  # no step is left


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was begun: the instruction, and until when the machine has to be well by it."""

    step: int
    action: Action
    instruction_id: str
    began: datetime
    until: datetime


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """The recovery of one machine by what its owner has said beforehand.

    ``alarm_id`` and ``fault_key`` are of the alarm that began it, ``since`` when that was raised; ``host`` is where the
    machine was then, ``ran`` whether it ran, ``host_failed`` whether that host was out. ``spent`` are the times of the
    steps of the last while, those of earlier recoveries too. ``ended`` is when the machine was well again, or gone.
    """

    resource_id: str
    project: str
    alarm_id: str
    fault_key: str
    fault_type: str
    since: datetime
    host: str | None
    ran: bool = True
    host_failed: bool = False
    state: RecoveryState = RecoveryState.WAITING
    reason: str = ""
    tries: tuple[Try, ...] = ()
    spent: tuple[datetime, ...] = ()
    ended: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether the machine is well again, or gone."""
        return self.ended is not None


class RecoveryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Within which machines are recovered by policy, at one time and over time.

    ``at_once``, ``per_zone`` and ``per_host`` are how many are under way in all, in one zone, on one host. ``reserved``
    are hosts that are kept for recovery, with the levels that they are for (all, if none is named). ``most`` steps are
    begun for one machine ``within`` a time: what fails again and again needs a person.
    """

    at_once: int = 16
    per_zone: int = 8
    per_host: int = 2
    reserved: Mapping[str, frozenset[str]] = {}
    most: int = 5
    within: timedelta = timedelta(hours=1)
