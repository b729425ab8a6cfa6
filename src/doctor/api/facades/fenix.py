"""Fenix' doors (service type ``maintenance``): its administrators and VNF managers work unchanged.

A session is one of Doctor's that empties hosts one after the other and gives each back by itself. What VNF managers say of
machines and groups are policies and groups of their owner, and their replies are answers like any other. What Fenix does
badly is not copied: sessions outlive a restart, and a project that is silent fails none.
"""

import re
from collections.abc import Awaitable, Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from doctor.api.operation import Answer, Call, operation
from doctor.api.problem import HttpRejectedError
from doctor.api.roles import ADMINISTRATORS, OVERSEERS, OWNERS, READERS
from doctor.api.scoped import project_of
from doctor.api.wire.fenix import (
    GroupIn,
    GroupOut,
    InstanceIn,
    InstanceOut,
    Instances,
    Nothing,
    ReplyIn,
    SessionDetail,
    SessionIn,
    SessionMade,
    Sessions,
    SessionStep,
    answer_of,
    detail_of,
    group_of,
    group_out,
    instance_out,
    policy_of,
    reply_of,
    request_of,
    step_of,
)
from doctor.flows.group import GroupFlow
from doctor.flows.maintenance_desk import MaintenanceDesk
from doctor.flows.maintenance_policy import MaintenancePolicyFlow
from doctor.flows.situation import Situation
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.fenix import Step
from doctor.model.group import Group
from doctor.model.identity import Identity, Role
from doctor.model.maintenance import Deed, HostStage, MaintenancePolicy, Session
from doctor.model.scope import Scope, ScopeKind

TAG = "Fenix"
BASE = "/maintenance/v1"
FULL = 509  # as Fenix says it
_SESSION = {
    "hosts": [],
    "state": "MAINTENANCE",
    "maintenance_at": "2027-01-05 02:00:00",
    "metadata": {"openstack_version": "Queens"},
    "workflow": "default",
}
_REPLY = {"state": "ACK_PLANNED_MAINTENANCE", "instance_action": "MIGRATE"}
_INSTANCE = {"group_id": "core", "migration_type": "MIGRATE", "lead_time": 40, "max_interruption_time": 120}
_GROUP = {"group_name": "core", "anti_affinity_group": True, "max_impacted_members": 1, "recovery_time": 4}

T = TypeVar("T")


class ProjectQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose; the Administrator has to say it."""

    project_id: str | None = None


class FenixDoor:
    """Fenix' operations."""

    def __init__(
        self,
        situation: Situation,
        maintenance: MaintenanceDesk,
        policies: MaintenancePolicyFlow,
        groups: GroupFlow,
    ) -> None:
        self._situation = situation
        self._maintenance = maintenance
        self._policies = policies
        self._groups = groups

    # --- the Administrator ---

    @operation(
        "POST",
        f"{BASE}/maintenance",
        tag=TAG,
        roles=ADMINISTRATORS,
        example=_SESSION,
        answers={
            200: "The session is open.",
            409: "A guard is against it, which is said: a zone, a group, the capacity.",
            FULL: "Too many sessions are open.",
        },
    )
    async def create_fenix_session(self, call: Call[SessionIn, None]) -> Answer[SessionMade]:
        """Open a session: hosts are emptied one after the other from `maintenance_at` on, and serve again by themselves."""
        hosts = [] if call.body.hosts else self._all_hosts()
        try:
            session = await _told(
                self._maintenance.create(call.identity, request_of(call.body, hosts)), _OF_SESSIONS
            )
        except RejectedError as error:
            if error.reason is Reason.TOO_MANY:
                raise HttpRejectedError(FULL, error.detail) from None
            raise
        return Answer(SessionMade(session.session_id))

    def _all_hosts(self) -> list[str]:
        """Return the hosts that can be emptied: what is out already is healed, and not worked on."""
        situation = self._situation
        return [one.id for one in situation.resources.hosts() if not situation.book.state_of(one.id).is_out]

    @operation("GET", f"{BASE}/maintenance", tag=TAG, roles=OVERSEERS, lenient=True)
    async def list_fenix_sessions(self, call: Call[None, None]) -> Answer[Sessions]:
        """List the ids of all sessions, however they were opened, until they are deleted."""
        found = [one.session_id for one in self._maintenance.all(call.identity) if one.withdrawn is None]
        return Answer(Sessions(found))

    @operation("GET", f"{BASE}/maintenance/{{session_id}}", tag=TAG, roles=OVERSEERS, lenient=True)
    async def get_fenix_session(self, call: Call[None, None]) -> Answer[SessionStep]:
        """Tell how far a session is."""
        return Answer(SessionStep(self._step(self._session(call))))

    @operation("GET", f"{BASE}/maintenance/{{session_id}}/detail", tag=TAG, roles=OVERSEERS, lenient=True)
    async def get_fenix_session_detail(self, call: Call[None, None]) -> Answer[SessionDetail]:
        """Show a session with its hosts and machines."""
        session = self._session(call)
        works, machines = self._maintenance.works(session), self._situation.resources.virtual
        return Answer(detail_of(session, works, machines, self._step(session)))

    @operation(
        "DELETE",
        f"{BASE}/maintenance/{{session_id}}",
        tag=TAG,
        roles=ADMINISTRATORS,
        lenient=True,
        answers={200: "It is called off, if it was not over, and its hosts serve as before."},
    )
    async def delete_fenix_session(self, call: Call[None, None]) -> Answer[Nothing]:
        """Call a session off if it is not over, and list it no more. Doctor's own record of it stays."""
        session = self._session(call)
        await self._maintenance.withdraw(call.identity, session.session_id)
        return Answer(Nothing())

    def _session(self, call: Call[None, None]) -> Session:
        found = self._maintenance.get(call.identity, call.path["session_id"])
        if found.withdrawn is not None:
            raise _no_session()
        return found

    def _step(self, session: Session) -> Step:
        works = self._maintenance.works(session)
        return step_of(session, works, moves_again=self._maintenance.moves_again)

    # --- projects ---

    @operation(
        "GET", f"{BASE}/maintenance/{{session_id}}/{{project_id}}", tag=TAG, roles=READERS, lenient=True
    )
    async def get_fenix_instances(self, call: Call[None, None]) -> Answer[Instances]:
        """List the machines of a project that a session is about now."""
        identity = _speaker(call.identity, call.path["project_id"])
        session = self._maintenance.get(identity, call.path["session_id"])
        works = self._maintenance.works(session)
        emptying = [one for one in works if one.stage is HostStage.EMPTYING]
        if emptying:
            return Answer(
                Instances(
                    [
                        guest.resource_id
                        for work in emptying
                        for guest in work.guests
                        if guest.owner == identity.scope and not guest.state.is_out_of_the_way
                    ]
                )
            )
        resources = self._situation.resources
        return Answer(
            Instances(
                [
                    name
                    for work in works
                    for name in resources.machines_on(work.host)
                    if resources.virtual[name].owner == identity.scope
                ]
            )
        )

    @operation(
        "PUT",
        f"{BASE}/maintenance/{{session_id}}/{{project_id}}",
        tag=TAG,
        roles=OWNERS,
        lenient=True,
        example={"state": "ACK_MAINTENANCE"},
        answers={200: "It counts.", 409: "It is too late, or that cannot be done to a machine."},
    )
    async def reply_to_fenix_session(self, call: Call[ReplyIn, None]) -> Answer[Nothing]:
        """Answer for a project: `ACK_` or `NACK_` and the state that it was told."""
        await self._reply(call, None)
        return Answer(Nothing())

    @operation(
        "PUT",
        f"{BASE}/maintenance/{{session_id}}/{{project_id}}/{{instance_id}}",
        tag=TAG,
        roles=OWNERS,
        lenient=True,
        example=_REPLY,
        answers={200: "It counts.", 409: "It is too late, or that cannot be done to the machine."},
    )
    async def reply_for_fenix_instance(self, call: Call[ReplyIn, None]) -> Answer[Nothing]:
        """Answer for one machine. Who agrees has switched over: Doctor waits for nothing else."""
        await self._reply(call, call.path["instance_id"])
        return Answer(Nothing())

    async def _reply(self, call: Call[ReplyIn, None], machine: str | None) -> None:
        identity = _speaker(call.identity, call.path["project_id"])
        session = self._maintenance.get(identity, call.path["session_id"])
        answer = answer_of(call.body, session.session_id, machine)
        if not answer.step.asks_for_machines and (answer.agrees or answer.step is not Step.MAINTENANCE):
            return  # it was told something, and says that it heard it
        actions = {name: deed or self._said_beforehand(name) for name, deed in answer.actions.items()}
        said = self._maintenance.reply(identity, session.session_id, reply_of(answer, actions))
        await _told(said, _OF_REPLIES)

    def _said_beforehand(self, name: str) -> Deed | None:
        """Return what a VNF manager wants that agrees and does not say to what."""
        machine = self._situation.resources.virtual.get(name)
        policy = None if machine is None else self._policies.holding(machine)
        return None if policy is None or policy.if_silent is Deed.LEAVE else policy.if_silent

    # --- what VNF managers say beforehand ---

    @operation("GET", f"{BASE}/instance/{{instance_id}}", tag=TAG, roles=READERS, lenient=True)
    async def get_fenix_instance(self, call: Call[None, None]) -> Answer[InstanceOut]:
        """Show what holds for a machine of mine."""
        name = call.path["instance_id"]
        policy = self._policy(call.identity, name)
        return Answer(instance_out(policy, self._situation.resources.virtual.get(name)))

    @operation(
        "PUT",
        f"{BASE}/instance/{{instance_id}}",
        tag=TAG,
        roles=OWNERS,
        lenient=True,
        example=_INSTANCE,
    )
    async def put_fenix_instance(self, call: Call[InstanceIn, None]) -> Answer[InstanceOut]:
        """Say how a machine of mine may leave its host: its owner's maintenance policy, and the group that it is in."""
        name, given = call.path["instance_id"], call.body
        machine = self._policies.machine(call.identity, name)
        _agree(given.instance_id, name, "/instance_id")
        _agree(given.project_id, machine.owner, "/project_id")
        policy, user = policy_of(given, name, machine.owner), call.identity.name
        if given.group_id is None:
            await self._groups.leave(machine.owner, name, user=user)
        else:
            await self._groups.join(machine.owner, given.group_id, name, user=user)
        made = await _told(self._policies.put(policy, user=user), _OF_POLICIES)
        return Answer(instance_out(made, self._situation.resources.virtual.get(name)))

    @operation(
        "DELETE",
        f"{BASE}/instance/{{instance_id}}",
        tag=TAG,
        roles=OWNERS,
        lenient=True,
        answers={200: "Nothing is said of it any more."},
    )
    async def delete_fenix_instance(self, call: Call[None, None]) -> Answer[Nothing]:
        """Take back what was said of a machine, also of one that is gone."""
        name, user = call.path["instance_id"], call.identity.name
        policy = self._policy(call.identity, name)
        await self._groups.leave(policy.project, name, user=user)
        await self._policies.forget(policy.project, policy.scope, user=user)
        return Answer(Nothing())

    def _policy(self, identity: Identity, machine: str) -> MaintenancePolicy:
        scope = Scope(ScopeKind.MACHINE, machine)
        found = next((one for one in self._policies.all(identity) if one.scope == scope), None)
        if found is None:
            raise RejectedError("nothing is said of such a machine", reason=Reason.NOT_FOUND)
        return found

    @operation("GET", f"{BASE}/instance_group/{{group_id}}", tag=TAG, roles=READERS)
    async def get_fenix_group(self, call: Call[None, ProjectQuery]) -> Answer[GroupOut]:
        """Show what holds for a group of mine."""
        return Answer(group_out(self._group(call.identity, call.query, call.path["group_id"])))

    @operation("PUT", f"{BASE}/instance_group/{{group_id}}", tag=TAG, roles=OWNERS, example=_GROUP)
    async def put_fenix_group(self, call: Call[GroupIn, ProjectQuery]) -> Answer[GroupOut]:
        """Say what a group of mine bears; who is in it is said machine by machine."""
        name, given = call.path["group_id"], call.body
        _agree(given.group_id, name, "/group_id")
        project = project_of(call.identity, given.project_id or call.query.project_id)
        known = self._situation.groups.get(project, name) or Group(project=project, name=name)
        made = group_of(given, name, known)
        await self._groups.put(made, user=call.identity.name)
        return Answer(group_out(made))

    @operation(
        "DELETE",
        f"{BASE}/instance_group/{{group_id}}",
        tag=TAG,
        roles=OWNERS,
        answers={200: "Nothing is said of it any more."},
    )
    async def delete_fenix_group(self, call: Call[None, ProjectQuery]) -> Answer[Nothing]:
        """Take back what was said of a group."""
        group = self._group(call.identity, call.query, call.path["group_id"])
        await self._groups.forget(group.project, group.name, user=call.identity.name)
        return Answer(Nothing())

    def _group(self, identity: Identity, query: ProjectQuery, name: str) -> Group:
        found = self._situation.groups.get(project_of(identity, query.project_id), name)
        if found is None:
            raise RejectedError("nothing is said of such a group", reason=Reason.NOT_FOUND)
        return found


def _speaker(identity: Identity, project: str) -> Identity:
    """Return who speaks for a project: one of it, or the Administrator in its name.

    Raises:
        RejectedError: it is somebody else's.
    """
    if identity.scope not in (None, project):
        raise _no_session()
    return replace(identity, role=Role.CONSUMER, project=project)


def _no_session() -> RejectedError:
    return RejectedError("there is no such session", reason=Reason.NOT_FOUND)


def _agree(given: str | None, known: str, pointer: str) -> None:
    if given not in (None, known):
        detail = f"is {given!r} here, and the request is about {known!r}"
        raise RejectedError("the request is wrong", flaws=[Flaw(pointer, detail)])


Places = Mapping[str, str]  # in our documents, as patterns, with what Fenix calls them

_OF_SESSIONS: Places = {
    r"/physical_resource_state(/\d+)?(/\w+)?": r"/hosts\1",
    r"/starts_at": "/maintenance_at",
    r"/actions/(\d+)(/name)?": r"/actions/\1/plugin",
}
_OF_REPLIES: Places = {r"/actions/(.*)": r"/instance_actions/\1"}
_OF_POLICIES: Places = {r"/if_silent|/action": "/migration_type"}


async def _told(done: Awaitable[T], places: Places) -> T:
    """Await something; what is wrong is told in the places of Fenix' documents."""
    try:
        return await done
    except RejectedError as error:
        flaws = [Flaw(_there(one.pointer, places), one.detail) for one in error.flaws]
        raise RejectedError(error.detail, reason=error.reason, flaws=flaws) from None


def _there(pointer: str, places: Places) -> str:
    for ours, theirs in places.items():
        if found := re.fullmatch(ours, pointer):
            return found.expand(theirs)
    return pointer
