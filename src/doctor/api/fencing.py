"""The doors to cutting hosts off: what Doctor may do where, how far it got with which host, and what people say to it."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Described, is_in
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import ADMINISTRATORS, OVERSEERS
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.api.wire.alarm import Person, person
from doctor.fencing.audit import Audit
from doctor.fencing.machine import isolation_of
from doctor.fencing.readiness import Readiness
from doctor.flows.fence_readiness import FenceReadiness
from doctor.flows.fencing_desk import Explanation, FencingDesk, ZoneStanding
from doctor.flows.situation import Situation
from doctor.model.fence_job import (
    Check,
    FenceDecision,
    FenceJob,
    FenceState,
    Says,
    Weighed,
    ZoneMode,
    ZoneSetting,
)
from doctor.model.fencing import Vantage
from doctor.model.resource import Isolation

Why = Annotated[str, msgspec.Meta(max_length=1000, description="Why, in a sentence: it is kept in the log.")]


class SetBy(msgspec.Struct, frozen=True, kw_only=True):
    """Who has set something, when and why."""

    user: str
    reason: str
    time: datetime


class FencingZoneOut(msgspec.Struct, frozen=True, kw_only=True):
    """What Doctor may do in a zone. ``unready`` are the hosts that it could not cut off without a person now."""

    zone_id: str
    mode: ZoneMode
    set_by: SetBy | None
    hosts: int
    unready: list[str]


class FencingOut(msgspec.Struct, frozen=True, kw_only=True):
    """The hold switch (null: it is released) and the zones."""

    hold: SetBy | None
    zones: list[FencingZoneOut]


class HoldIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Pull the hold switch, or release it."""

    hold: bool
    user: Person = ""
    reason: Why = ""


class ZoneIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What Doctor may do in a zone."""

    mode: ZoneMode
    user: Person = ""
    reason: Why = ""


class StatementOut(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said of a host last. ``vantage`` null: it does not count, and ``objection`` says why."""

    reporter: str
    says: Says
    vantage: Vantage | None
    objection: str
    time: datetime
    since: datetime
    detail: str


class CheckOut(msgspec.Struct, frozen=True, kw_only=True):
    """A brake, and why it holds if it does."""

    brake: str
    passes: bool
    detail: str


class WordOut(msgspec.Struct, frozen=True, kw_only=True):
    """A person says that a host is off."""

    by: str
    reason: str
    time: datetime


class IsolationOut(msgspec.Struct, frozen=True, kw_only=True):
    """How far the isolation of a host got: ``isolation`` is what its owners are told, null when there is nothing to tell.

    ``level`` is the one being tried or tried last, the first is 1; ``commanded_time`` is when a command may have gone out last.
    ``zone_in_place`` is the zone around it that may be cut off in its place, behind its own levels.
    """

    host: str
    zone_id: str
    state: FenceState
    isolation: Isolation | None
    reason: str
    level: int
    generation: int
    fault_id: str
    since: datetime
    changed_time: datetime
    commanded_time: datetime | None
    isolated_time: datetime | None
    zone_in_place: str | None
    words: list[WordOut]


class ExplanationOut(msgspec.Struct, frozen=True, kw_only=True):
    """Why a host is as it is: its isolation (null: none is under way and none was), what is said of it, and the brakes now."""

    host: str
    isolation: IsolationOut | None
    evidence: list[StatementOut]
    checks: list[CheckOut]
    would_be_cut_off: Annotated[bool, msgspec.Meta(description="If it were suspected now.")]


class DecisionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A decision, with the evidence and the brakes it was made on. ``digest`` covers all of it, and ``previous``."""

    host: str | None
    time: datetime
    decision: str
    state: FenceState | None
    reason: str
    user: str | None
    generation: int
    evidence: list[StatementOut]
    checks: list[CheckOut]
    epoch: int
    previous: str
    digest: str


class BreakOut(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log is broken. Without a ``time`` no single decision can be named; ``host`` is null for those of zones."""

    what: str
    time: datetime | None
    host: str | None
    decision: str | None


class AuditOut(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the log is as it was written: how many decisions were read, from when to when, and the first break.

    ``digest`` is its end. Whoever keeps that elsewhere can ask later whether the log still leads to it.
    """

    whole: bool
    records: int
    first_time: datetime | None
    last_time: datetime | None
    digest: str
    broken: BreakOut | None


class ConfirmIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A person says that a host is off: ``host`` is its name, typed; ``by`` is the person."""

    host: Described
    by: Person
    reason: Why


class WishIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who wants it (by default the name of the token), and why."""

    user: Person = ""
    reason: Why = ""


class ReturnIn(WishIn, kw_only=True, forbid_unknown_fields=True):
    """Who wants it given back, and why. ``anyway``: although its cloud knows of machines that others move from it."""

    anyway: bool = False


class RetryIn(WishIn, kw_only=True, forbid_unknown_fields=True):
    """Who wants it tried again, and why. ``zone`` is cut off in place of the host if no level of its own does it."""

    zone: Described = ""


class IsolationsQuery(PageQuery, frozen=True, kw_only=True):
    """Which hosts."""

    host: list[Described] = []
    state: list[FenceState] = []
    sort: Literal["changed_time", "-changed_time", "host", "-host"] = "-changed_time"


class DecisionsQuery(PageQuery, frozen=True, kw_only=True):
    """Of which host, null for all."""

    host: Described | None = None


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the log has to lead to."""

    noted: Annotated[
        str, msgspec.Meta(max_length=64, description="A digest with which the log ended once.")
    ] = ""


_KEYS: dict[str, Callable[[FenceJob], Key]] = {
    "changed_time": lambda job: microseconds(job.changed),
    "host": lambda job: job.host,
}
_WHICH = {"host": "The id of the host in the resource map, or another name of it."}
_ZONE = {"zone": "The `zone_id` of hosts; `default` is the zone of those that have none."}


class FencingDoor:
    """The operations on cutting hosts off."""

    def __init__(self, situation: Situation, desk: FencingDesk, readiness: FenceReadiness) -> None:
        self._situation = situation
        self._desk = desk
        self._readiness = readiness

    # --- what Doctor may do ---

    @operation("GET", "/v1/fencing", tag="Fencing", roles=OVERSEERS)
    async def get_fencing(self, call: Call[None, None]) -> Answer[FencingOut]:
        """Show the hold switch, and what Doctor may do in which zone.

        In `advise`, as every zone begins, it decides and logs what it would do; `armed` it does it; on `hold` it neither.
        """
        return Answer(self._fencing())

    @operation(
        "PUT",
        "/v1/fencing",
        tag="Fencing",
        roles=ADMINISTRATORS,
        example={"hold": True, "reason": "the management network is being rebuilt"},
    )
    async def set_hold(self, call: Call[HoldIn, None]) -> Answer[FencingOut]:
        """Pull the hold switch, or release it.

        As long as it is pulled Doctor gives no command to any fence device, whatever happens, also after a restart.
        """
        wish = call.body
        user = person(wish.user) or call.identity.name
        await self._desk.set_hold(wish.hold, user=user, reason=wish.reason.strip())
        return Answer(self._fencing())

    @operation("GET", "/v1/fencing/{zone}", tag="Fencing", roles=OVERSEERS, path_help=_ZONE)
    async def get_fencing_zone(self, call: Call[None, None]) -> Answer[FencingZoneOut]:
        """Show what Doctor may do in a zone."""
        return Answer(self._zone(self._desk.zone(call.path["zone"])))

    @operation(
        "PUT",
        "/v1/fencing/{zone}",
        tag="Fencing",
        roles=ADMINISTRATORS,
        path_help=_ZONE,
        example={"mode": "armed", "reason": "tested with compute-1"},
    )
    async def set_fencing_zone(self, call: Call[ZoneIn, None]) -> Answer[FencingZoneOut]:
        """Say what Doctor may do in a zone. To `arm` it lets Doctor switch its hosts off."""
        wish = call.body
        user = person(wish.user) or call.identity.name
        standing = await self._desk.set_zone(
            call.path["zone"], wish.mode, user=user, reason=wish.reason.strip()
        )
        return Answer(self._zone(standing))

    # --- hosts ---

    @operation("GET", "/v1/isolations", tag="Fencing", roles=OVERSEERS)
    async def list_isolations(self, call: Call[None, IsolationsQuery]) -> Answer[Page[IsolationOut]]:
        """List the hosts that were ever suspected, each with how far its isolation got the last time."""
        query = call.query
        order = Order(query.sort, query.cursor, _KEYS, lambda job: job.host)
        hosts = frozenset(query.host)

        def wanted(job: FenceJob) -> bool:
            return is_in(job.host, hosts) and (not query.state or job.state in query.state)

        return Answer(await sorted_page(self._desk.jobs, query, order, wanted, _isolation))

    @operation("GET", "/v1/isolations/{host}", tag="Fencing", roles=OVERSEERS, path_help=_WHICH)
    async def explain_isolation(self, call: Call[None, None]) -> Answer[ExplanationOut]:
        """Explain how it stands with a host: its isolation, the evidence, and what every brake says now."""
        return Answer(_explanation(self._desk.explain(call.path["host"])))

    @operation(
        "POST",
        "/v1/isolations/{host}/confirm",
        tag="Fencing",
        roles=ADMINISTRATORS,
        path_help=_WHICH,
        answers={
            200: "It is taken down; with the word of a second person the host counts as isolated.",
            409: "The host is not one to vouch for.",
        },
        example={"host": "compute-1", "by": "alice", "reason": "both plugs are in my hand"},
    )
    async def confirm_isolation(self, call: Call[ConfirmIn, None]) -> Answer[IsolationOut]:
        """Say, as a named person, that a host is off.

        Two people have to, each with a token of his own, and each types the name of the host. Then its machines may be
        started elsewhere: if it is not off they run twice.
        """
        wish = call.body
        job = await self._desk.vouch(
            call.path["host"],
            typed=wish.host,
            by=person(wish.by),
            account=call.identity.name,
            reason=wish.reason,
        )
        return Answer(_isolation(job))

    @operation(
        "POST",
        "/v1/isolations/{host}/retry",
        tag="Fencing",
        roles=ADMINISTRATORS,
        path_help=_WHICH,
        answers={200: "It is suspected anew.", 409: "It does not wait for a person."},
        example={"reason": "the BMC answers again"},
    )
    async def retry_isolation(self, call: Call[RetryIn | None, None]) -> Answer[IsolationOut]:
        """Have a host tried again that waits for a person: from the first level, through all brakes.

        With a `zone` around it, that is cut off in its place if nothing else helps. It kills all hosts of the zone.
        """
        wish = call.body or RetryIn()
        user = person(wish.user) or call.identity.name
        tried = await self._desk.retry(
            call.path["host"], user=user, reason=wish.reason.strip(), zone=wish.zone.strip()
        )
        return Answer(_isolation(tried))

    @operation(
        "POST",
        "/v1/isolations/{host}/return",
        tag="Fencing",
        roles=ADMINISTRATORS,
        path_help=_WHICH,
        answers={
            200: "What was cut is being given back.",
            409: "It is not isolated, or machines of it are still on their way elsewhere.",
        },
        example={"reason": "the mainboard was replaced"},
    )
    async def return_host(self, call: Call[ReturnIn | None, None]) -> Answer[IsolationOut]:
        """Have a host given back what was cut, and watch it for a while.

        While machines of it are on their way elsewhere it is refused, for they would run twice. Of those that others move,
        by what the cloud says, somebody may know that this will never end: then `anyway`.
        """
        wish = call.body or ReturnIn()
        user = person(wish.user) or call.identity.name
        given = await self._desk.give_back(
            call.path["host"], user=user, reason=wish.reason.strip(), anyway=wish.anyway
        )
        return Answer(_isolation(given))

    # --- the log ---

    @operation("GET", "/v1/fence-decisions", tag="Fencing", roles=OVERSEERS)
    async def list_fence_decisions(self, call: Call[None, DecisionsQuery]) -> Answer[Page[DecisionOut]]:
        """List what was decided, the newest first, with the evidence and the brakes that it was decided on.

        Nothing is ever taken out of it: each decision carries the digest of the one before.
        """
        query = call.query
        rows = await self._situation.store.fence_decisions(
            host=query.host, before=position_in(query.cursor, int), limit=query.limit + 1
        )
        return Answer(page_of(rows, query.limit, lambda row: _decision(row[1]), lambda row: row[0]))

    @operation("GET", "/v1/fence-decisions/audit", tag="Fencing", roles=OVERSEERS)
    async def audit_fence_decisions(self, call: Call[None, AuditQuery]) -> Answer[AuditOut]:
        """Read the whole log of decisions and see whether any was changed or taken out since it was written.

        Who can write to the store could write all of it anew: only a digest that was `noted` elsewhere shows that.
        """
        return Answer(_audit(await self._desk.audit(call.query.noted)))

    def _fencing(self) -> FencingOut:
        return FencingOut(
            hold=_set_by(self._desk.hold), zones=[self._zone(zone) for zone in self._desk.zones]
        )

    def _zone(self, zone: ZoneStanding) -> FencingZoneOut:
        able = {
            check.host
            for check in self._readiness.checks
            if check.readiness in (Readiness.READY, Readiness.DEGRADED)
        }
        return FencingZoneOut(
            zone_id=zone.zone,
            mode=zone.mode,
            set_by=_set_by(zone.setting),
            hosts=len(zone.hosts),
            unready=sorted(zone.hosts - able),
        )


def _set_by(setting: ZoneSetting | None) -> SetBy | None:
    return None if setting is None else SetBy(user=setting.user, reason=setting.reason, time=setting.time)


def _isolation(job: FenceJob) -> IsolationOut:
    return IsolationOut(
        host=job.host,
        zone_id=job.zone,
        state=job.state,
        isolation=isolation_of(job),
        reason=job.reason,
        level=job.level + 1,
        generation=job.generation,
        fault_id=job.fault_key,
        since=job.since,
        changed_time=job.changed,
        commanded_time=job.cut,
        isolated_time=job.fenced,
        zone_in_place=job.widened or None,
        words=[WordOut(by=word.by, reason=word.reason, time=word.time) for word in job.words],
    )


def _explanation(one: Explanation) -> ExplanationOut:
    return ExplanationOut(
        host=one.host,
        isolation=None if one.job is None else _isolation(one.job),
        evidence=[_statement(weighed) for weighed in one.judgement.weighed],
        checks=[_check(check) for check in one.ruling.checks],
        would_be_cut_off=not one.ruling.objections,
    )


def _statement(weighed: Weighed) -> StatementOut:
    said = weighed.statement
    return StatementOut(
        reporter=said.reporter,
        says=said.says,
        vantage=weighed.vantage,
        objection=weighed.objection,
        time=said.time,
        since=said.since,
        detail=said.detail,
    )


def _check(check: Check) -> CheckOut:
    return CheckOut(brake=check.brake, passes=check.passes, detail=check.detail)


def _audit(audit: Audit) -> AuditOut:
    broken = audit.broken
    at = None if broken is None else broken.decision
    return AuditOut(
        whole=broken is None,
        records=audit.records,
        first_time=audit.first,
        last_time=audit.last,
        digest=audit.digest,
        broken=None
        if broken is None
        else BreakOut(
            what=broken.what,
            time=None if at is None else at.time,
            host=None if at is None else at.host or None,
            decision=None if at is None else at.decision,
        ),
    )


def _decision(one: FenceDecision) -> DecisionOut:
    return DecisionOut(
        host=one.host or None,
        time=one.time,
        decision=one.decision,
        state=one.state,
        reason=one.reason,
        user=one.user or None,
        generation=one.generation,
        evidence=[_statement(weighed) for weighed in one.evidence],
        checks=[_check(check) for check in one.checks],
        epoch=one.epoch,
        previous=one.previous,
        digest=one.digest,
    )
