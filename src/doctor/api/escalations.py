"""The door to escalations: zones whose parts have failed too often, and what is decided of them [HA 6.1.2.2, 6.1.2.3]."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Described
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import ADMINISTRATORS, OVERSEERS
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.api.wire.alarm import Person, person
from doctor.flows.escalation import EscalationFlow
from doctor.inspector.escalation import Move
from doctor.model.escalation import Escalation, EscalationState, Failure
from doctor.model.policy import IsolationPolicy


class FailureOut(msgspec.Struct, frozen=True, kw_only=True):
    """A failure of a part of a zone: its fault goes by ``fault_id`` elsewhere."""

    fault_id: str
    resource_id: str
    fault_type: str
    raised_time: datetime


class EscalationOut(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a zone have failed too often, and what became of it.

    ``fault_id`` is the fault on the zone: the question, and when it has taken effect the failure of the zone. ``isolation``
    is what the failure policy says about isolating it. ``is_over``: that fault has ended.
    """

    escalation_id: str
    resource_id: str
    resource_type: str
    state: EscalationState
    is_over: bool
    raised_time: datetime
    deadline: datetime | None
    decided_time: datetime | None
    user: str | None
    comment: str | None
    isolation: IsolationPolicy
    frequency: int
    probation: Annotated[float, msgspec.Meta(description="Seconds.")]
    fault_id: str
    failures: list[FailureOut]


class EscalationsQuery(PageQuery, frozen=True, kw_only=True):
    """Which escalations."""

    state: list[EscalationState] = []
    resource_id: list[Described] = []
    resource_type: list[Described] = []
    sort: Literal["raised_time", "-raised_time", "resource_id", "-resource_id"] = "-raised_time"


class Decision(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who decides (by default the name of the token), and why."""

    user: Person = ""
    comment: Annotated[str, msgspec.Meta(max_length=1000)] = ""


_KEYS: dict[str, Callable[[Escalation], Key]] = {
    "raised_time": lambda one: microseconds(one.raised_time),
    "resource_id": lambda one: one.resource_id,
}
_DECIDED = {
    200: "It is decided.",
    409: "It is decided otherwise already, or the time to decide is over.",
}
_WHICH = {"escalation_id": "The escalation, as the list or the details of its alarm have it."}


class EscalationsDoor:
    """The operations on escalations."""

    def __init__(self, escalations: EscalationFlow) -> None:
        self._escalations = escalations

    @operation("GET", "/v1/escalations", tag="Alarms", roles=OVERSEERS)
    async def list_escalations(self, call: Call[None, EscalationsQuery]) -> Answer[Page[EscalationOut]]:
        """List failure impact zones whose parts have failed too often: those to be decided, and those of the past.

        The failure policy says in `zones` how often is too often, and whether somebody has to decide (`ask`) or it takes
        effect at once (`automatic`). They are kept as long as the faults on their zones.
        """
        query = call.query
        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.escalation_id)

        def wanted(one: Escalation) -> bool:
            return (
                (not query.state or one.state in query.state)
                and (not query.resource_id or one.resource_id in query.resource_id)
                and (not query.resource_type or one.resource_type in query.resource_type)
            )

        return Answer(await sorted_page(self._escalations.all, query, order, wanted, _shown))

    @operation("GET", "/v1/escalations/{escalation_id}", tag="Alarms", roles=OVERSEERS, path_help=_WHICH)
    async def get_escalation(self, call: Call[None, None]) -> Answer[EscalationOut]:
        """Show one escalation."""
        return Answer(_shown(self._escalations.find(call.path["escalation_id"])))

    @operation(
        "POST",
        "/v1/escalations/{escalation_id}/approve",
        tag="Alarms",
        roles=ADMINISTRATORS,
        answers=_DECIDED,
        path_help=_WHICH,
        example={"user": "alice", "comment": "the cooling of this rack has failed"},
    )
    async def approve_escalation(self, call: Call[Decision | None, None]) -> Answer[EscalationOut]:
        """Say that the zone has failed: its fault is raised, and it counts in the next zone.

        To say it twice is no error.
        """
        return Answer(await self._decide(call, Move.APPROVE))

    @operation(
        "POST",
        "/v1/escalations/{escalation_id}/reject",
        tag="Alarms",
        roles=ADMINISTRATORS,
        answers=_DECIDED,
        path_help=_WHICH,
        example={"user": "alice", "comment": "three bad disks, and nothing else"},
    )
    async def reject_escalation(self, call: Call[Decision | None, None]) -> Answer[EscalationOut]:
        """Say that the zone has not failed: the question is over, and these failures count no more.

        To say it twice is no error.
        """
        return Answer(await self._decide(call, Move.REJECT))

    async def _decide(self, call: Call[Decision | None, None], move: Move) -> EscalationOut:
        said = call.body or Decision()
        user = person(said.user) or call.identity.name
        return _shown(
            await self._escalations.decide(
                call.path["escalation_id"], move, user=user, comment=said.comment.strip()
            )
        )


def _shown(one: Escalation) -> EscalationOut:
    return EscalationOut(
        escalation_id=one.escalation_id,
        resource_id=one.resource_id,
        resource_type=one.resource_type,
        state=one.state,
        is_over=one.is_over,
        raised_time=one.raised_time,
        deadline=one.deadline,
        decided_time=one.decided_time,
        user=one.user or None,
        comment=one.comment or None,
        isolation=one.level.isolation,
        frequency=one.level.frequency,
        probation=one.level.probation.total_seconds(),
        fault_id=one.fault_key,
        failures=[_failure(failure) for failure in one.failures],
    )


def _failure(failure: Failure) -> FailureOut:
    return FailureOut(
        fault_id=failure.fault_key,
        resource_id=failure.resource_id,
        fault_type=failure.fault_type,
        raised_time=failure.time,
    )
