"""Opens a session for a host that somebody has disabled in its cloud for a reason that the settings name, and ends it when
the host is enabled again.

    disabled there -> session | enabled there -> called off, or given back if it was empty

What clouds say is in the map; this only compares it with the sessions that there are, so that nothing is lost when
Doctor was away.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from doctor.flows.maintenance_desk import HostWish, MaintenanceDesk, Request
from doctor.flows.maintenance_session import SessionKeeper
from doctor.flows.situation import Situation
from doctor.inspector.vim_state import DISABLED
from doctor.kit.pattern import pattern
from doctor.maintenance.opening import due, taken_out
from doctor.model.alarm import Transition
from doctor.model.errors import RejectedError, StoreError
from doctor.model.identity import Identity, Role
from doctor.model.maintenance import HostStage, Session

log = structlog.get_logger(__name__)

SWEEP_EVERY = 10.0
GATHERS = 0.5  # seconds in which what clouds say is looked at together
SAID_BY = "vim_event"  # the detail of a fault that has the event by which a cloud began it


class DisabledHosts:
    """Hosts that are taken out of use in their clouds. ``reason`` is a pattern with wildcards; without one nothing is done."""

    def __init__(
        self, situation: Situation, keeper: SessionKeeper, desk: MaintenanceDesk, reason: str | None
    ) -> None:
        self._situation = situation
        self._keeper = keeper
        self._desk = desk
        self._is_meant: Callable[[str], bool] | None = None if reason is None else pattern(reason)
        self._bell = asyncio.Event()
        self._refused: dict[str, str] = {}

    def settled(self, transitions: Iterable[Transition]) -> None:
        """Look when a cloud has said that a host is disabled, or enabled again."""
        if self._is_meant is not None and any(
            one.record.fault.details.get(SAID_BY) == DISABLED for one in transitions
        ):
            self._bell.set()

    async def run(self) -> None:
        """Open sessions, and end them, until cancelled."""
        while self._is_meant is not None:
            try:
                await self._look(self._is_meant)
            except StoreError as error:  # it is looked at again soon
                log.warning("maintenance.held_up", error=str(error))
            await asyncio.sleep(GATHERS)
            try:
                async with asyncio.timeout(SWEEP_EVERY):
                    await self._bell.wait()
            except TimeoutError:
                pass
            self._bell.clear()

    async def _look(self, is_meant: Callable[[str], bool]) -> None:
        situation = self._situation
        await situation.ready()
        hosts = list(situation.resources.hosts())
        if any(self._keeper.is_loading(host.id) for host in hosts):
            return  # what is missing may only not be known yet
        disabled = taken_out(hosts, situation.marks, is_meant)
        found = due(disabled, situation.maintenance, situation.maintenance.hosts)
        for session in found.to_end:
            await self._end(session)
        for host, reason in found.to_open.items():
            await self._open(host, reason)
        self._refused = {host: why for host, why in self._refused.items() if host in found.to_open}

    async def _open(self, host: str, reason: str) -> None:
        who = Identity(name=f"who disabled it in {self._cloud_of(host)}", role=Role.ADMIN, project=None)
        try:
            session = await self._desk.create(who, Request((HostWish(host),), reason=reason, holds=True))
        except RejectedError as error:
            why = "; ".join((str(error), *(flaw.detail for flaw in error.flaws)))
            if self._refused.get(host) != why:  # it is asked again, and said once
                self._refused[host] = why
                log.warning("maintenance.not_opened", host=host, reason=why)
        else:
            log.info("maintenance.opened", session_id=session.session_id, host=host, reason=reason)

    def _cloud_of(self, host: str) -> str:
        return self._situation.resources.physical[host].cloud or "its cloud"

    async def _end(self, session: Session) -> None:
        """End a session whose host is in use again, as far as it goes on by then."""
        who = Identity(name="who enabled it in its cloud", role=Role.ADMIN, project=None)
        try:
            for work in self._keeper.works(session):
                if work.stage is HostStage.EMPTY:
                    await self._desk.give_back(who, [work.host])
                elif not work.stage.is_over:
                    await self._desk.abort(who, session.session_id, "it is enabled again")
        except RejectedError as error:  # something runs on it: that has to end first
            log.info("maintenance.not_ended", session_id=session.session_id, reason=str(error))
            return
        await self._desk.let_go(session.session_id)
