"""The door to the availability of VNFs [HA 6.1.2]: the owner's report."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Several
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import READERS
from doctor.api.sorting import Key, Order, sorted_page
from doctor.flows.availability import AvailabilityFlow
from doctor.kit.clock import Clock
from doctor.kit.times import in_utc
from doctor.model.errors import Flaw, RejectedError
from doctor.profiler.availability import VnfAvailability, Window

USUAL = timedelta(days=30)


class AvailabilityQuery(PageQuery, frozen=True, kw_only=True):
    """Which VNFs, and the window: the last 30 days up to now unless said otherwise. ``owner`` is for the Administrator."""

    since: datetime | None = None
    until: datetime | None = None
    group: Several = frozenset()
    owner: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    breached: bool | None = None
    sort: Literal["owner", "-owner", "availability", "-availability", "failures", "-failures"] = "owner"


class _Numbered(msgspec.Struct, frozen=True):
    row_id: str
    vnf: VnfAvailability


_KEYS: dict[str, Callable[[_Numbered], Key]] = {
    "owner": lambda one: one.vnf.owner,
    "availability": lambda one: round(one.vnf.availability * 10**9),
    "failures": lambda one: one.vnf.failures,
}


class AvailabilityDoor:
    """The operations on availability."""

    def __init__(self, availability: AvailabilityFlow, clock: Clock) -> None:
        self._availability = availability
        self._clock = clock

    @operation("GET", "/v1/availability", tag="Timelines", roles=READERS)
    async def get_availability(self, call: Call[None, AvailabilityQuery]) -> Answer[Page[VnfAvailability]]:
        """Ask how available my VNFs were, how long recoveries took, and which promises of their level were not kept.

        It is measured from the faults that are kept, planned outages included. A VNF is a group of machines, or a
        machine without a group. For all pages of one answer give the same `until`.
        """
        query, scope = call.query, call.identity.scope
        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.row_id)
        window = self._window(query)
        if scope is not None and query.owner not in (None, scope):
            return Answer(Page([]))
        found = await self._availability.report(scope or query.owner, window)
        rows = [_Numbered(one.vnf_id, one) for one in found]

        def wanted(row: _Numbered) -> bool:
            one = row.vnf
            return (not query.group or one.group in query.group) and (
                query.breached is None or query.breached == bool(one.breaches)
            )

        return Answer(await sorted_page(rows, query, order, wanted, lambda row: row.vnf))

    def _window(self, query: AvailabilityQuery) -> Window:
        now = self._clock.now()
        until = min(now, in_utc(query.until)) if query.until else now
        try:
            since = in_utc(query.since) if query.since else until - USUAL
        except OverflowError:
            since = until
        if since >= until:
            pointer = "/since" if query.since else "/until"
            raise RejectedError(
                "the window is empty", flaws=[Flaw(pointer, "begins when it is over, or later")]
            )
        return Window(since, until)
