"""The shapes of Fenix (OpenStack's rolling maintenance), and what Doctor's words are in its words.

Fenix speaks of sessions by the step of its workflow, of projects by what they answer (``ACK_x``, ``NACK_x``), and of
machines by what is to be done to them. What it was told beforehand of machines are their owners' policies and groups here.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from doctor.flows.maintenance_desk import HostWish, Reply, Request
from doctor.kit.times import in_utc
from doctor.model.errors import Flaw, RejectedError
from doctor.model.fenix import ACTIONS, ANSWERED, DEEDS, Step, step_asking
from doctor.model.group import Group
from doctor.model.instruction import Action
from doctor.model.maintenance import Deed, HostStage, HostWork, MaintenancePolicy, Session, SessionState
from doctor.model.maintenance_action import ActionWish, Moment, Run, RunState
from doctor.model.resource import VirtualResource
from doctor.model.scope import Scope, ScopeKind
from doctor.recovery.rules import RULES

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
MOST_HOSTS = 10_000
LONGEST_METADATA = 255  # as Ceilometer writes it: what is longer is cut on the way, and cannot be read
TIME = "%Y-%m-%d %H:%M:%S"
_MIGRATION = RULES[Action.MIGRATE].interrupts or timedelta(0)


_WORDS = ", ".join(ACTIONS.values())


# --- sessions ---


class ActionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An action of a session, by its name in Doctor's settings. ``metadata`` is for those on hosts."""

    plugin: Name
    type: Moment
    metadata: dict[str, Any] = {}


class SessionIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A session: an empty list of ``hosts`` is all hosts. ``maintenance_at`` is UTC, as `2027-01-05 02:00:00`.

    ``metadata`` is what owners are told of what the work brings. Doctor loads no code: ``download`` has to be empty.
    """

    hosts: Annotated[list[Name], msgspec.Meta(max_length=MOST_HOSTS)]
    state: Literal["MAINTENANCE"] = "MAINTENANCE"
    maintenance_at: Annotated[str, msgspec.Meta(max_length=64)]
    metadata: dict[str, Any] = {}
    workflow: Literal["default", "vnf"] = "default"
    download: list[str] = []
    actions: Annotated[list[ActionIn], msgspec.Meta(max_length=100)] = []


class SessionMade(msgspec.Struct, frozen=True):
    """The session that was opened."""

    session_id: str


class Sessions(msgspec.Struct, frozen=True):
    """The ids of all sessions."""

    session_id: list[str]


class SessionStep(msgspec.Struct, frozen=True):
    """How far a session is."""

    state: Step


class Nothing(msgspec.Struct, frozen=True):
    """Nothing to be said."""


class HostDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A host of a session. ``disabled``: nothing new is placed there; ``maintained``: the work on it is done."""

    hostname: str
    type: str = "compute"
    disabled: bool
    maintained: bool
    details: str | None
    session_id: str


class InstanceDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of a session: what is done to it, and whether it was."""

    instance_id: str
    instance_name: str | None
    project_id: str
    host: str
    state: str
    action: str | None
    action_done: bool
    project_state: str | None
    details: str | None
    session_id: str


class ActionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An action that a session asks for."""

    plugin: str
    type: Moment
    session_id: str


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A run of an action; ``hostname`` is null where it is for all hosts."""

    id: str
    plugin: str
    hostname: str | None
    state: RunState
    details: str | None
    session_id: str


class SessionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A session with its hosts and machines."""

    session_id: str
    state: Step
    percent_done: int
    session: dict[str, Any]
    hosts: list[HostDetail]
    instances: list[InstanceDetail]
    action_plugins: list[ActionDetail]
    action_plugin_instances: list[RunDetail]


def request_of(given: SessionIn, all_hosts: Sequence[str]) -> Request:
    """Return a request to empty hosts one after the other, as it was written.

    Raises:
        RejectedError: a time that is none, metadata that nobody could read, code or actions that Doctor does not have.
    """
    flaws: list[Flaw] = []
    starts = _moment(given.maintenance_at, "/maintenance_at", flaws)
    if len(str(given.metadata)) > LONGEST_METADATA:
        detail = f"is cut on its way to VNF managers: at most {LONGEST_METADATA} characters in all"
        flaws.append(Flaw("/metadata", detail))
    if given.download:
        flaws.append(Flaw("/download", "Doctor loads no code from elsewhere: leave it empty"))
    for index, action in enumerate(given.actions):
        if action.metadata and action.type is not Moment.HOST:
            detail = "only what is done on a host gets any: leave it out"
            flaws.append(Flaw(f"/actions/{index}/metadata", detail))
    if flaws:
        raise RejectedError("the session is wrong", flaws=flaws)
    metadata = {one.plugin: one.metadata for one in given.actions if one.metadata}
    return Request(
        hosts=tuple(HostWish(one, metadata) for one in given.hosts or all_hosts),
        actions=tuple(ActionWish(one.type, one.plugin) for one in given.actions),
        starts=starts,
        at_once=1,
        reason=f"maintenance ({given.workflow})",
        metadata=given.metadata,
        auto_return=True,
        scale_in=True,
    )


def _moment(text: str, pointer: str, flaws: list[Flaw]) -> datetime:
    try:
        return datetime.strptime(text, TIME).replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return in_utc(msgspec.convert(text, datetime))
    except (msgspec.ValidationError, ValueError, OverflowError):
        flaws.append(Flaw(pointer, "write it as 2027-01-05 02:00:00, in UTC"))
        return datetime.min.replace(tzinfo=UTC)


def step_of(session: Session, works: Sequence[HostWork], *, moves_again: bool) -> Step:
    """Return how far a session is in Fenix' workflow; ``moves_again`` is whether every host is to be emptied still."""
    if session.state is SessionState.DONE:
        return Step.MAINTENANCE_DONE
    has_failed = session.state is SessionState.PAUSED and session.outcome  # and waits for a person
    if session.state.is_over or has_failed:
        return Step.MAINTENANCE_FAILED
    if session.waits_for_room and session.state is not SessionState.PROPOSED:
        return Step.SCALE_IN
    if session.state in (SessionState.PROPOSED, SessionState.PLANNED):
        return Step.MAINTENANCE
    stages = {one.stage for one in works}
    if HostStage.EMPTYING in stages:
        return step_asking(moves_again=moves_again)
    if stages <= {HostStage.RETURNED, HostStage.FAILED, HostStage.ABORTED}:
        return Step.MAINTENANCE_COMPLETE
    return Step.START_MAINTENANCE if stages != {HostStage.WAITING} else Step.MAINTENANCE


def detail_of(
    session: Session, works: Sequence[HostWork], machines: Mapping[str, VirtualResource], step: Step
) -> SessionDetail:
    """Return a session as Fenix shows it to its administrator."""
    done = sum(one.stage.is_over for one in works)
    hosts = [
        HostDetail(
            hostname=one.host,
            disabled=one.stage in (HostStage.EMPTYING, HostStage.EMPTY),
            maintained=one.stage is HostStage.RETURNED,
            details=one.reason or None,
            session_id=session.session_id,
        )
        for one in works
    ]
    instances = [
        InstanceDetail(
            instance_id=guest.resource_id,
            instance_name=None if machine is None else machine.name,
            project_id=guest.owner,
            host=work.host,
            state=guest.state,
            action=None if guest.deed is None else guest.deed.upper(),
            action_done=guest.state.is_out_of_the_way,
            project_state=Step.INSTANCE_ACTION_DONE if guest.state.is_out_of_the_way else None,
            details=guest.reason or None,
            session_id=session.session_id,
        )
        for work in works
        for guest in work.guests
        for machine in (machines.get(guest.resource_id),)
    ]
    of_all: tuple[str | None, tuple[Run, ...]] = (None, session.runs)
    return SessionDetail(
        session_id=session.session_id,
        state=step,
        percent_done=100 if session.state.is_over else 100 * done // max(len(works), 1),
        session={
            "state": step,
            "maintenance_at": session.starts.strftime(TIME),
            "created_at": session.created.strftime(TIME),
            "meta": session.metadata,
            "details": session.outcome or None,
        },
        hosts=hosts,
        instances=instances,
        action_plugins=[
            ActionDetail(plugin=one.name, type=one.moment, session_id=session.session_id)
            for one in session.actions
        ],
        action_plugin_instances=[
            RunDetail(
                id=run.run_id,
                plugin=run.name,
                hostname=host,
                state=run.state,
                details=run.detail or None,
                session_id=session.session_id,
            )
            for host, runs in (of_all, *((one.host, one.runs) for one in works))
            for run in runs
        ],
    )


# --- projects ---


class Instances(msgspec.Struct, frozen=True):
    """The machines of a project that a session is about now."""

    instance_ids: list[str]


class ReplyIn(msgspec.Struct, kw_only=True):
    """What a project answers: ``state`` is `ACK_` or `NACK_` and the state that it was told, with what is to be done to the
    machine that it was asked for (``instance_action``), or to which (``instance_actions``).
    """

    state: Annotated[str, msgspec.Meta(max_length=64)]
    instance_action: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    instance_actions: Annotated[dict[Name, str], msgspec.Meta(max_length=10_000)] = {}
    session_id: str | None = None


class Answered(NamedTuple):
    """An answer: to which step, and whether it is yes; ``actions`` are by machine, None: whatever is best."""

    step: Step
    agrees: bool
    actions: Mapping[str, Deed | None]


def answer_of(given: ReplyIn, session_id: str, machine: str | None) -> Answered:
    """Return an answer as it was written; ``machine`` is the one that it was asked for, if it was for one.

    Raises:
        RejectedError: it answers nothing that Fenix asks, names an action that Fenix does not have, or another session.
    """
    flaws: list[Flaw] = []
    word, _, rest = given.state.partition("_")
    if word not in ("ACK", "NACK") or rest not in ANSWERED:
        detail = f"is ACK_ or NACK_ and what you were told: {', '.join(ANSWERED)}"
        flaws.append(Flaw("/state", detail))
    if given.session_id not in (None, "", session_id):
        flaws.append(Flaw("/session_id", "is of another session than this address"))
    chosen: dict[str, str | None] = dict(given.instance_actions)
    if machine is not None:
        chosen.setdefault(machine, given.instance_action)
    actions: dict[str, Deed | None] = {}
    for name, action in chosen.items():
        actions[name] = None if action is None else DEEDS.get(action)
        if action is not None and action not in DEEDS:
            place = f"/instance_actions/{name}" if name in given.instance_actions else "/instance_action"
            flaws.append(Flaw(place, f"use one of: {_WORDS}"))
    if flaws:
        raise RejectedError("the reply is wrong", flaws=flaws)
    return Answered(Step(rest), word == "ACK", actions)


def reply_of(answer: Answered, actions: Mapping[str, Deed | None]) -> Reply:
    """Return an answer to what is to be done to machines. He who agrees has switched over, and is ready."""
    return Reply(actions, refusal=None if answer.agrees else "", ready=answer.agrees)


# --- constraints ---


class InstanceIn(msgspec.Struct, kw_only=True):
    """What a VNF manager says beforehand of a machine. Times are in seconds.

    ``migration_type`` is done if it does not answer when it is asked, which it is for at least ``lead_time``; with
    `OWN_ACTION` nothing is done without it. ``resource_mitigation`` is taken and changes nothing: who is asked to scale in
    may always refuse.
    """

    instance_id: Name | None = None
    project_id: Name | None = None
    group_id: Name | None = None
    instance_name: str | None = None
    max_interruption_time: Annotated[float, msgspec.Meta(ge=0, le=86400)] | None = None
    migration_type: Annotated[str, msgspec.Meta(max_length=64)] = "OWN_ACTION"
    resource_mitigation: bool = False
    lead_time: Annotated[float, msgspec.Meta(ge=0, le=7 * 86400)] = 0


class InstanceOut(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a machine."""

    instance_id: str
    project_id: str
    group_id: str | None
    instance_name: str | None
    max_interruption_time: float | None
    migration_type: str
    lead_time: float


class GroupIn(msgspec.Struct, kw_only=True):
    """What a VNF manager says of a group of its machines. ``max_instances_per_host`` 0 is no limit."""

    group_id: Name | None = None
    project_id: Name | None = None
    group_name: Annotated[str, msgspec.Meta(max_length=255)] = ""
    anti_affinity_group: bool = False
    max_instances_per_host: Annotated[int, msgspec.Meta(ge=0, le=10**6)] = 0
    max_impacted_members: Annotated[int, msgspec.Meta(ge=0, le=10**6)] | None = None
    recovery_time: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0
    resource_mitigation: bool = False


class GroupOut(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a group."""

    group_id: str
    project_id: str
    group_name: str
    anti_affinity_group: bool
    max_instances_per_host: int
    max_impacted_members: int | None
    recovery_time: float


def policy_of(given: InstanceIn, machine: str, project: str) -> MaintenancePolicy:
    """Return what is said of a machine as a policy of its owner.

    Raises:
        RejectedError: Fenix has no such migration type.
    """
    deed = DEEDS.get(given.migration_type)
    if deed is None:
        flaw = Flaw("/migration_type", f"use one of: {_WORDS}")
        raise RejectedError("the constraints are wrong", flaws=[flaw])
    most = given.max_interruption_time
    if most is not None and deed is Deed.MIGRATE and most < _MIGRATION.total_seconds():
        most = None  # Fenix' clients mean live migration by it, and this one has chosen the other
    return MaintenancePolicy(
        project=project,
        scope=Scope(ScopeKind.MACHINE, machine),
        action=Deed.ASK,
        if_silent=Deed.LEAVE if deed is Deed.OWN_ACTION else deed,
        lead_time=timedelta(seconds=given.lead_time),
        tolerated_interruption=most,
    )


def instance_out(policy: MaintenancePolicy, machine: VirtualResource | None) -> InstanceOut:
    """Return what holds for a machine in Fenix' words."""
    deed = policy.if_silent if policy.action is Deed.ASK else policy.action
    return InstanceOut(
        instance_id=policy.scope.name,
        project_id=policy.project,
        group_id=None if machine is None else machine.group,
        instance_name=None if machine is None else machine.name,
        max_interruption_time=policy.tolerated_interruption,
        migration_type=ACTIONS.get(deed, ACTIONS[Deed.OWN_ACTION]),
        lead_time=policy.lead_time.total_seconds(),
    )


def group_of(given: GroupIn, name: str, known: Group) -> Group:
    """Return what is said of a group; its members are those that it has."""
    most = given.max_instances_per_host or None
    return msgspec.structs.replace(
        known,
        name=name,
        label=given.group_name,
        max_out=given.max_impacted_members,
        recovery_time=given.recovery_time,
        max_per_host=(most or 1) if given.anti_affinity_group else most,
    )


def group_out(group: Group) -> GroupOut:
    """Return what is said of a group in Fenix' words."""
    return GroupOut(
        group_id=group.name,
        project_id=group.project,
        group_name=group.label,
        anti_affinity_group=group.max_per_host == 1,
        max_instances_per_host=group.max_per_host or 0,
        max_impacted_members=group.max_out,
        recovery_time=group.recovery_time or 0,
    )
