"""The door to the vantages: what Doctor's own monitors see, and whether they are believed [I-13]."""

from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import OVERSEERS
from doctor.flows.lookout import Lookout
from doctor.inspector.vantage import Vantage
from doctor.model.alarm import AlarmedFault


class VantageState(StrEnum):
    """Whether a vantage is believed. `overruled`: somebody has said that it is right although it seems to be cut off."""

    SEES = "sees"
    DOUBTED = "doubted"
    ISOLATED = "isolated"
    OVERRULED = "overruled"


class CanaryOut(msgspec.Struct, frozen=True, kw_only=True):
    """A canary as one vantage sees it."""

    name: str
    seen: bool
    silent_since: datetime | None


class VantageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A monitor of Doctor's own, and what it sees.

    Of the hosts so many answer (``seen_hosts``), are silent and believed to be dead (``dead_hosts``), or are silent
    and not believed to be (``waiting_hosts``, by id). ``alarm_id`` is of the alarm that it is isolated.
    """

    name: str
    state: VantageState
    since: datetime | None
    seen_hosts: int
    dead_hosts: int
    waiting_hosts: tuple[str, ...]
    canaries: tuple[CanaryOut, ...]
    alarm_id: str | None


class VantagesDoor:
    """The operations on vantages."""

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout

    @operation("GET", "/v1/vantages", tag="Monitors", roles=OVERSEERS)
    async def list_vantages(self, call: Call[None, PageQuery]) -> Answer[Page[VantageOut]]:
        """List Doctor's own monitors by name: whether they see their hosts and canaries, and are believed.

        While one is isolated its silent hosts wait, and there is one alarm of it. Whoever knows better clears that alarm:
        then the hosts are believed to be dead.
        """
        after = position_in(call.query.cursor, str) or ""
        rows = [one for one in self._lookout.vantages if one.name > after][: call.query.limit + 1]
        return Answer(page_of(rows, call.query.limit, self._shown, lambda one: one.name))

    def _shown(self, vantage: Vantage) -> VantageOut:
        isolation = self._lookout.isolation(vantage.name)
        own = isolation.alarms.get(vantage.name) if isolation else None
        return VantageOut(
            name=vantage.name,
            state=_state(vantage, isolation),
            since=isolation.fault.raised_time if isolation else None,
            seen_hosts=len(vantage.seen),
            dead_hosts=len(vantage.dead),
            waiting_hosts=tuple(sorted(vantage.held)),
            canaries=tuple(
                CanaryOut(name=name, seen=since is None, silent_since=since)
                for name, since in sorted(vantage.canaries.items())
            ),
            alarm_id=own.alarm_id if own else None,
        )


def _state(vantage: Vantage, isolation: AlarmedFault | None) -> VantageState:
    if isolation is not None:
        return VantageState.ISOLATED
    if vantage.is_overruled:
        return VantageState.OVERRULED
    return VantageState.DOUBTED if vantage.held else VantageState.SEES
