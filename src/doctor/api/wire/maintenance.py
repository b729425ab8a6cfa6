"""The shapes of maintenance: what the Administrator asks for, what owners answer and have said beforehand."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from doctor.api.wire.duration import Duration, duration_in
from doctor.flows.maintenance_desk import HostWish, Reply, Request
from doctor.flows.maintenance_session import NamedAction
from doctor.flows.maintenance_weighing import Weighed
from doctor.kit.times import in_utc
from doctor.maintenance.plan import Plan
from doctor.model.errors import Flaw, RejectedError
from doctor.model.maintenance import (
    Decider,
    Deed,
    Guest,
    GuestState,
    HostStage,
    HostWork,
    MaintenancePolicy,
    ScaleIn,
    Session,
    SessionState,
)
from doctor.model.maintenance_action import ActionWish, Moment, Run, RunState
from doctor.model.notification import WantedRoom
from doctor.model.resource import MaintenanceState
from doctor.model.scope import Scope

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Text = Annotated[str, msgspec.Meta(max_length=1000)]
MOST_HOSTS = 10_000


class HostStateIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A host and the state that it is to have. ``metadata`` is kept with it and shown."""

    physical_resource_id: Name
    physical_resource_state: Literal["maintenance", "normal", "down"]
    metadata: dict[str, Any] = {}


class ActionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An action of the settings that is done around the work: `pre` once before the first host is emptied, `host` on each
    host when it is empty, `post` once after the last.
    """

    moment: Moment
    name: Name


class StateChangeIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """StateChangeRequest [D 5.5.2]: hosts that are to be emptied, that serve again, or that are down. One state for all.

    ``timeout`` is how long emptying a host may take. The one StateChangeResponse is POSTed to ``reply_to``. With
    ``at_once`` so many hosts are away together, and the next goes when one was given back. ``override`` is why it has to be
    although a guard is against it: a second person has to agree. ``actions`` are done one after the other; with
    ``auto_return`` a host serves again as soon as those on it are done, which is usual where there are any. With ``scale_in``
    owners are asked to make room where there is none, and hosts go when there is. ``metadata`` is told to owners: what the
    work brings.
    """

    physical_resource_state: Annotated[list[HostStateIn], msgspec.Meta(min_length=1, max_length=MOST_HOSTS)]
    timeout: Duration | None = None
    reply_to: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    reason: Text = ""
    starts_at: datetime | None = None
    at_once: Annotated[int, msgspec.Meta(ge=1)] | None = None
    override: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None
    actions: Annotated[list[ActionIn], msgspec.Meta(max_length=100)] = []
    auto_return: bool | None = None
    scale_in: bool = False
    metadata: Annotated[dict[Name, Any], msgspec.Meta(max_length=64)] = {}


class StateChangeOut(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken. ``session_id`` is of the session that empties hosts, null where none is needed."""

    session_id: str | None
    state: SessionState | None
    hosts: tuple[str, ...]


class ReplyIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What an owner answers. With `ack` ``actions`` say what is done to which machine; without any the first that is
    allowed is done to each of which nothing was said yet. With `nack` they stay: those that are named, or all that were
    asked for. ``ready``: it may be done at once; standbys have taken over where there are any, and no notice is needed.
    """

    reply: Literal["ack", "nack"]
    reason: Text | None = None
    actions: Annotated[dict[Name, Deed], msgspec.Meta(max_length=10_000)] = {}
    ready: bool = False


class PlannedMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of a plan: what would be done to it by what its owner has said, and where it would go."""

    virtual_resource_id: str
    project_id: str
    action: Deed
    target: str | None
    risk: str | None


class PlannedHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host of a plan: in which turn it goes, and for how many seconds its machines leave at least."""

    physical_resource_id: str
    turn: int
    seconds: float
    machines: tuple[PlannedMachine, ...]


class PlanOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a request would come to. ``against`` is what guards would say, ``seconds`` how long it takes at least, without
    the work and without waiting for answers; ``moves`` counts machines that go elsewhere, ``twice`` those that move again.
    ``first`` are the hosts that go before the others so that the machines of those have where to go, and move once;
    ``missing`` is the room that owners would have to make, null if there is enough.
    """

    hosts: tuple[PlannedHost, ...]
    against: tuple[str, ...]
    owners: tuple[str, ...]
    seconds: float
    moves: int
    twice: int
    first: tuple[str, ...]
    missing: WantedRoom | None


class GuestOut(msgspec.Struct, frozen=True, kw_only=True):
    """A machine that is in the way, or was. ``project_id`` is whose, for the Administrator."""

    virtual_resource_id: str
    project_id: str | None
    state: GuestState
    action: Deed | None
    decided_by: Decider | None
    reason: str | None
    reply_by: datetime | None
    instructions: tuple[str, ...]


class RunOut(msgspec.Struct, frozen=True, kw_only=True):
    """A run of an action; ``number`` counts those of one action, and ``detail`` is what it said in the end."""

    run_id: str
    moment: Moment
    action: str
    number: int
    state: RunState
    began: datetime
    deadline: datetime
    ended: datetime | None
    detail: str | None


class ActionOut(msgspec.Struct, frozen=True, kw_only=True):
    """An action of the settings; ``timeout`` in seconds."""

    name: str
    driver: str
    timeout: float


class HostWorkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A host of a session; ``progress`` in percent. Owners see none, but their machines."""

    physical_resource_id: str
    stage: HostStage
    maintenance_state: MaintenanceState
    progress: int
    began: datetime | None
    deadline: datetime | None
    emptied: datetime | None
    ended: datetime | None
    reason: str | None
    metadata: dict[str, Any]
    update_status: str | None
    runs: tuple[RunOut, ...]


class SessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A session: to the Administrator with its hosts, to an owner with his machines only. ``timeout`` in seconds."""

    session_id: str
    state: SessionState
    reason: str
    outcome: str | None
    user: str | None
    created: datetime
    starts_at: datetime
    timeout: float
    at_once: int | None
    ended: datetime | None
    override: dict[str, Any] | None
    metadata: dict[str, Any]
    actions: tuple[ActionWish, ...]
    auto_return: bool
    runs: tuple[RunOut, ...]
    scale_in: ScaleIn | None
    hosts: tuple[HostWorkOut, ...]
    machines: tuple[GuestOut, ...]


class SessionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A session in a list."""

    session_id: str
    state: SessionState
    reason: str
    outcome: str | None
    created: datetime
    starts_at: datetime
    ended: datetime | None
    hosts: int | None
    machines: int
    progress: int


class PolicyIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What may be done to machines of mine whose host is to be emptied.

    ``if_silent`` counts when ``action`` is `ask` and I do not answer. Nothing is done before ``lead_time`` has passed since I
    was told. With ``tolerated_interruption`` (seconds) nothing that takes longer is done.
    """

    action: Deed = Deed.ASK
    if_silent: Deed = Deed.LEAVE
    lead_time: Duration = 0
    tolerated_interruption: Annotated[float, msgspec.Meta(ge=0, le=86400)] | None = None
    await_switch_over: bool = True
    start_on_return: bool = True


class PolicyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A policy; ``lead_time`` in seconds, ``machines`` is how many are in its scope now."""

    project: str
    scope: str
    action: Deed
    if_silent: Deed
    lead_time: float
    tolerated_interruption: float | None
    await_switch_over: bool
    start_on_return: bool
    machines: int
    user: str
    changed: datetime | None


def request_of(given: StateChangeIn) -> Request:
    """Return a request to empty hosts as it was written.

    Raises:
        RejectedError: a duration is none.
    """
    flaws: list[Flaw] = []
    timeout = None
    if given.timeout is not None:
        timeout = duration_in(given.timeout, "/timeout", flaws, most=timedelta(days=365))
    if given.auto_return and not any(one.moment is Moment.HOST for one in given.actions):
        detail = "nothing is to be done on the hosts: they would be given back at once"
        flaws.append(Flaw("/auto_return", detail))
    if flaws:
        raise RejectedError("the request is wrong", flaws=flaws)
    return Request(
        hosts=tuple(
            HostWish(one.physical_resource_id, one.metadata) for one in given.physical_resource_state
        ),
        timeout=timeout,
        reason=given.reason,
        reply_to=given.reply_to,
        starts=None if given.starts_at is None else in_utc(given.starts_at),
        at_once=given.at_once,
        override=given.override,
        metadata=given.metadata,
        actions=tuple(ActionWish(one.moment, one.name) for one in given.actions),
        auto_return=given.auto_return,
        scale_in=given.scale_in,
    )


def reply_of(given: ReplyIn) -> Reply:
    """Return an answer as it was written."""
    refusal = (given.reason or "") if given.reply == "nack" else None
    return Reply(given.actions, refusal, ready=given.ready)


def policy_of(given: PolicyIn, project: str, scope: Scope) -> MaintenancePolicy:
    """Return a policy as it was written.

    Raises:
        RejectedError: a duration is none, or too long.
    """
    flaws: list[Flaw] = []
    policy = MaintenancePolicy(
        project=project,
        scope=scope,
        action=given.action,
        if_silent=given.if_silent,
        lead_time=duration_in(given.lead_time, "/lead_time", flaws, most=timedelta(days=7)),
        tolerated_interruption=given.tolerated_interruption,
        await_switch_over=given.await_switch_over,
        start_on_return=given.start_on_return,
    )
    if flaws:
        raise RejectedError("the maintenance policy is wrong", flaws=flaws)
    return policy


def policy_out(policy: MaintenancePolicy, machines: int) -> PolicyOut:
    """Return a policy as it is shown."""
    return PolicyOut(
        project=policy.project,
        scope=str(policy.scope),
        action=policy.action,
        if_silent=policy.if_silent,
        lead_time=policy.lead_time.total_seconds(),
        tolerated_interruption=policy.tolerated_interruption,
        await_switch_over=policy.await_switch_over,
        start_on_return=policy.start_on_return,
        machines=machines,
        user=policy.user,
        changed=policy.changed,
    )


def plan_out(found: Plan, weighed: Weighed) -> PlanOut:
    """Return a plan as it is shown."""
    hosts = tuple(
        PlannedHost(
            physical_resource_id=one.host,
            turn=one.turn,
            seconds=one.takes.total_seconds(),
            machines=tuple(
                PlannedMachine(
                    virtual_resource_id=each.machine.id,
                    project_id=each.machine.owner,
                    action=each.deed,
                    target=each.target,
                    risk=each.risk or None,
                )
                for each in one.machines
            ),
        )
        for one in found.hosts
    )
    return PlanOut(
        hosts=hosts,
        against=tuple(weighed.against),
        owners=tuple(sorted({each.project_id for one in hosts for each in one.machines})),
        seconds=found.takes.total_seconds(),
        moves=found.moves,
        twice=found.twice,
        first=weighed.first,
        missing=None
        if weighed.short is None
        else WantedRoom(vcpus=weighed.short.vcpus, memory_mb=weighed.short.memory_mb),
    )


def guest_out(guest: Guest, viewer: str | None) -> GuestOut:
    """Return a machine as somebody may see it."""
    return GuestOut(
        virtual_resource_id=guest.resource_id,
        project_id=guest.owner if viewer is None else None,
        state=guest.state,
        action=guest.deed,
        decided_by=guest.decided_by,
        reason=guest.reason or None,
        reply_by=guest.reply_by,
        instructions=guest.tries,
    )


def session_out(
    session: Session, works: list[HostWork], viewer: str | None, known: Mapping[str, HostWork] | None = None
) -> SessionOut:
    """Return a session as somebody may see it, without the hosts and machines that are as they are ``known``."""
    everything = viewer is None
    before = known or {}
    news = [one for one in works if before.get(one.host) != one]
    return SessionOut(
        session_id=session.session_id,
        state=session.state,
        reason=session.reason,
        outcome=(session.outcome or None) if everything else None,
        user=session.user if everything else None,
        created=session.created,
        starts_at=session.starts,
        timeout=session.timeout.total_seconds(),
        at_once=session.at_once if everything else None,
        ended=session.ended,
        override=None
        if session.override is None or not everything
        else msgspec.to_builtins(session.override),
        metadata=session.metadata,
        actions=session.actions if everything else (),
        auto_return=session.auto_return,
        runs=_runs_out(session.runs) if everything else (),
        scale_in=session.scale_in,
        hosts=tuple(_host_out(one) for one in news) if everything else (),
        machines=tuple(
            guest_out(guest, viewer)
            for work in news
            for guest in work.guests
            if (everything or guest.owner == viewer)
            and (work.host not in before or guest not in before[work.host].guests)
        ),
    )


def session_line(session: Session, works: list[HostWork], viewer: str | None) -> SessionLine:
    """Return a session as a list shows it."""
    own = [one for work in works for one in work.guests if viewer in (None, one.owner)]
    progress = sum(one.progress for one in works) // len(works) if works else 0
    if viewer is not None:
        progress = 100 * sum(one.state.is_out_of_the_way for one in own) // len(own) if own else 0
    return SessionLine(
        session_id=session.session_id,
        state=session.state,
        reason=session.reason,
        outcome=(session.outcome or None) if viewer is None else None,
        created=session.created,
        starts_at=session.starts,
        ended=session.ended,
        hosts=len(works) if viewer is None else None,
        machines=len(own),
        progress=progress,
    )


def _host_out(work: HostWork) -> HostWorkOut:
    return HostWorkOut(
        physical_resource_id=work.host,
        stage=work.stage,
        maintenance_state=work.stage.maintenance_state,
        progress=work.progress,
        began=work.began,
        deadline=work.deadline,
        emptied=work.emptied,
        ended=work.ended,
        reason=work.reason or None,
        metadata=work.metadata,
        update_status=_difference(work),
        runs=_runs_out(work.runs),
    )


def _runs_out(runs: tuple[Run, ...]) -> tuple[RunOut, ...]:
    return tuple(
        RunOut(
            run_id=one.run_id,
            moment=one.moment,
            action=one.name,
            number=one.number,
            state=one.state,
            began=one.began,
            deadline=one.deadline,
            ended=one.ended,
            detail=one.detail or None,
        )
        for one in runs
    )


def actions_out(actions: Mapping[str, NamedAction]) -> list[ActionOut]:
    """Return the actions of the settings as they are shown."""
    return [
        ActionOut(name=name, driver=one.action.kind, timeout=one.timeout.total_seconds())
        for name, one in sorted(actions.items())
    ]


def _difference(work: HostWork) -> str | None:
    """Say what the work has changed beneath the machines, None as long as nobody can say."""
    if work.before is None or work.after is None:
        return None
    changed = [
        f"{name} {before or 'unknown'} -> {after or 'unknown'}"
        for name in ("firmware", "hypervisor")
        if (before := getattr(work.before, name)) != (after := getattr(work.after, name))
    ]
    return ", ".join(changed) or "unchanged"
