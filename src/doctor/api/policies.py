"""The doors of the failure-policy database: the policy in force, its versions, and trying one out."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import ADMINISTRATORS, OVERSEERS
from doctor.api.sorting import Key, Order, sorted_page
from doctor.flows.dry_run import DryRun, DryRunFlow, RuleTally, Trial, ZoneTrial
from doctor.flows.policy import MOST_VERSIONS, PolicyFlow
from doctor.flows.situation import Situation
from doctor.inspector.comparison import Difference, DifferenceKind
from doctor.inspector.firing import Firing, Happening
from doctor.inspector.unnamed import UnnamedType
from doctor.kit.clock import Clock
from doctor.model.errors import Reason, RejectedError
from doctor.model.fault import ResourceState
from doctor.ports.store import StoredPolicy

YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain")
USUAL_EVENTS = 100_000
MOST_EVENTS = 1_000_000
USUAL_SPAN = timedelta(days=1)

Version = Annotated[int, msgspec.Meta(ge=0, lt=MOST_VERSIONS)]


class PolicyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the failure policy. Version 0 is the one that ships; it was never applied."""

    version: int
    applied: datetime | None
    user: str
    text: str


class PolicyApplied(PolicyShown, frozen=True, kw_only=True):
    """The failure policy that is in force now, with what to mind."""

    warnings: list[str]


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the failure policy without its text, which has ``size`` bytes.

    ``restores`` is the version whose text it took up again, if it came by a rollback.
    """

    version: int
    applied: datetime | None
    user: str
    description: str
    size: int
    restores: int | None


class UnnamedTypeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A type that no rule names, and how many events of it came; null is all types beyond the first 10,000."""

    type: str | None
    events: int


class UnnamedTypeQuery(PageQuery, frozen=True, kw_only=True):
    """The order of the types."""

    sort: Literal["events", "-events", "type", "-type"] = "-events"


_UNNAMED_KEYS: dict[str, Callable[[UnnamedType], Key]] = {
    "events": lambda one: one.events,
    "type": lambda one: one.type or "",
}


class ApplyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """On which condition a policy is applied."""

    expected_version: Annotated[
        Version | None, msgspec.Meta(description="Apply only if this version is in force, else 409.")
    ] = None


class RollbackRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which version to take up again; null is the one before that in force."""

    version: Version | None = None


class DryRunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which recorded events to try a policy on."""

    since: Annotated[
        datetime | None,
        msgspec.Meta(description="Events that were received then or later; by default those of a day."),
    ] = None
    limit: Annotated[
        int, msgspec.Meta(ge=1, le=MOST_EVENTS, description="How many events to read, at most.")
    ] = USUAL_EVENTS


class FiringOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy does with a fault; when it is cleared, how it was until then.

    ``affected`` counts the other resources that the fault reaches, by the state that they are in by it.
    """

    happening: Happening
    rule: str
    perceived_severity: str
    state: ResourceState
    event_type: str
    probable_cause: str
    recommended_action: str
    is_root_cause: bool
    affected: dict[ResourceState, int]
    predicted_time: datetime | None


class DifferenceOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the candidate does differently with a fault at a moment; null is nothing.

    ``event_id``, ``event_time`` and ``event`` are of the event that made it so, null if it was the time alone.
    """

    kind: DifferenceKind
    time: Annotated[datetime, msgspec.Meta(description="When it would have been decided.")]
    fault_type: str
    resource_id: str
    event_id: str | None
    event_time: datetime | None
    event: Annotated[str | None, msgspec.Meta(description="The type of the event.")]
    current: FiringOut | None
    candidate: FiringOut | None


class TrialOut(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy makes of the events.

    By rule: how many events of the types that it names were ``seen``, how many of them it took (``fired``), how many
    faults it ``raised`` and how many of those were ``cleared``. Rules that no event asks (`aggregate`, `suspect`, `storm`)
    have seen none. By type of failure impact zone: how often its parts failed too often and somebody was ``asked``, or it
    ``took_effect`` by itself, and how often that was ``over``.
    """

    version: int | None
    rules: list[RuleTally]
    zones: list[ZoneTrial]
    ignored: int
    still_open: int


class DryRunOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate would have done differently from the policy in force.

    ``until`` says how far the journal was read, if ``truncated`` by ``limit`` or by the time that there is.
    ``never_fired`` and ``always_fired`` are rules of the candidate that took none, and every one, of the events of the
    types that they name. ``counts`` has all differences, ``differences`` the first 1,000.
    """

    since: datetime
    until: datetime | None
    events: int
    duplicates: int
    unreadable_batches: int
    truncated: bool
    counts: dict[DifferenceKind, int]
    differences: list[DifferenceOut]
    never_fired: list[str]
    always_fired: list[str]
    current: TrialOut
    candidate: TrialOut
    warnings: list[str]


class Policies:
    """The operations on failure policies."""

    def __init__(
        self, situation: Situation, policies: PolicyFlow, dry_runs: DryRunFlow, clock: Clock
    ) -> None:
        self._situation = situation
        self._policies = policies
        self._dry_runs = dry_runs
        self._clock = clock

    @operation("GET", "/v1/failure-policies", tag="Policy", roles=OVERSEERS)
    async def get_failure_policy(self, call: Call[None, None]) -> Answer[PolicyShown]:
        """Show the failure policy in force, to the letter."""
        return Answer(_shown(self._policies.current(self._situation)))

    @operation(
        "PUT",
        "/v1/failure-policies",
        tag="Policy",
        roles=ADMINISTRATORS,
        accepts=YAML,
        answers={200: "It is in force.", 409: "Another version than `expected_version` is in force."},
    )
    async def put_failure_policy(self, call: Call[str, ApplyQuery]) -> Answer[PolicyApplied]:
        """Apply a failure policy (YAML).

        It is checked whole first: a broken one is refused with the place of each flaw, and the running one stays. It
        judges the very next event.
        """
        stored, warnings = await self._policies.apply(
            self._situation,
            call.body,
            user=call.identity.name,
            expected_version=call.query.expected_version,
        )
        return Answer(_applied(stored, warnings))

    @operation("GET", "/v1/failure-policies/versions", tag="Policy", roles=OVERSEERS)
    async def list_failure_policy_versions(self, call: Call[None, PageQuery]) -> Answer[Page[PolicyVersion]]:
        """List the versions that there were, the newest first. The last, 0, is the policy that ships."""
        before = position_in(call.query.cursor, int)
        rows = await self._policies.versions(self._situation, before=before, limit=call.query.limit + 1)
        return Answer(page_of(rows, call.query.limit, _listed, lambda row: row.version))

    @operation("GET", "/v1/failure-policies/versions/{version}", tag="Policy", roles=OVERSEERS)
    async def get_failure_policy_version(self, call: Call[None, None]) -> Answer[PolicyShown]:
        """Show one version, to the letter. Version 0 is the policy that ships."""
        wanted = call.path["version"]
        found = None
        if wanted.isascii() and wanted.isdecimal() and len(wanted) < len(str(MOST_VERSIONS)):
            found = await self._policies.version(self._situation, int(wanted))
        if found is None:
            raise RejectedError("there is no such version", reason=Reason.NOT_FOUND)
        return Answer(_shown(found))

    @operation("GET", "/v1/failure-policies/unnamed-types", tag="Policy", roles=OVERSEERS)
    async def list_unnamed_types(self, call: Call[None, UnnamedTypeQuery]) -> Answer[Page[UnnamedTypeOut]]:
        """List the types of the events that no rule of the policy in force names, those that come most often first.

        Such an event is kept and changes nothing. They are counted since Doctor was started or the policy was applied,
        whichever came later.
        """
        query = call.query
        order = Order(query.sort, query.cursor, _UNNAMED_KEYS, lambda one: one.type or "")
        rows = list(self._situation.unnamed)
        return Answer(await sorted_page(rows, query, order, lambda _: True, _unnamed))

    @operation(
        "POST",
        "/v1/failure-policies/rollback",
        tag="Policy",
        roles=ADMINISTRATORS,
        example={"version": None},
        answers={200: "It is in force.", 409: "The policy that ships is in force: there is none before."},
    )
    async def roll_back_failure_policy(self, call: Call[RollbackRequest, None]) -> Answer[PolicyApplied]:
        """Put an older version in force again, at once.

        Its text becomes a new version: history is never rewritten, and a second rollback undoes the first.
        """
        stored, warnings = await self._policies.roll_back(
            self._situation, call.body.version, user=call.identity.name
        )
        return Answer(_applied(stored, warnings))

    @operation(
        "POST",
        "/v1/failure-policies/dry-run",
        tag="Policy",
        roles=ADMINISTRATORS,
        accepts=YAML,
    )
    async def dry_run_failure_policy(self, call: Call[str, DryRunQuery]) -> Answer[DryRunOut]:
        """Try a failure policy (YAML) on recorded events: what would it have done differently?

        The events are judged anew by the candidate and by the policy in force, each with nothing open at first, in the
        time in which they came, and with the resource map of today; nothing is kept and nobody is told. One dry-run at a
        time: 429 while another is under way.
        """
        since = call.query.since or self._clock.now() - USUAL_SPAN
        version = self._policies.current(self._situation).version
        done = await self._dry_runs.run(call.body, since=since, limit=call.query.limit)
        return Answer(_dry_run(done, version))


def _shown(policy: StoredPolicy) -> PolicyShown:
    applied = policy.applied if policy.version else None
    return PolicyShown(version=policy.version, applied=applied, user=policy.user, text=policy.text)


def _applied(policy: StoredPolicy, warnings: list[str]) -> PolicyApplied:
    return PolicyApplied(**msgspec.structs.asdict(_shown(policy)), warnings=warnings)


def _listed(policy: StoredPolicy) -> PolicyVersion:
    return PolicyVersion(
        version=policy.version,
        applied=policy.applied if policy.version else None,
        user=policy.user,
        description=policy.description,
        size=len(policy.text.encode()),
        restores=policy.restores,
    )


def _unnamed(one: UnnamedType) -> UnnamedTypeOut:
    return UnnamedTypeOut(type=one.type, events=one.events)


def _dry_run(done: DryRun, version: int) -> DryRunOut:
    rules = done.candidate.rules
    return DryRunOut(
        since=done.since,
        until=done.until,
        events=done.events,
        duplicates=done.duplicates,
        unreadable_batches=done.unreadable,
        truncated=done.truncated,
        counts=done.counts,
        differences=[_difference(one) for one in done.differences],
        never_fired=[one.rule for one in rules if not one.fired and not one.raised],
        always_fired=[one.rule for one in rules if one.fired and one.fired == one.seen],
        current=_trial(done.current, version),
        candidate=_trial(done.candidate, None),
        warnings=[f"{flaw.pointer}: {flaw.detail}" for flaw in done.warnings],
    )


def _trial(trial: Trial, version: int | None) -> TrialOut:
    return TrialOut(
        version=version,
        rules=trial.rules,
        zones=trial.zones,
        ignored=trial.ignored,
        still_open=trial.still_open,
    )


def _difference(difference: Difference) -> DifferenceOut:
    firing = difference.firing
    recorded = firing.recorded
    return DifferenceOut(
        kind=difference.kind,
        time=firing.at,
        fault_type=firing.fault_type,
        resource_id=firing.resource_id,
        event_id=None if recorded is None else recorded.event_id,
        event_time=None if recorded is None else recorded.event.time,
        event=None if recorded is None else recorded.event.type,
        current=_firing(difference.current),
        candidate=_firing(difference.candidate),
    )


def _firing(firing: Firing | None) -> FiringOut | None:
    if firing is None:
        return None
    shown = firing.shown
    return FiringOut(
        happening=firing.happening,
        rule=shown.rule,
        perceived_severity=shown.severity.perceived,
        state=shown.state,
        event_type=shown.event_type,
        probable_cause=shown.probable_cause,
        recommended_action=shown.recommended_action,
        is_root_cause=shown.is_root_cause,
        affected=dict(shown.affected),
        predicted_time=shown.predicted_time,
    )
