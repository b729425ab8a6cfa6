"""The doors of the Administrator [D 5.5.2]: the physical side, the resource map, policies, timelines, tokens."""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.problem import Limits
from doctor.api.roles import ADMIN, ADMINISTRATORS, OVERSEERS
from doctor.api.wire.resource_map import (
    PhysicalResourceIn,
    RelationIn,
    ResourceMapIn,
    VirtualResourceIn,
    resource_map_of,
)
from doctor.flows.fault import FaultFlow
from doctor.flows.policy import PolicyFlow
from doctor.flows.resource_map import replace_map
from doctor.flows.situation import Situation
from doctor.flows.timelines import Timelines
from doctor.flows.tokens import TokenFlow
from doctor.model.checkpoint import Timeline
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.fault import ResourceState
from doctor.model.identity import Role, Token
from doctor.model.notification import PhysicalResourceInfo
from doctor.model.resource import PhysicalResource
from doctor.notifier.message import Describer
from doctor.ports.store import StoredPolicy

Name = Annotated[str, msgspec.Meta(max_length=255)]
RESOURCE_MAP = Limits(body=512 * 1024 * 1024, seconds=600, items=20_000_000, large=True)
YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain")


class PhysicalResourceQuery(PageQuery, frozen=True, kw_only=True):
    """StateQueryFilterClass [D 5.4]."""

    physical_resource_id: list[Name] = []
    physical_resource_state: list[ResourceState] = []
    zone_id: list[Name] = []


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """How much a resource map holds. ``version`` counts the maps since the start."""

    version: int
    physical_resources: int
    virtual_resources: int
    relations: int


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A token to be: a consumer needs a project, nobody else has one."""

    role: Role
    project: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    name: Name = ""
    expires: datetime | None = None


class TokenOut(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without the token itself."""

    token_id: str
    role: Role
    project: str | None
    name: str
    created: datetime
    expires: datetime | None


class TokenMade(TokenOut, frozen=True, kw_only=True):
    """A new token; ``token`` is shown this once."""

    token: str


class PolicyShown(msgspec.Struct, frozen=True, kw_only=True):
    """The failure policy in force. Version 0 is the one that ships."""

    version: int
    applied: datetime | None
    user: str
    text: str


class PolicyApplied(PolicyShown, frozen=True, kw_only=True):
    """The failure policy that is in force now, with what to mind."""

    warnings: list[str]


class Admin:
    """The operations of the Administrator."""

    def __init__(
        self,
        situation: Situation,
        faults: FaultFlow,
        timelines: Timelines,
        tokens: TokenFlow,
        policies: PolicyFlow,
    ) -> None:
        self._situation = situation
        self._faults = faults
        self._timelines = timelines
        self._tokens = tokens
        self._policies = policies

    # --- the physical side ---

    @operation("GET", "/v1/physical-resources", tag="Resources", roles=OVERSEERS)
    async def query_physical_resources(
        self, call: Call[None, PhysicalResourceQuery]
    ) -> Answer[Page[PhysicalResourceInfo]]:
        """Ask for the state of physical resources (StateQuery of [D 5.5.2]), with the faults on them.

        Resources that only an event has named are there too as long as something is wrong with them.
        """
        query = call.query
        resources, book = self._situation.resources, self._situation.book
        unknown = {
            record.fault.resource_id: record.fault.resource_type
            for record in book
            if resources.get(record.fault.resource_id) is None
        }
        after = position_in(query.cursor, str)
        rows: list[PhysicalResource] = []
        for resource_id in sorted([*resources.physical, *unknown]):
            resource = resources.physical.get(resource_id) or PhysicalResource(
                id=resource_id, type=unknown[resource_id]
            )
            if (
                (after is None or resource_id > after)
                and (not query.physical_resource_id or resource_id in query.physical_resource_id)
                and (not query.zone_id or resource.zone_id in query.zone_id)
                and (
                    not query.physical_resource_state
                    or book.state_of(resource_id) in query.physical_resource_state
                )
            ):
                rows.append(resource)
            if len(rows) > query.limit:
                break
        describer = self._situation.describer(None)
        return Answer(
            page_of(rows, query.limit, lambda row: self._physical(row, describer), lambda row: row.id)
        )

    @operation("GET", "/v1/physical-resources/{physical_resource_id}", tag="Resources", roles=OVERSEERS)
    async def get_physical_resource(self, call: Call[None, None]) -> Answer[PhysicalResourceInfo]:
        """Show a physical resource with its state and the faults on it. An alias or a short name will do."""
        resource = self._situation.resources.find(call.path["physical_resource_id"])
        if not isinstance(resource, PhysicalResource):
            raise RejectedError("there is no such physical resource", reason=Reason.NOT_FOUND)
        return Answer(self._physical(resource, self._situation.describer(None)))

    def _physical(self, resource: PhysicalResource, describer: Describer) -> PhysicalResourceInfo:
        faults = tuple(
            describer.fault(record, record.alarms[resource.id])
            for record in self._situation.book.on(resource.id)
        )
        return describer.physical(resource.id, resource.type, faults)

    @operation(
        "PUT",
        "/v1/resource-map",
        tag="Resources",
        roles=ADMINISTRATORS,
        limits=RESOURCE_MAP,
        example={
            "physical_resources": [{"id": "compute-1", "zone_id": "az1", "address": "10.0.0.1"}],
            "virtual_resources": [{"id": "vm-1-1", "host": "compute-1", "owner": "red", "role": "ACT"}],
            "relations": [],
        },
    )
    async def put_resource_map(self, call: Call[ResourceMapIn, None]) -> Answer[Loaded]:
        """Replace the resource map of the embedded controller, whole.

        It is used for the very next event. What open faults reach is judged anew: who was told of a machine that is
        not affected, or not theirs any more, gets a `correction`.
        """
        version = self._situation.resources.version + 1
        # A million machines take seconds: in a thread, faults are told meanwhile.
        resources = await asyncio.to_thread(resource_map_of, call.body, version=version)
        await replace_map(self._faults, resources, call.raw)
        return Answer(
            Loaded(
                version=version,
                physical_resources=len(resources.physical),
                virtual_resources=len(resources.virtual),
                relations=len(resources.relations),
            )
        )

    @operation("GET", "/v1/resource-map", tag="Resources", roles=OVERSEERS)
    async def get_resource_map(self, call: Call[None, None]) -> Answer[ResourceMapIn]:
        """Return the resource map, as it could be loaded again."""
        resources = self._situation.resources
        return Answer(
            ResourceMapIn(
                physical_resources=[
                    PhysicalResourceIn(
                        id=one.id,
                        type=one.type,
                        zone_id=one.zone_id,
                        address=list(one.address),
                        aliases=list(one.aliases),
                        firmware_version=one.firmware_version,
                        hypervisor_version=one.hypervisor_version,
                        update_status=one.update_status,
                        metadata=one.metadata,
                    )
                    for one in resources.physical.values()
                ],
                virtual_resources=[
                    VirtualResourceIn(
                        id=one.id,
                        type=one.type,
                        host=one.host,
                        owner=one.owner,
                        group=one.group,
                        role=one.role,
                        sal=one.sal,
                    )
                    for one in resources.virtual.values()
                ],
                relations=[RelationIn(one.supplier, one.kind, one.dependent) for one in resources.relations],
            )
        )

    # --- the failure policy ---

    @operation("GET", "/v1/failure-policies", tag="Policy", roles=OVERSEERS)
    async def get_failure_policy(self, call: Call[None, None]) -> Answer[PolicyShown]:
        """Show the failure policy in force, to the letter."""
        return Answer(self._shown(self._policies.current(self._situation)))

    @operation("PUT", "/v1/failure-policies", tag="Policy", roles=ADMINISTRATORS, accepts=YAML)
    async def put_failure_policy(self, call: Call[str, None]) -> Answer[PolicyApplied]:
        """Apply a failure policy (YAML).

        It is checked whole first: a broken one is refused with the place of each flaw, and the running one stays. It
        judges the very next event.
        """
        stored, warnings = await self._policies.apply(self._situation, call.body, user=call.identity.name)
        shown = self._shown(stored)
        return Answer(PolicyApplied(**msgspec.structs.asdict(shown), warnings=warnings))

    def _shown(self, policy: StoredPolicy) -> PolicyShown:
        applied = policy.applied if policy.version else None
        return PolicyShown(version=policy.version, applied=applied, user=policy.user, text=policy.text)

    # --- timelines ---

    @operation("GET", "/v1/timelines", tag="Timelines", roles=OVERSEERS)
    async def list_timelines(self, call: Call[None, PageQuery]) -> Answer[Page[Timeline]]:
        """List when faults passed which checkpoint, the newest fault first."""
        await self._timelines.save()
        before = position_in(call.query.cursor, str)
        rows = await self._situation.store.timelines(before=before, limit=call.query.limit + 1)
        return Answer(page_of(rows, call.query.limit, lambda row: row, lambda row: row.fault_id))

    @operation("GET", "/v1/timelines/{fault_id}", tag="Timelines", roles=OVERSEERS)
    async def get_timeline(self, call: Call[None, None]) -> Answer[Timeline]:
        """Show when one fault passed which checkpoint (T0 to T8, R)."""
        found = await self._timelines.recall(call.path["fault_id"])
        if found is None:
            raise RejectedError("there is no timeline of such a fault", reason=Reason.NOT_FOUND)
        return Answer(found)

    # --- tokens ---

    @operation(
        "POST",
        "/v1/tokens",
        tag="Tokens",
        roles=ADMIN,
        answers={201: "The token. It is shown this once: Doctor keeps its SHA-256 only."},
        example={"role": "consumer", "project": "red"},
    )
    async def create_token(self, call: Call[TokenRequest, None]) -> Answer[TokenMade]:
        """Make a token."""
        given = call.body
        if not given.name.isprintable():
            raise RejectedError(
                "the name is wrong", flaws=[Flaw("/name", "has characters that cannot be printed")]
            )
        token, secret = await self._tokens.create(
            given.role, project=given.project, name=given.name, expires=given.expires
        )
        return Answer(TokenMade(**msgspec.structs.asdict(_token(token)), token=secret), 201)

    @operation("GET", "/v1/tokens", tag="Tokens", roles=ADMIN | {Role.AUDITOR})
    async def list_tokens(self, call: Call[None, PageQuery]) -> Answer[Page[TokenOut]]:
        """List the tokens, without the tokens themselves."""
        after = position_in(call.query.cursor, tuple[datetime, str])
        rows = [one for one in self._tokens.all() if after is None or (one.created, one.token_id) > after]
        return Answer(page_of(rows, call.query.limit, _token, lambda one: (one.created, one.token_id)))

    @operation(
        "DELETE",
        "/v1/tokens/{token_id}",
        tag="Tokens",
        roles=ADMIN,
        answers={204: "It is worth nothing any more."},
    )
    async def revoke_token(self, call: Call[None, None]) -> Answer[None]:
        """Revoke a token, at once."""
        await self._tokens.revoke(call.path["token_id"])
        return Answer(None, 204)


def _token(token: Token) -> TokenOut:
    return TokenOut(
        token_id=token.token_id,
        role=token.role,
        project=token.project,
        name=token.name,
        created=token.created,
        expires=token.expires,
    )
