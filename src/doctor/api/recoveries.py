"""The doors to predefined recovery: what owners say beforehand, and how far that got [D 3.3.6; HA 6.2]."""

from collections.abc import Callable
from typing import Literal

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Several, is_in
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import OWNERS, READERS
from doctor.api.scoped import SCOPES, PoliciesQuery, ProjectQuery, scope_of, speaks_for
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.api.wire.recovery import (
    HoldingOut,
    RecoveryOut,
    RecoveryPolicyIn,
    RecoveryPolicyOut,
    policy_of,
    policy_out,
    recovery_out,
)
from doctor.flows.recovery import RecoveryFlow
from doctor.flows.recovery_policy import RecoveryPolicyFlow
from doctor.model.identity import Identity
from doctor.model.recovery import Recovery, RecoveryPolicy, RecoveryState
from doctor.model.scope import Scope, ScopeKind

TAG = "Recovery"
_EXAMPLE = {
    "steps": [{"action": "reboot", "timeout": "PT2M"}, {"action": "evacuate", "timeout": "PT5M"}],
    "handled_by": "doctor",
    "after": "PT30S",
    "start_on_return": True,
}
_KEYS: dict[str, Callable[[Recovery], Key]] = {"since": lambda one: microseconds(one.since)}
_POLICY_KEYS: dict[str, Callable[[RecoveryPolicy], Key]] = {"scope": lambda one: str(one.scope)}


class RecoveryQuery(PageQuery, frozen=True, kw_only=True):
    """Which recoveries. `open` are those of machines that are not well yet."""

    state: Literal["open", "over", "all"] = "all"
    outcome: list[RecoveryState] = []
    virtual_resource_id: Several = frozenset()
    sort: Literal["since", "-since"] = "-since"


class RecoveriesDoor:
    """The operations on recoveries and their policies."""

    def __init__(self, recoveries: RecoveryFlow, policies: RecoveryPolicyFlow) -> None:
        self._recoveries = recoveries
        self._policies = policies

    # --- policies ---

    @operation("GET", "/v1/recovery-policies", tag=TAG, roles=READERS)
    async def list_recovery_policies(
        self, call: Call[None, PoliciesQuery]
    ) -> Answer[Page[RecoveryPolicyOut]]:
        """List what I have said beforehand, the Administrator what all have. Wishes that stand with machines are not in it."""
        query = call.query
        order = Order(query.sort, query.cursor, _POLICY_KEYS, lambda one: f"{one.project} {one.scope}")
        rows = self._policies.all(call.identity)
        page = await sorted_page(
            rows, query, order, lambda one: is_in(one.project, query.project), self._shown
        )
        return Answer(page)

    @operation("GET", "/v1/recovery-policies/{scope}", tag=TAG, roles=READERS, path_help=SCOPES)
    async def get_recovery_policy(self, call: Call[None, ProjectQuery]) -> Answer[RecoveryPolicyOut]:
        """Show the policy of a scope."""
        scope = scope_of(call.path["scope"])
        project = speaks_for(self._policies, call.identity, scope, call.query.project)
        return Answer(self._shown(self._policies.get(project, scope)))

    @operation(
        "PUT",
        "/v1/recovery-policies/{scope}",
        tag=TAG,
        roles=OWNERS,
        path_help=SCOPES,
        example=_EXAMPLE,
    )
    async def put_recovery_policy(
        self, call: Call[RecoveryPolicyIn, ProjectQuery]
    ) -> Answer[RecoveryPolicyOut]:
        """Say beforehand what is to be done to machines of mine that fail.

        The narrower one holds: of a machine, the wish that stands with it in the map, of its group, of its level. Where
        nothing is said nothing is done. It holds at once, also for machines that are out already.
        """
        scope = scope_of(call.path["scope"])
        if scope.kind is ScopeKind.MACHINE:
            self._policies.machine(call.identity, scope.name)
        project = speaks_for(self._policies, call.identity, scope, call.query.project)
        return await self._put(call.body, project, scope, call.identity)

    @operation(
        "DELETE",
        "/v1/recovery-policies/{scope}",
        tag=TAG,
        roles=OWNERS,
        path_help=SCOPES,
        answers={204: "Nothing is said for this scope any more."},
    )
    async def delete_recovery_policy(self, call: Call[None, ProjectQuery]) -> Answer[None]:
        """Take back what I have said. A step that was begun goes on to its end."""
        scope = scope_of(call.path["scope"])
        project = speaks_for(self._policies, call.identity, scope, call.query.project)
        await self._policies.forget(project, scope, user=call.identity.name)
        return Answer(None, 204)

    @operation("GET", "/v1/virtual-resources/{virtual_resource_id}/recovery-policy", tag=TAG, roles=READERS)
    async def get_holding_policy(self, call: Call[None, None]) -> Answer[HoldingOut]:
        """Show what holds for a machine, and from which scope it comes."""
        machine = self._policies.machine(call.identity, call.path["virtual_resource_id"])
        found = self._policies.holding(machine)
        return Answer(
            HoldingOut(
                virtual_resource_id=machine.id,
                policy=None if found is None else self._shown(found),
                unread_wish=self._policies.unread_wish(machine),
            )
        )

    @operation(
        "PUT",
        "/v1/virtual-resources/{virtual_resource_id}/recovery-policy",
        tag=TAG,
        roles=OWNERS,
        example=_EXAMPLE,
    )
    async def put_policy_of_machine(self, call: Call[RecoveryPolicyIn, None]) -> Answer[RecoveryPolicyOut]:
        """Say beforehand what is to be done to a machine that fails: the policy of the scope `machine:ID`."""
        machine = self._policies.machine(call.identity, call.path["virtual_resource_id"])
        return await self._put(call.body, machine.owner, Scope(ScopeKind.MACHINE, machine.id), call.identity)

    @operation(
        "DELETE",
        "/v1/virtual-resources/{virtual_resource_id}/recovery-policy",
        tag=TAG,
        roles=OWNERS,
        answers={204: "Nothing is said for the machine itself any more."},
    )
    async def delete_policy_of_machine(self, call: Call[None, None]) -> Answer[None]:
        """Take back what I have said of a machine; what is said of its group or level holds again."""
        machine = self._policies.machine(call.identity, call.path["virtual_resource_id"])
        scope = Scope(ScopeKind.MACHINE, machine.id)
        await self._policies.forget(machine.owner, scope, user=call.identity.name)
        return Answer(None, 204)

    async def _put(
        self, given: RecoveryPolicyIn, project: str, scope: Scope, identity: Identity
    ) -> Answer[RecoveryPolicyOut]:
        made = await self._policies.put(policy_of(given, project, scope), user=identity.name)
        return Answer(self._shown(made))

    def _shown(self, policy: RecoveryPolicy) -> RecoveryPolicyOut:
        return policy_out(policy, len(self._policies.machines_of(policy)))

    # --- recoveries ---

    @operation("GET", "/v1/recoveries", tag=TAG, roles=READERS)
    async def list_recoveries(self, call: Call[None, RecoveryQuery]) -> Answer[Page[RecoveryOut]]:
        """List the machines that are or were recovered by policy: mine, or all for the Administrator.

        Each step is an instruction of its own, whose end is told as `instruction_result`.
        """
        query = call.query

        def is_wanted(one: Recovery) -> bool:
            return (
                (query.state == "all" or one.is_over is (query.state == "over"))
                and (not query.outcome or one.state in query.outcome)
                and is_in(one.resource_id, query.virtual_resource_id)
            )

        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.resource_id)
        rows = self._recoveries.all(call.identity)
        return Answer(await sorted_page(rows, query, order, is_wanted, recovery_out))
