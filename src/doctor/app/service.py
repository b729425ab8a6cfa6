"""The running service: what starts in which order, what runs side by side, and how it ends."""

import asyncio
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import timedelta

import msgspec
import structlog
import uvicorn

from doctor import __version__
from doctor.api.wire.resource_map import ResourceMapIn, resource_map_of
from doctor.app.http import EventProtocol
from doctor.app.settings import Settings
from doctor.app.wiring import Parts, administrator, of_channels, wire
from doctor.flows.cloud import KeptMap
from doctor.flows.fault import Reported
from doctor.flows.resource_map import settle_memory
from doctor.flows.tokens import ADMIN_TOKEN_NAME
from doctor.kit import retry
from doctor.model.errors import PermanentError, RejectedError, StoreError
from doctor.model.event import RawEvent
from doctor.model.identity import Role
from doctor.model.resource import PhysicalResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.monitor import Monitor, Said, Stake
from doctor.ports.payload import Saying

log = structlog.get_logger(__name__)

ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - the name of a file
KEEP_ALIVE = 75  # seconds: monitors post every few seconds on one connection
FLUSH_EVERY = 0.1
PRUNE_EVERY = 3600.0
THREAD_SWITCH = 0.0005  # the writer thread gets its turn at once

OnStarted = Callable[[tuple[str, int]], None]


class Service:
    """One Doctor on one machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()

    async def run(self, on_started: OnStarted | None = None) -> None:
        """Serve until told to stop by a signal or by `stop`.

        Raises:
            RejectedError: the settings are wrong.
            PermanentError: the store cannot be used, or the address is taken.
        """
        sys.setswitchinterval(THREAD_SWITCH)
        _raise_file_limit()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        listener = _listen(self._settings)
        try:
            parts = wire(self._settings, listener.getsockname()[:2])
            try:
                await self._start(parts)
                await self._serve(parts, listener, on_started)
            finally:
                parts.timelines.flush()
                for controller in parts.controllers:
                    await controller.close()
                await parts.channel.close()
                if parts.grants is not None:
                    await parts.grants.close()
                await parts.fences.close()
                for named in parts.actions.values():
                    await named.action.close()
                await parts.store.close()
                log.info("doctor.stopped")
        finally:
            listener.close()

    def stop(self) -> None:
        """End the service in good order."""
        self._stop.set()

    async def _start(self, parts: Parts) -> None:
        situation = parts.situation
        admin = administrator(self._settings, parts.channel, parts.clock)
        channels = of_channels(parts.fixed_channels, parts.clock)
        snapshot = await situation.load((*((admin,) if admin else ()), *channels))
        if snapshot.resource_map is not None:
            situation.resources = _kept_map(snapshot.resource_map, by_clouds=bool(parts.controllers))
        if parts.hand_map is not None:
            parts.hand_map.start()
        situation.dress(situation.resources)
        await parts.policies.start(situation, self._settings.policy)
        parts.fence_readiness.start(snapshot)
        await _make_admin_token(parts)
        for subscription in situation.subscriptions:
            parts.delivery.follow(subscription)
        _ = (
            situation.pool,
            situation.resources.hosts_by_domain,
        )  # counted now, and not when the first host fails
        parts.alarms.start()
        parts.silences.start()
        parts.faults.start()
        parts.sources.start()
        parts.standing.start()
        parts.marks.resume()
        parts.service_levels.start()
        settle_memory()
        log.info(
            "doctor.restored",
            open_faults=len(situation.book),
            subscriptions=len(situation.subscriptions),
            virtual_resources=len(situation.resources.virtual),
        )

    async def _serve(self, parts: Parts, listener: socket.socket, on_started: OnStarted | None) -> None:
        server = _Server(_server_settings(self._settings, parts))
        address = listener.getsockname()[:2]

        def started() -> None:
            log.info(
                "doctor.started",
                version=__version__,
                listen=f"{'https' if self._settings.tls else 'http'}://{address[0]}:{address[1]}",
                data=str(self._settings.data_folder),
                monitors=[monitor.name for monitor in parts.monitors],
            )
            if on_started:
                on_started(address)

        server.on_started = started
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(parts.delivery.run(), name="delivery"),
                tasks.create_task(parts.situation.stay_ready(), name="mending"),
                tasks.create_task(parts.acknowledgements.run(), name="acknowledgements"),
                tasks.create_task(parts.outages.run(), name="outages"),
                tasks.create_task(_every(FLUSH_EVERY, parts.timelines.flush), name="timelines"),
                tasks.create_task(parts.agenda.run(), name="agenda"),
                tasks.create_task(parts.sources.run(), name="sources"),
                tasks.create_task(parts.standing.run(), name="standing"),
                tasks.create_task(parts.marks.run(), name="marks"),
                tasks.create_task(parts.cloud.run(), name="clouds"),
                tasks.create_task(parts.isolation.run(), name="isolation"),
                tasks.create_task(parts.instructions.run(), name="instructions"),
                tasks.create_task(parts.recoveries.run(), name="recovery"),
                tasks.create_task(parts.maintenance.run(), name="maintenance"),
                tasks.create_task(parts.disabled.run(), name="disabled hosts"),
                *([tasks.create_task(parts.hand_map.run(), name="map by hand")] if parts.hand_map else []),
                tasks.create_task(self._prune(parts), name="retention"),
                *(
                    tasks.create_task(_watch(monitor, parts), name=f"monitor {monitor.name}")
                    for monitor in parts.monitors
                ),
            ]
            stopper = tasks.create_task(self._stop_server(server), name="stop")
            await server.serve(sockets=[listener])
            for task in (*background, stopper):
                task.cancel()

    async def _stop_server(self, server: uvicorn.Server) -> None:
        await self._stop.wait()
        server.should_exit = True

    async def _prune(self, parts: Parts) -> None:
        """Forget what is older than it is to be kept."""
        while True:
            await asyncio.sleep(PRUNE_EVERY)
            with suppress(StoreError):
                await parts.ageing.forget()
                kept_for = timedelta(days=self._settings.retention.days)
                await parts.instructions.forget(parts.clock.now() - kept_for)
                await parts.recoveries.forget(parts.clock.now() - kept_for)
                await parts.maintenance.forget(parts.clock.now() - kept_for)


class _Server(uvicorn.Server):
    """Uvicorn, which says when it has started."""

    on_started: Callable[[], None]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the service: the store wants to be closed after the doors."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_started()


def _server_settings(settings: Settings, parts: Parts) -> uvicorn.Config:
    tls = settings.tls
    return uvicorn.Config(
        parts.doors,
        loop="none",
        http=EventProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=5,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=str(tls.key) if tls else None,
        ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
    )


def _raise_file_limit() -> None:
    """Take as many files as we are allowed: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PermanentError(
            f"cannot listen on {settings.listen}: {error.strerror or error}; is another Doctor running there?"
        ) from None
    listener.listen(2048)
    return listener


async def _make_admin_token(parts: Parts) -> None:
    """Write a random admin token for the first start, readable by this user only."""
    path = parts.settings.data_folder / ADMIN_TOKEN_FILE
    if path.exists() and parts.tokens.identify(path.read_text().strip()):
        return
    _, secret = await parts.tokens.create(Role.ADMIN, project=None, name=ADMIN_TOKEN_NAME, expires=None)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
    log.info("admin_token.written", path=str(path))


def _kept_map(document: bytes, *, by_clouds: bool) -> ResourceMap:
    """Return the map from before, if it is of the kind that is kept now: by hand, or by clouds."""
    with suppress(msgspec.ValidationError):
        if by_clouds:
            return msgspec.json.decode(document, type=KeptMap).resource_map
        return resource_map_of(msgspec.json.decode(document, type=ResourceMapIn), version=1)
    log.warning(
        "resource_map.left", reason="it was kept by clouds" if not by_clouds else "it was loaded by hand"
    )
    return ResourceMap()


async def _every(seconds: float, action: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        action()


class _Hosts:
    """The hosts of the resource map and all the rest, as monitors see them."""

    def __init__(self, parts: Parts) -> None:
        self._situation = parts.situation

    @property
    def _map(self) -> ResourceMap:
        return self._situation.resources

    @property
    def version(self) -> int:
        return self._map.version

    def hosts(self) -> list[PhysicalResource]:
        return list(self._map.hosts())

    def resources(self) -> list[PhysicalResource]:
        return list(self._map.physical.values())

    def stake(self, host_id: str) -> Stake:
        """Return what is at stake on a host."""
        virtual = self._map.virtual
        machines = [virtual[machine] for machine in self._map.machines_on(host_id)]
        return Stake(
            levels=frozenset(str(machine.sal) for machine in machines if machine.sal is not None),
            is_troubled=self._situation.book.is_troubled(host_id),
            wish=self._situation.subscriptions.detection_wish(machines),
        )


async def _watch(monitor: Monitor, parts: Parts) -> None:
    """Feed what a monitor sees into the fault flow; nothing that it saw is lost while the store is away."""
    try:
        async with aclosing(monitor.watch(_Hosts(parts))) as events:
            async for said in events:
                await _accept(monitor, said, parts)
    except PermanentError as error:
        log.error("monitor.unusable", monitor=monitor.name, error=str(error))
        raise


async def _accept(monitor: Monitor, said: Said, parts: Parts) -> None:
    attempt = 0
    while True:
        attempt += 1
        try:
            if isinstance(said, Saying):
                await parts.standing.hear(said)
            elif isinstance(said, RawEvent):
                body = msgspec.json.encode(said)
                await parts.faults.accept([Reported([said], monitor.name, body, parts.clock.now())])
            else:
                parts.sources.hears(monitor.name, "", parts.clock.now())
                await parts.standing.compare(said)
        except StoreError:
            await asyncio.sleep(retry.delay_before(attempt + 1))
        else:
            return


def run(settings: Settings, on_started: OnStarted | None = None) -> None:
    """Run a Doctor in this process until it is told to stop.

    Raises:
        RejectedError: the settings are wrong.
        PermanentError: it cannot start here.
    """
    import uvloop

    async def main() -> None:
        await Service(settings).run(on_started)

    try:
        uvloop.run(main())
    except ExceptionGroup as group:
        for kind in (PermanentError, RejectedError):
            found = group.subgroup(kind)
            if found is not None:
                raise _first(found) from None
        raise


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
