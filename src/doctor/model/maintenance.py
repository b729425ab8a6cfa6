"""Hosts that are emptied for work on them, with the consent of those whose machines run there [D 3.4.2, 5.2.2]."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from doctor.model.maintenance_action import ActionWish, Moment, Run, RunState
from doctor.model.resource import MaintenanceState
from doctor.model.scope import Scope


class Deed(StrEnum):
    """What may be done about a machine whose host is to be emptied."""

    MIGRATE = "migrate"
    LIVE_MIGRATE = "live_migrate"
    STOP = "stop"  # it stays on the host, off, and is started there after the work
    TERMINATE = "terminate"
    OWN_ACTION = "own_action"  # its owner takes it away himself
    LEAVE = "leave"  # it stays, and with it the host
    ASK = "ask"  # its owner says it when he is asked


class MaintenancePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner has said beforehand for machines of his whose host is to be emptied.

    ``if_silent`` is what counts when ``action`` is to ask him and he does not answer. Nothing is done before ``lead_time``
    has passed since he was told. ``tolerated_interruption`` (seconds) forbids what takes longer. An active machine with a
    standby waits until he says that he has switched over, unless ``await_switch_over`` is false. What was stopped is
    started after the work if ``start_on_return``.
    """

    project: str
    scope: Scope
    action: Deed = Deed.ASK
    if_silent: Deed = Deed.LEAVE
    lead_time: timedelta = timedelta(0)
    tolerated_interruption: float | None = None
    await_switch_over: bool = True
    start_on_return: bool = True
    user: str = ""
    changed: datetime | None = None


class GuestState(StrEnum):
    """How far it is with a machine on a host that is to be emptied."""

    ASKED = "asked"
    AGREED = "agreed"  # what is to be done is known, and it waits for its turn
    MOVING = "moving"  # it is being done
    AWAY = "away"  # it is not on the host any more
    STOPPED = "stopped"  # it is on the host, off
    STAYS = "stays"  # nobody agrees that anything is done to it
    STUCK = "stuck"  # it could not be done

    @property
    def is_out_of_the_way(self) -> bool:
        """Tell whether the machine keeps nobody from working on the host."""
        return self in (GuestState.AWAY, GuestState.STOPPED)


class Decider(StrEnum):
    """By whose word something is done to a machine."""

    OWNER = "owner"  # he answered
    POLICY = "policy"  # he had said so beforehand
    SILENCE = "silence"  # he did not answer, and that is what then counts


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """A machine on a host that is to be emptied.

    ``told`` is when its owner was told first. ``reply_by`` is until when he may say something before silence counts.
    ``switched_over`` is whether its owner has said since he was told that its standby has taken over.
    ``ready`` is whether he has said that it may go at once: the standby has taken over, and he needs no more notice.
    ``tries`` are the instructions by which it was to leave, ``attempts`` how many of them since its owner said it;
    ``avoid`` are the hosts to which that failed.
    """

    resource_id: str
    owner: str
    state: GuestState
    deed: Deed | None = None
    decided_by: Decider | None = None
    reason: str = ""
    told: datetime
    reply_by: datetime | None = None
    reminded: bool = False
    switched_over: bool = False
    ready: bool = False
    user: str = ""
    tries: tuple[str, ...] = ()
    attempts: int = 0
    avoid: tuple[str, ...] = ()
    retry_at: datetime | None = None
    since: datetime | None = None


class HostStage(StrEnum):
    """How far it is with a host of a session."""

    WAITING = "waiting"  # it is not its turn yet
    EMPTYING = "emptying"
    EMPTY = "empty"  # it may be worked on
    RETURNED = "returned"  # the work is done, and it serves again
    FAILED = "failed"  # it could not be emptied, and serves as before; or it has not come back from the work
    ABORTED = "aborted"  # somebody has called it off, and it serves as before

    @property
    def is_over(self) -> bool:
        """Tell whether the session has nothing more to do with the host."""
        return self in (HostStage.RETURNED, HostStage.FAILED, HostStage.ABORTED)

    @property
    def maintenance_state(self) -> MaintenanceState:
        """Return the state of the requirement [D 3.4.2]."""
        return _STATES.get(self, MaintenanceState.ENABLED)


_STATES = {
    HostStage.EMPTYING: MaintenanceState.GOING_TO_MAINTENANCE,
    HostStage.EMPTY: MaintenanceState.IN_MAINTENANCE,
}


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What runs on a host beneath its machines."""

    firmware: str | None = None
    hypervisor: str | None = None


class HostWork(msgspec.Struct, frozen=True, kw_only=True):
    """One host of a session.

    ``began`` is when it began to be emptied, ``deadline`` until when that has to be done, ``emptied`` when it was,
    ``ended`` when the session had done with it. ``reason`` is why it failed or was called off. ``before`` and ``after`` are
    its versions around the work. ``runs`` are the actions that were done on it, in their order. Until ``watched_until`` it
    may take its time to come back; ``back`` is when it did.
    """

    session_id: str
    host: str
    stage: HostStage = HostStage.WAITING
    metadata: dict[str, Any] = {}
    began: datetime | None = None
    deadline: datetime | None = None
    emptied: datetime | None = None
    ended: datetime | None = None
    reason: str = ""
    guests: tuple[Guest, ...] = ()
    before: Versions | None = None
    after: Versions | None = None
    runs: tuple[Run, ...] = ()
    watched_until: datetime | None = None
    back: datetime | None = None

    @property
    def is_unfinished(self) -> bool:
        """Tell whether an action has begun on the host that has not come to a good end."""
        return bool(self.runs) and self.runs[-1].state is not RunState.SUCCEEDED

    @property
    def progress(self) -> int:
        """Return how much of the host is empty, in percent."""
        if self.stage in (HostStage.EMPTY, HostStage.RETURNED):
            return 100
        if self.stage is not HostStage.EMPTYING or not self.guests:
            return 0
        return 100 * sum(one.state.is_out_of_the_way for one in self.guests) // len(self.guests)

    def guest(self, resource_id: str) -> Guest | None:
        """Return the machine of this id, None if it is none of its."""
        return next((one for one in self.guests if one.resource_id == resource_id), None)

    def has_shut_down(self, resource_id: str) -> bool:
        """Tell whether a machine is off for the work: it ran before, else it would not have been told to leave."""
        guest = self.guest(resource_id)
        return guest is not None and guest.state is GuestState.STOPPED and bool(guest.tries)

    def with_guest(self, guest: Guest) -> "HostWork":
        """Return it with another record of a machine."""
        guests = tuple(guest if one.resource_id == guest.resource_id else one for one in self.guests)
        return msgspec.structs.replace(self, guests=guests)


class SessionState(StrEnum):
    """How far a session is."""

    PROPOSED = "proposed"  # a guard is against it, and a second person has to agree
    PLANNED = "planned"  # it begins later
    RUNNING = "running"
    PAUSED = "paused"  # nothing new is begun
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more comes of it."""
        return self in (SessionState.DONE, SessionState.FAILED, SessionState.ABORTED)


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is done against a guard, and which two persons said so."""

    reason: str
    users: tuple[str, ...]


class ScaleIn(msgspec.Struct, frozen=True, kw_only=True):
    """What owners were asked to give up so that there is room, and until when; ``met`` is when there was."""

    vcpus: int
    memory_mb: int
    until: datetime
    reminded: bool = False
    met: datetime | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One request of the Administrator to empty hosts: StateChangeRequest [D 5.5.2].

    ``timeout`` is how long emptying one host may take. ``at_once`` is how many hosts are away together, None: all.
    ``reply_to`` is where the one response goes. ``answered`` is when that was written. ``actions`` are done around the work,
    in their order; ``runs`` are those of them that are done once. With ``auto_return`` a host is given back when it is empty
    and its actions are done. ``scale_in`` is what owners have to give up first. ``metadata`` is what owners are told of what
    the work brings. ``withdrawn`` is when he who asked wanted to see no more of it. It ``holds`` its host as long as that is
    disabled in its cloud, if it was opened for that.
    """

    session_id: str
    user: str
    reason: str
    hosts: tuple[str, ...]
    created: datetime
    starts: datetime
    timeout: timedelta
    at_once: int | None = None
    reply_to: str | None = None
    state: SessionState = SessionState.PLANNED
    outcome: str = ""
    ended: datetime | None = None
    answered: datetime | None = None
    override: Override | None = None
    actions: tuple[ActionWish, ...] = ()
    auto_return: bool = False
    runs: tuple[Run, ...] = ()
    scale_in: ScaleIn | None = None
    metadata: dict[str, Any] = {}
    withdrawn: datetime | None = None
    holds: bool = False

    @property
    def waits_for_room(self) -> bool:
        """Tell whether owners have to give up something before the first host can be emptied."""
        return self.scale_in is not None and self.scale_in.met is None

    def asks_for(self, moment: Moment) -> tuple[str, ...]:
        """Return the names of the actions of a moment, in their order."""
        return tuple(one.name for one in self.actions if one.moment is moment)


class MaintenanceLimits(NamedTuple):
    """Within which hosts are emptied.

    ``at_once``, ``per_host`` and ``per_zone`` are how many machines are moved at one time. ``tries`` is how often it is
    tried for one machine, ``retry_after`` how long is waited in between. ``floor`` is the part of a zone's hosts that
    has to go on serving. ``usual`` and ``longest`` are time-outs; ``sessions`` is how many may be open. ``returns`` is how
    long a host may take to come back when the work on it is done.
    """

    at_once: int = 16
    per_host: int = 2
    per_zone: int = 8
    tries: int = 3
    retry_after: timedelta = timedelta(seconds=5)
    floor: float = 0.51
    usual: timedelta = timedelta(minutes=30)
    longest: timedelta = timedelta(days=7)
    sessions: int = 100
    returns: timedelta = timedelta(minutes=10)
