"""Takes a cloud for the Monitor that it is too: what it says of its hosts and servers becomes events [D 3.3.1].

The map has what the cloud says; `doctor.inspector.vim_state` decides what of it is news. Where Doctor has just let go
of a mark of its own, an old word of that mark may still be under way: there the cloud is asked before it is believed.
"""

import asyncio
from collections.abc import Iterable, Mapping

import msgspec
import structlog

from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.marking import MarkingFlow
from doctor.flows.situation import Situation
from doctor.inspector.marking import is_reason_of_doctor
from doctor.inspector.vim_state import COMPUTE_SERVICE, MARK_OF, SILENT, changes, heard
from doctor.kit.clock import Clock
from doctor.model.errors import DoctorError, Reason, RejectedError, StoreError
from doctor.model.event import RawEvent
from doctor.model.marking import MARKED, Mark
from doctor.model.resource import Resource
from doctor.ports.controller import Controller

log = structlog.get_logger(__name__)

CHUNK = 1_000  # resources that are looked at before anybody else has a turn
AGAIN = 1.0  # seconds until a cloud, or the store, that did not answer is asked again
EVENT = "vim_event"  # the detail that has the type of the event by which a fault began

_as_json = msgspec.json.Encoder().encode


class VimWatch:
    """What all clouds say of themselves."""

    def __init__(
        self,
        situation: Situation,
        controllers: Mapping[str, Controller],
        faults: FaultFlow,
        marks: MarkingFlow,
        clock: Clock,
    ) -> None:
        self._situation = situation
        self._controllers = controllers
        self._faults = faults
        self._marks = marks
        self._clock = clock
        self._said: dict[str, frozenset[str]] = {}
        self._looked_at: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._doubted: dict[str, None] = {}
        self._doubt = asyncio.Event()
        marks.on_let_go = lambda resource_id: self.look_at((resource_id,))

    def look_at(self, resource_ids: Iterable[str]) -> None:
        """See soon what a cloud says of these now."""
        self._looked_at.update(dict.fromkeys(resource_ids))
        self._changed.set()

    def look_at_all(self) -> None:
        """See what is said of everything: a map is complete now."""
        resources = self._situation.resources
        self.look_at(resources.physical)
        self.look_at(resources.virtual)
        self.look_at(self._situation.book.roots)

    async def run(self) -> None:
        """Turn what clouds say into events, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_looking())
            tasks.create_task(self._keep_asking())

    async def _keep_looking(self) -> None:
        while True:
            await self._changed.wait()
            ids = list(self._looked_at)[:CHUNK]
            for one in ids:
                del self._looked_at[one]
            if not self._looked_at:
                self._changed.clear()
            try:
                await self._look(ids)
            except StoreError as error:
                log.warning("vim.not_kept", error=str(error))
                await asyncio.sleep(AGAIN)
                self.look_at(ids)
            await asyncio.sleep(0)

    async def _look(self, resource_ids: Iterable[str], *, is_certain: bool = False) -> None:
        """Report what is news of some resources; of what may be a word of Doctor's own, only what is certain."""
        situation = self._situation
        events: dict[str, list[RawEvent]] = {}
        said: dict[str, frozenset[str]] = {}
        for resource_id in resource_ids:
            resource = situation.resources.get(resource_id)
            now = {} if resource is None else heard(resource, situation.marks)
            before = self._before(resource_id)
            news, over = changes(before, now)
            if not is_certain and any(self._may_be_ours(one, resource_id) for one in news):
                self._doubted[resource_id] = None
                self._doubt.set()
                continue
            cloud = self._cloud_of(resource_id, resource)
            if cloud is None or not (news or over):
                continue
            said[resource_id] = frozenset(now)
            events.setdefault(cloud, []).extend(
                [self._event(cloud, one, resource_id, resource, "down", now[one]) for one in news]
                + [self._event(cloud, one, resource_id, resource, "up", "") for one in over]
            )
        for cloud, found in events.items():
            report = Reported(found, cloud, _as_json(found), self._clock.now())
            await self._faults.accept([report])
            log.info("vim.heard", cloud=cloud, events=[f"{one.type} {one.status}" for one in found[:10]])
        for resource_id, types in said.items():
            if types:
                self._said[resource_id] = types
            else:
                self._said.pop(resource_id, None)

    def _before(self, resource_id: str) -> frozenset[str]:
        """Return what was said before; after a start that is known by the faults that are open."""
        known = self._said.get(resource_id)
        if known is not None:
            return known
        return frozenset(
            str(record.fault.details.get(EVENT))
            for record in self._situation.book.rooted_in(resource_id)
            if record.fault.details.get("source") in self._controllers
        )

    def _cloud_of(self, resource_id: str, resource: Resource | None) -> str | None:
        if resource is not None:
            return resource.cloud
        sources = (one.fault.details.get("source") for one in self._situation.book.rooted_in(resource_id))
        return next((str(one) for one in sources if one in self._controllers), None)

    def _may_be_ours(self, event_type: str, resource_id: str) -> bool:
        kind = MARK_OF.get(event_type)
        return kind is not None and self._marks.was_just_ours(Mark(kind, resource_id))

    def _event(
        self,
        cloud: str,
        event_type: str,
        resource_id: str,
        resource: Resource | None,
        status: str,
        cause: str,
    ) -> RawEvent:
        details = {"source": cloud, "status": status, "resource_id": resource_id, EVENT: event_type}
        if cause:
            details["cause"] = cause
        if event_type == SILENT:
            details["service"] = COMPUTE_SERVICE
        return RawEvent(
            time=self._clock.now(),
            type=event_type,
            resource=resource_id,
            resource_type="" if resource is None else resource.type,
            source=cloud,
            status=status,
            raw_details=_as_json(details),
        )

    # --- what may be a word of Doctor's own ---

    async def _keep_asking(self) -> None:
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            ids, self._doubted = list(self._doubted), {}
            for resource_id in ids:
                try:
                    if await self._is_so(resource_id):
                        await self._look((resource_id,), is_certain=True)
                except DoctorError:
                    self._doubted[resource_id] = None
            if self._doubted:
                await asyncio.sleep(AGAIN)
                self._doubt.set()

    async def _is_so(self, resource_id: str) -> bool:
        """Ask the cloud whether it says of a resource what the map has, and not on Doctor's account."""
        resource = self._situation.resources.get(resource_id)
        if resource is None or resource.cloud is None:
            return True
        controller = self._controllers[resource.cloud]
        for one in heard(resource, self._situation.marks):
            kind = MARK_OF.get(one)
            if kind is None:
                continue
            if self._marks.may_come_late(Mark(kind, resource_id)):
                return False  # it will be taken back; what turns out to be somebody else's is looked at again then
            try:
                standing = await controller.read(Mark(kind, resource_id))
            except RejectedError as error:
                if error.reason is not Reason.NOT_FOUND:
                    raise
                return False
            if standing.state != MARKED[kind] or is_reason_of_doctor(standing.reason):
                return False  # the map will have heard of it soon
        return True
