"""The doors to maintenance [D 3.4.2, 5.5.2]: hosts are asked for, owners answer, and what they have said beforehand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec

from doctor.api.operation import EVENT_STREAM, Answer, Call, ServerSentEvent, operation
from doctor.api.owned import Described, Several, is_in
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import ADMINISTRATORS, OWNERS, READERS
from doctor.api.scoped import SCOPES, PoliciesQuery, ProjectQuery, scope_of, speaks_for
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.api.wire.maintenance import (
    ActionOut,
    GuestOut,
    PlanOut,
    PolicyIn,
    PolicyOut,
    ReplyIn,
    SessionLine,
    SessionOut,
    StateChangeIn,
    StateChangeOut,
    actions_out,
    guest_out,
    plan_out,
    policy_of,
    policy_out,
    reply_of,
    request_of,
    session_line,
    session_out,
)
from doctor.flows.maintenance_desk import MaintenanceDesk
from doctor.flows.maintenance_policy import MaintenancePolicyFlow
from doctor.model.errors import Flaw, RejectedError
from doctor.model.identity import Identity
from doctor.model.maintenance import HostWork, MaintenancePolicy, Session, SessionState
from doctor.model.scope import ScopeKind

TAG = "Maintenance"
GATHERS = 0.25  # seconds in which what changes is told together
_REQUEST = {
    "physical_resource_state": [
        {"physical_resource_id": "compute-1", "physical_resource_state": "maintenance", "metadata": {}}
    ],
    "timeout": "PT30M",
    "reason": "firmware",
}
_REPLY = {"reply": "ack", "actions": {"vm-1-1": "migrate"}}
_POLICY = {"action": "ask", "if_silent": "live_migrate", "lead_time": "PT5M"}
_KEYS: dict[str, Callable[[Session], Key]] = {
    "created": lambda one: microseconds(one.created),
    "starts_at": lambda one: microseconds(one.starts),
}
_POLICY_KEYS: dict[str, Callable[[MaintenancePolicy], Key]] = {"scope": lambda one: str(one.scope)}


class SessionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which sessions; `open` are those of which something may still come. ``host`` is for the Administrator."""

    state: Literal["open", "over", "all"] = "all"
    outcome: list[SessionState] = []
    host: Several = frozenset()
    sort: Literal["created", "-created", "starts_at", "-starts_at"] = "-created"


class ReasonQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Why."""

    reason: Described = ""


class MaintenanceDoor:
    """The operations on maintenance."""

    def __init__(self, maintenance: MaintenanceDesk, policies: MaintenancePolicyFlow) -> None:
        self._maintenance = maintenance
        self._policies = policies

    # --- the Administrator ---

    @operation(
        "POST",
        "/v1/physical-resources/state",
        tag=TAG,
        roles=ADMINISTRATORS,
        example=_REQUEST,
        answers={
            202: "It is under way; the one StateChangeResponse tells how it ended.",
            409: "A guard is against it, which is said: a zone, a group, the capacity.",
        },
    )
    async def change_state(self, call: Call[StateChangeIn, None]) -> Answer[StateChangeOut]:
        """Ask for hosts to be emptied (StateChangeRequest of [D 5.5.2]), give them back, or say that they are down.

        `maintenance` opens a session: owners are told and asked, machines leave, the host is in maintenance when it is
        empty, or serves as before when its time is over. `normal` gives hosts back after the work; those that were shut
        down for it are started again. `down` says that hosts have failed, with all that runs on them, until `normal`.
        """
        wanted = {one.physical_resource_state for one in call.body.physical_resource_state}
        if len(wanted) > 1:
            flaw = Flaw("/physical_resource_state", "one state for all: send one request for each")
            raise RejectedError("the request is wrong", flaws=[flaw])
        names = [one.physical_resource_id for one in call.body.physical_resource_state]
        match wanted.pop():
            case "maintenance":
                session = await self._maintenance.create(call.identity, request_of(call.body))
                return Answer(
                    StateChangeOut(session_id=session.session_id, state=session.state, hosts=session.hosts),
                    202,
                )
            case "normal":
                done = await self._maintenance.take_back(call.identity, names)
            case _:
                done = await self._maintenance.say_down(call.identity, names, call.body.reason)
        return Answer(StateChangeOut(session_id=None, state=None, hosts=tuple(done)), 202)

    @operation(
        "POST",
        "/v1/maintenance/plan",
        tag=TAG,
        roles=ADMINISTRATORS,
        example=_REQUEST,
        answers={200: "What it would come to; nothing is done, and nobody is told."},
    )
    async def plan_maintenance(self, call: Call[StateChangeIn, None]) -> Answer[PlanOut]:
        """Try a request to empty hosts: hosts, machines, owners, order, where machines would go, and what is against it."""
        found, weighed = await self._maintenance.plan(request_of(call.body))
        return Answer(plan_out(found, weighed))

    @operation("POST", "/v1/maintenance/{session_id}/approve", tag=TAG, roles=ADMINISTRATORS)
    async def approve_maintenance(self, call: Call[None, None]) -> Answer[SessionOut]:
        """Agree, as a second person, to a session that a guard is against."""
        session = await self._maintenance.approve(call.identity, call.path["session_id"])
        return Answer(self._shown(session, None))

    @operation("POST", "/v1/maintenance/{session_id}/pause", tag=TAG, roles=ADMINISTRATORS)
    async def pause_maintenance(self, call: Call[None, None]) -> Answer[SessionOut]:
        """Begin nothing new. What is under way goes on to its end, and so do the deadlines."""
        session = await self._maintenance.pause(call.identity, call.path["session_id"], is_paused=True)
        return Answer(self._shown(session, None))

    @operation("POST", "/v1/maintenance/{session_id}/resume", tag=TAG, roles=ADMINISTRATORS)
    async def resume_maintenance(self, call: Call[None, None]) -> Answer[SessionOut]:
        """Go on with a session that was paused."""
        session = await self._maintenance.pause(call.identity, call.path["session_id"], is_paused=False)
        return Answer(self._shown(session, None))

    @operation(
        "DELETE",
        "/v1/maintenance/{session_id}",
        tag=TAG,
        roles=ADMINISTRATORS,
        answers={200: "Its hosts serve as before, and what was shut down is started again."},
    )
    async def abort_maintenance(self, call: Call[None, ReasonQuery]) -> Answer[SessionOut]:
        """Call a session off. 409 if it is over."""
        session = await self._maintenance.abort(call.identity, call.path["session_id"], call.query.reason)
        return Answer(self._shown(session, None))

    @operation(
        "POST",
        "/v1/maintenance/{session_id}/retry",
        tag=TAG,
        roles=ADMINISTRATORS,
        answers={409: "Nothing has failed on its hosts that could be run again, or it is over."},
    )
    async def retry_maintenance(self, call: Call[None, None]) -> Answer[SessionOut]:
        """Run once more the actions that have failed on hosts, and go on."""
        session = await self._maintenance.retry(call.identity, call.path["session_id"])
        return Answer(self._shown(session, None))

    @operation("GET", "/v1/maintenance/actions", tag=TAG, roles=ADMINISTRATORS)
    async def list_maintenance_actions(self, call: Call[None, None]) -> Answer[Page[ActionOut]]:
        """List the actions that can be asked for, as the settings name them."""
        return Answer(Page(items=actions_out(self._maintenance.actions), next=None))

    # --- all ---

    @operation("GET", "/v1/maintenance", tag=TAG, roles=READERS)
    async def list_maintenance(self, call: Call[None, SessionsQuery]) -> Answer[Page[SessionLine]]:
        """List sessions: those in which machines of mine are, the Administrator all."""
        query, scope = call.query, call.identity.scope
        if scope is not None and query.host:
            raise RejectedError(
                "only the Administrator may ask for hosts",
                flaws=[Flaw("/host", "only for the Administrator")],
            )

        def is_wanted(one: Session) -> bool:
            return (
                (query.state == "all" or self._maintenance.is_open(one) is (query.state == "open"))
                and (not query.outcome or one.state in query.outcome)
                and (not query.host or any(is_in(host, query.host) for host in one.hosts))
            )

        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.session_id)
        page = await sorted_page(
            self._maintenance.all(call.identity),
            query,
            order,
            is_wanted,
            lambda one: session_line(one, self._maintenance.works(one), scope),
        )
        return Answer(page)

    @operation("GET", "/v1/maintenance/{session_id}", tag=TAG, roles=READERS)
    async def get_maintenance(self, call: Call[None, None]) -> Answer[SessionOut]:
        """Show a session: how far it is with each host and machine, and what is in the way."""
        session = self._maintenance.get(call.identity, call.path["session_id"])
        return Answer(self._shown(session, call.identity.scope))

    @operation(
        "GET",
        "/v1/maintenance/{session_id}/stream",
        tag=TAG,
        roles=READERS,
        produces=EVENT_STREAM,
        answers={
            404: "There is no such session.",
            200: "Server-sent events, each a session with those of its hosts and machines that have changed.",
        },
    )
    async def stream_maintenance(self, call: Call[None, None]) -> Answer[AsyncIterator[ServerSentEvent]]:
        """Follow a session: first all that there is, then what changes, until nothing more will.

        As long as nothing changes it costs nothing. When the connection breaks, ask again: it begins with everything.
        """
        session = self._maintenance.get(call.identity, call.path["session_id"])
        return Answer(self._stream(call.identity, session.session_id))

    async def _stream(self, identity: Identity, session_id: str) -> AsyncIterator[ServerSentEvent]:
        before: Session | None = None
        known: dict[str, HostWork] = {}
        while True:
            watcher = self._maintenance.watcher(session_id)
            try:
                session = self._maintenance.get(identity, session_id)
            except RejectedError:  # it is forgotten, or none of his machines is in it any more
                return
            works = self._maintenance.works(session)
            shown = session_out(session, works, identity.scope, known)
            known = {one.host: one for one in works}
            if session != before or shown.hosts or shown.machines:
                yield ServerSentEvent(event="session", data=msgspec.json.encode(shown).decode())
            before = session
            if not self._maintenance.is_open(session):
                return
            await watcher.wait()
            await asyncio.sleep(GATHERS)

    @operation(
        "POST",
        "/v1/maintenance/{session_id}/replies",
        tag=TAG,
        roles=OWNERS,
        example=_REPLY,
        answers={
            200: "What counts for each machine now.",
            409: "It is too late for a machine, or that cannot be done to it.",
        },
    )
    async def reply_to_maintenance(self, call: Call[ReplyIn, None]) -> Answer[list[GuestOut]]:
        """Answer what I was asked: ACK with what is to be done to which machine, or NACK.

        It can be said otherwise until the host is done with. Nothing is done where anything of the answer is wrong.
        """
        answered = await self._maintenance.reply(call.identity, call.path["session_id"], reply_of(call.body))
        return Answer([guest_out(one, call.identity.scope) for one in answered])

    def _shown(self, session: Session, scope: str | None) -> SessionOut:
        return session_out(session, self._maintenance.works(session), scope)

    # --- what owners have said beforehand ---

    @operation("GET", "/v1/maintenance-policies", tag=TAG, roles=READERS)
    async def list_maintenance_policies(self, call: Call[None, PoliciesQuery]) -> Answer[Page[PolicyOut]]:
        """List what I have said beforehand, the Administrator what all have."""
        query = call.query
        order = Order(query.sort, query.cursor, _POLICY_KEYS, lambda one: f"{one.project} {one.scope}")
        rows = self._policies.all(call.identity)
        page = await sorted_page(
            rows, query, order, lambda one: is_in(one.project, query.project), self._policy
        )
        return Answer(page)

    @operation("GET", "/v1/maintenance-policies/{scope}", tag=TAG, roles=READERS, path_help=SCOPES)
    async def get_maintenance_policy(self, call: Call[None, ProjectQuery]) -> Answer[PolicyOut]:
        """Show the policy of a scope."""
        scope = scope_of(call.path["scope"])
        project = speaks_for(self._policies, call.identity, scope, call.query.project)
        return Answer(self._policy(self._policies.get(project, scope)))

    @operation(
        "PUT", "/v1/maintenance-policies/{scope}", tag=TAG, roles=OWNERS, path_help=SCOPES, example=_POLICY
    )
    async def put_maintenance_policy(self, call: Call[PolicyIn, ProjectQuery]) -> Answer[PolicyOut]:
        """Say beforehand what may be done to machines of mine whose host is to be emptied.

        The narrower one holds: of a machine, of its group, of its level. Where nothing is said I am asked, and where I do
        not answer the machine stays.
        """
        scope = scope_of(call.path["scope"])
        if scope.kind is ScopeKind.MACHINE:
            self._policies.machine(call.identity, scope.name)
        project = speaks_for(self._policies, call.identity, scope, call.query.project)
        made = await self._policies.put(policy_of(call.body, project, scope), user=call.identity.name)
        return Answer(self._policy(made))

    @operation(
        "DELETE",
        "/v1/maintenance-policies/{scope}",
        tag=TAG,
        roles=OWNERS,
        path_help=SCOPES,
        answers={204: "Nothing is said for this scope any more."},
    )
    async def delete_maintenance_policy(self, call: Call[None, ProjectQuery]) -> Answer[None]:
        """Take back what I have said. What was decided by it stays decided."""
        scope = scope_of(call.path["scope"])
        project = speaks_for(self._policies, call.identity, scope, call.query.project)
        await self._policies.forget(project, scope, user=call.identity.name)
        return Answer(None, 204)

    def _policy(self, policy: MaintenancePolicy) -> PolicyOut:
        return policy_out(policy, len(self._policies.machines_of(policy)))
