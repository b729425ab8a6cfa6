"""The controller for OpenStack: one region of one cloud, read, listened to and marked.

Listening begins before reading, so that nothing falls between; a reading is repeated now and then, and whenever the
message bus was lost, and what it finds otherwise than announced is the drift.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import structlog
from msgspec.structs import replace

from doctor.drivers.controllers.openstack.announcements import (
    GroupsChanged,
    HostsChanged,
    ServiceHeard,
    opened,
    read,
)
from doctor.drivers.controllers.openstack.bus import Bus
from doctor.drivers.controllers.openstack.cinder import Cinder
from doctor.drivers.controllers.openstack.inventory import Inventory
from doctor.drivers.controllers.openstack.neutron import Neutron
from doctor.drivers.controllers.openstack.nova import Nova
from doctor.drivers.controllers.openstack.resources import Naming, groups_by_member
from doctor.drivers.controllers.openstack.servers import Servers
from doctor.drivers.controllers.openstack.session import CloudSession
from doctor.drivers.controllers.openstack.settings import OpenStackSettings
from doctor.kit import retry
from doctor.kit.clock import Clock, SystemClock
from doctor.model import resource
from doctor.model.errors import DoctorError, PermanentError, Reason, RejectedError, TransientError
from doctor.model.instruction import Command, Progress, Stage
from doctor.model.map_news import Entry, MapDelta, MapStatus, Phase
from doctor.model.marking import Mark, MarkKind, Standing
from doctor.model.resource import HOST
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Tell

log = structlog.get_logger(__name__)

SETTLE = (
    1.0  # seconds between a word that something else has to be read and the reading: more such words follow
)
FEW = 10  # things of a kind, hosts excepted, that may be gone at once without a second look
ALL_AT_ONCE = 0.5  # part of a kind; a reading that misses more of it is doubted


class OpenStackController:
    """One region of one cloud."""

    def __init__(self, settings: OpenStackSettings, clock: Clock | None = None) -> None:
        self.name = settings.name or settings.cloud
        self._settings = settings
        self._clock = clock or SystemClock()
        self._session = CloudSession(settings)
        self._nova = Nova(self._session, settings.page)
        self._servers = Servers(self._session)
        self._neutron = Neutron(self._session, settings.page)
        self._cinder = Cinder(self._session, settings.page)
        self._naming = Naming(self.name, settings.host_prefix)
        self._inventory = Inventory(self._naming)
        self._bus = Bus(settings.notifications) if settings.notifications else None
        self._status = MapStatus(phase=Phase.LOADING)
        self._wanted = asyncio.Event()  # another reading
        self._began_listening = 0  # how often; a reading during which it changed counts no drift
        self._doubted_since: float | None = None  # monotonic

    async def watch(self, known: ResourceMap, tell: Tell) -> None:
        """Tell what there is and what changes, until cancelled."""
        self._inventory.recall(known)
        self._wanted.set()
        async with asyncio.TaskGroup() as tasks:
            if self._bus is not None:
                tasks.create_task(self._listen(self._bus, tell))
            tasks.create_task(self._keep_reading(tell))
            tasks.create_task(self._keep_missing(tell))

    async def read(self, mark: Mark) -> Standing:
        """Return how the cloud has it now."""
        match mark.kind:
            case MarkKind.PORT_DOWN:
                return await self._neutron.read(mark)
            case MarkKind.VOLUME_ERROR:
                return await self._cinder.read(mark)
            case _:
                with self._doubting(mark):
                    return await self._nova.read(mark, self._host(mark))

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it in the cloud."""
        match mark.kind:
            case MarkKind.PORT_DOWN:
                await self._neutron.write(mark, standing)
            case MarkKind.VOLUME_ERROR:
                await self._cinder.write(mark, standing)
            case _:
                with self._doubting(mark):
                    await self._nova.write(mark, self._host(mark), standing)

    async def look(self, command: Command) -> Progress:
        """Return what the service of a resource has made of a command. What nobody announces is read when it is done."""
        progress = await self._commanded(command).look(self._in_words_of_nova(command))
        if progress.stage is Stage.SUCCEEDED and not self._status.listening:
            self._wanted.set()
        return progress

    async def tell(self, command: Command) -> None:
        """Give a command to the service of a resource."""
        await self._commanded(command).tell(self._in_words_of_nova(command))

    async def leaving(self, host: str) -> Sequence[str]:
        """Return which evacuations from a host Nova has not ended yet."""
        return await self._nova.leaving(host.removeprefix(self._settings.host_prefix))

    async def close(self) -> None:
        """Let go of the threads."""
        await self._session.close()

    @contextmanager
    def _doubting(self, mark: Mark) -> Iterator[None]:
        """Take a host for gone only when a reading is believed that says so: it is missed in a listing as well."""
        try:
            yield
        except RejectedError as error:
            is_host = mark.kind in (MarkKind.FORCED_DOWN, MarkKind.DISABLED)
            if is_host and error.reason is Reason.NOT_FOUND and mark.resource_id in self._inventory:
                raise TransientError(f"{error}, which is not believed yet") from error
            raise

    def _host(self, mark: Mark) -> str:
        return mark.resource_id.removeprefix(self._settings.host_prefix)

    def _commanded(self, command: Command) -> Servers | Neutron | Cinder:
        match command.kind:
            case resource.NIC:
                return self._neutron
            case resource.STORAGE:
                return self._cinder
            case _:
                return self._servers

    def _in_words_of_nova(self, command: Command) -> Command:
        host, target = (
            one and one.removeprefix(self._settings.host_prefix) for one in (command.host, command.target)
        )
        return command._replace(host=host, target=target)

    # --- listening ---

    async def _listen(self, bus: Bus, tell: Tell) -> None:
        attempt = 0

        async def on_listening() -> None:
            nonlocal attempt
            attempt = 0
            self._began_listening += 1
            self._wanted.set()
            await self._report(tell, listening=True)
            log.info("cloud.listening", cloud=self.name)

        while True:
            try:
                async with aclosing(bus.messages(on_listening)) as messages:
                    await self._hear(messages, tell)
            except (TransientError, PermanentError) as error:
                attempt += 1
                log.warning("cloud.deaf", cloud=self.name, error=str(error))
                await self._report(tell, listening=False, trouble=str(error))
            await asyncio.sleep(retry.delay_before(attempt + 3))

    async def _hear(self, messages: AsyncIterator[bytes], tell: Tell) -> None:
        async for body in messages:
            envelope = opened(body)
            said = None if envelope is None else read(envelope)
            if said is None:
                continue
            if isinstance(said, GroupsChanged | HostsChanged):
                self._wanted.set()
            delta = self._inventory.take(said)
            if delta:
                await tell(delta)

    # --- reading ---

    async def _keep_reading(self, tell: Tell) -> None:
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(self._settings.reconcile_every if attempt == 0 else None):
                    await self._wanted.wait()
                    await asyncio.sleep(SETTLE if self._status.reconciled else 0.0)
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self._read_all(tell)
                attempt = 0
            except DoctorError as error:
                attempt += 1
                self._inventory.abandon()
                self._wanted.set()
                log.warning("cloud.unreadable", cloud=self.name, error=str(error), attempt=attempt)
                phase = Phase.STALE if self._status.reconciled else Phase.LOADING
                await self._report(tell, phase=phase, trouble=str(error))
                await asyncio.sleep(retry.delay_before(attempt + 3))

    async def _keep_missing(self, tell: Tell) -> None:
        """Ask which compute services report, since nobody announces that one does not."""
        while True:
            await asyncio.sleep(self._settings.services_every)
            try:
                alive = await self._nova.alive()
            except DoctorError:
                continue  # the reading of everything says what is wrong
            for name, is_alive in alive:
                delta = self._inventory.take(ServiceHeard(name, is_alive))
                if delta:
                    await tell(delta)

    async def _read_all(self, tell: Tell) -> None:
        """Read everything there is; what things stand on comes first."""
        inventory = self._inventory
        began, listened = self._clock.now(), self._began_listening
        is_first = self._status.reconciled is None
        listing = inventory.begin()
        loaded = 0

        async def take(delta: MapDelta, count: int) -> None:
            nonlocal loaded
            loaded += count
            if delta:
                await tell(delta)
            if is_first:
                await self._report(tell, loaded=loaded)

        hosts = await self._nova.hosts()
        await take(inventory.list_hosts(hosts), len(hosts))
        inventory.list_groups(groups_by_member(await self._nova.groups()))
        async for networks in self._neutron.networks():
            entries = [self._naming.network_entry(one.id, one.name, one.project_id) for one in networks]
            await take(inventory.list_entries(entries), len(entries))
        async for volumes in self._volumes():
            await take(inventory.list_entries(volumes), len(volumes))
        async for servers in self._nova.servers():
            await take(inventory.list_servers(servers), len(servers))
        async for ports in self._neutron.ports():
            ties = [self._naming.port_entry(one) for one in ports]
            await take(inventory.list_entries(ties), len(ties))
        if not is_first:
            await asyncio.sleep(SETTLE)  # a listing may be ahead of what is announced
        self._believe(inventory.unseen)
        gone = inventory.end()
        if gone:
            await tell(gone)
        counts = not is_first and self._status.listening and listened == self._began_listening
        drift = listing.drift if counts else 0
        await self._report(
            tell,
            phase=Phase.CURRENT,
            as_of=began,
            reconciled=self._clock.now(),
            loaded=loaded,
            drift=drift,
            drift_total=self._status.drift_total + drift,
            trouble="",
        )
        if is_first or drift:
            log.info("cloud.read", cloud=self.name, resources=len(inventory), drift=drift)

    async def _volumes(self) -> AsyncIterator[list[Entry]]:
        try:
            async for volumes in self._cinder.volumes():
                yield [
                    self._naming.volume_entry(one.id, one.name, one.project, one.status) for one in volumes
                ]
        except PermanentError:
            return  # there is no Cinder; servers name their volumes themselves

    def _believe(self, missing: Mapping[str, int]) -> None:
        """Doubt a reading that misses too much of something at once, until the cloud has said so for long enough.

        A policy that has changed, a cell or a database that was lost: the cloud answers, and has nothing. Owners are
        told from what is known meanwhile; what is really gone was announced, and is not missed.

        Raises:
            TransientError: read again.
        """
        there = self._inventory.counts
        much = {
            kind: count
            for kind, count in missing.items()
            if count > ALL_AT_ONCE * there[kind] and (kind == HOST or count > FEW)
        }
        now = self._clock.monotonic()
        if not much:
            self._doubted_since = None
            return
        if self._doubted_since is None:
            self._doubted_since = now
        if now - self._doubted_since < self._settings.reconcile_every:
            words = ", ".join(f"{count} of {there[kind]} ({kind})" for kind, count in much.items())
            raise TransientError(f"the cloud lists no more, which is not believed yet: {words}")
        self._doubted_since = None

    async def _report(self, tell: Tell, **changes: Any) -> None:
        self._status = replace(self._status, **changes)
        await tell(self._status)
