"""The doors to the controllers: how true the map is that they keep, and what Doctor has marked in their clouds."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Several, is_in
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import OVERSEERS
from doctor.api.sorting import Key, Order, sorted_page
from doctor.flows.marking import MarkingFlow
from doctor.flows.situation import Situation
from doctor.kit.clock import Clock
from doctor.model.map_news import MapStatus, Phase
from doctor.model.marking import Mark, MarkKind, MarkRecord, MarkState


class ControllerOut(msgspec.Struct, frozen=True, kw_only=True):
    """A controller that keeps the resource map.

    ``phase`` is `loading`, `current`, or `stale` when it cannot be read. The map was true ``age`` seconds ago at the
    least, and, as long as Doctor is ``listening`` to what the cloud announces, it follows. ``drift`` is how many
    resources the last reading found otherwise than they had been announced, ``drift_total`` since the start.
    """

    controller: str
    phase: Phase
    version: int
    age: float | None
    loaded: int
    listening: bool
    reconciled: datetime | None
    drift: int
    drift_total: int
    marks_pending: int
    trouble: str


class MarkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A mark of Doctor's in a cloud, or one that it did not set.

    ``state`` is `marking` and `unmarking` while it is pending, `marked`, or `left` where the resource was left as it is:
    then ``reason`` says why. ``before`` is what it said before and will say again.
    """

    kind: MarkKind
    resource_id: str
    controller: str | None
    state: MarkState
    before: str | None = None
    reason: str = ""
    fault_id: str | None = None
    since: datetime | None = None
    done: datetime | None = None
    attempts: int = 0
    trouble: str | None = None


MarkSort = Literal["kind", "-kind", "resource_id", "-resource_id", "state", "-state"]


class MarkQuery(PageQuery, frozen=True, kw_only=True):
    """Which marks."""

    kind: list[MarkKind] = []
    state: list[MarkState] = []
    resource_id: Several = frozenset()
    sort: MarkSort = "resource_id"


_KEYS: dict[str, Callable[[MarkOut], Key]] = {
    "kind": lambda row: row.kind,
    "resource_id": lambda row: row.resource_id,
    "state": lambda row: row.state,
}


class ControllersDoor:
    """The operations on controllers."""

    def __init__(self, situation: Situation, marks: MarkingFlow, clock: Clock) -> None:
        self._situation = situation
        self._marks = marks
        self._clock = clock

    @operation("GET", "/v1/controllers", tag="Resources", roles=OVERSEERS)
    async def list_controllers(self, call: Call[None, PageQuery]) -> Answer[Page[ControllerOut]]:
        """List the controllers that keep the resource map, and how true it is. A map loaded by hand has none."""
        pending = dict.fromkeys(self._situation.clouds, 0)
        for record in self._situation.marks.values():
            if record.state is not MarkState.MARKED and record.cloud in pending:
                pending[record.cloud] += 1
        rows = [self._shown(name, one, pending[name]) for name, one in self._situation.clouds.items()]
        order: Order[ControllerOut] = Order(
            "controller",
            call.query.cursor,
            {"controller": lambda row: row.controller},
            lambda row: row.controller,
        )
        return Answer(await sorted_page(rows, call.query, order, lambda row: True, lambda row: row))

    def _shown(self, name: str, status: MapStatus, pending: int) -> ControllerOut:
        age = None if status.as_of is None else (self._clock.now() - status.as_of).total_seconds()
        return ControllerOut(
            controller=name,
            phase=status.phase,
            version=self._situation.resources.version,
            age=None if age is None else round(max(0.0, age), 1),
            loaded=status.loaded,
            listening=status.listening,
            reconciled=status.reconciled,
            drift=status.drift,
            drift_total=status.drift_total,
            marks_pending=pending,
            trouble=status.trouble,
        )

    @operation("GET", "/v1/marks", tag="Resources", roles=OVERSEERS)
    async def list_marks(self, call: Call[None, MarkQuery]) -> Answer[Page[MarkOut]]:
        """List what Doctor has marked in clouds, what is still to be marked or unmarked, and what it left alone."""
        query = call.query
        rows = [_of_record(one) for one in self._situation.marks.values()]
        rows += [self._of_left(mark, reason) for mark, reason in self._marks.left.items()]
        order = Order(query.sort, query.cursor, _KEYS, lambda row: f"{row.resource_id} {row.kind}")

        def wanted(row: MarkOut) -> bool:
            return (
                (not query.kind or row.kind in query.kind)
                and (not query.state or row.state in query.state)
                and is_in(row.resource_id, query.resource_id)
            )

        return Answer(await sorted_page(rows, query, order, wanted, lambda row: row))

    def _of_left(self, mark: Mark, reason: str) -> MarkOut:
        resource = self._situation.resources.get(mark.resource_id)
        return MarkOut(
            kind=mark.kind,
            resource_id=mark.resource_id,
            controller=None if resource is None else resource.cloud,
            state=MarkState.LEFT,
            reason=reason,
        )


def _of_record(record: MarkRecord) -> MarkOut:
    return MarkOut(
        kind=record.mark.kind,
        resource_id=record.mark.resource_id,
        controller=record.cloud,
        state=record.state,
        before=record.before,
        reason=record.reason,
        fault_id=record.fault_key,
        since=record.since,
        done=record.done,
        attempts=record.attempts,
        trouble=record.trouble,
    )
