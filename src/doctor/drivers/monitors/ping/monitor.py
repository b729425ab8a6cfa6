"""The ping monitor as the rest of Doctor sees it: targets go in, raw events come out."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable

import structlog

from doctor.drivers.monitors.ping.addresses import Address, literal, resolve
from doctor.drivers.monitors.ping.methods import open_prober
from doctor.drivers.monitors.ping.probing import Prober
from doctor.drivers.monitors.ping.reports import NAME, milliseconds, report
from doctor.drivers.monitors.ping.rounds import Rounds, Watched
from doctor.drivers.monitors.ping.settings import PingSettings
from doctor.drivers.monitors.ping.wishes import Wish, wishes
from doctor.kit.clock import Clock, SystemClock
from doctor.model.event import RawEvent
from doctor.ports.monitor import Targets

MOST_WAITING = 10_000  # events that nobody has taken yet; beyond that judging waits
LOOK_UP_AGAIN = 30.0
WORTH_A_WARNING = 0.25
WARN_EVERY = 60.0

log = structlog.get_logger()


class PingMonitor:
    """Reports hosts that answer no echo any more, and those that do so again.

    A host that answers when the monitor starts is reported up once: a fault that was left open by an earlier run
    is cleared by it.
    """

    name = NAME

    def __init__(self, settings: PingSettings | None = None, clock: Clock | None = None) -> None:
        self._settings = settings or PingSettings()
        self._clock = clock or SystemClock()

    async def watch(self, targets: Targets) -> AsyncGenerator[RawEvent, None]:
        """Yield events until cancelled or closed.

        Raises:
            PermanentError: the method that is set is not allowed here.
        """
        watching = Watching(targets, self._settings, self._clock, open_prober(self._settings))
        try:
            watching.start()
            while True:
                yield await watching.next_event()
        finally:
            await watching.stop()


class Watching:
    """One run of the monitor: drives the rounds by timers of the event loop and keeps the events until taken.

    The rounds go on while somebody is busy with an event. Sockets are read at each tick and not whenever something
    comes: for 500 hosts that is a hundred times a second and not five thousand.
    """

    def __init__(self, targets: Targets, settings: PingSettings, clock: Clock, prober: Prober) -> None:
        self._targets = targets
        self._settings = settings
        self._clock = clock
        self._prober = prober
        self._rounds = Rounds(prober)
        self._version: int | None = None
        self._wanted: dict[str, Wish] = {}
        self._names: dict[str, tuple[Address, ...]] = {}
        self._useless: set[str] = set()
        self._looking_up: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wanted_at = 0.0
        self._warned_at: float | None = None
        self._events: deque[RawEvent] = deque()
        self._failure: Exception | None = None
        self._bell = asyncio.Event()

    def start(self) -> None:
        """Begin to probe."""
        log.info("ping.started", method=self._prober.method, interval_ms=milliseconds_of(self._settings))
        self._wanted_at = self._clock.monotonic()
        self._tick()

    async def next_event(self) -> RawEvent:
        """Return the next event, as soon as there is one.

        Raises:
            Exception: probing itself has failed; there will be no more events.
        """
        while not self._events:
            if self._failure is not None:
                raise self._failure
            self._bell.clear()
            await self._bell.wait()
        return self._events.popleft()

    async def stop(self) -> None:
        """Probe no more and give everything back."""
        if self._timer is not None:
            self._timer.cancel()
        self._prober.close()
        if self._looking_up is not None:
            self._looking_up.cancel()
            await asyncio.wait([self._looking_up])
        log.info("ping.stopped")

    def _tick(self) -> None:
        try:
            now = self._clock.monotonic()
            self._advance(now)
        except Exception as error:
            self._fail(error)
            return
        self._wanted_at = self._rounds.next_time(now)
        delay = max(self._wanted_at - self._clock.monotonic(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._bell.set()

    def _advance(self, now: float) -> None:
        if self._version != self._targets.version:
            self._load(now)
        lag = now - self._wanted_at
        if lag > WORTH_A_WARNING:
            self._warn(lag, now)
        self._rounds.advance(now, lag)
        if len(self._events) < MOST_WAITING:
            self._collect(now)

    def _collect(self, now: float) -> None:
        for change in self._rounds.changes():
            self._events.append(
                report(change, self._prober.method, now=self._clock.now(), monotonic=self._clock.monotonic())
            )
            self._bell.set()
            if len(self._events) >= MOST_WAITING:
                break

    def _warn(self, lag: float, now: float) -> None:
        if self._warned_at is None or now - self._warned_at > WARN_EVERY:
            self._warned_at = now
            log.warning("ping.stalled", lag_ms=milliseconds(lag))

    # --- what to watch ---

    def _load(self, now: float) -> None:
        self._version = self._targets.version
        wanted = wishes(self._targets.hosts(), self._settings)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._watch(now)
        if self._looking_up is not None:
            self._looking_up.cancel()
            self._looking_up = None
        names = {text for wish in wanted.values() for text in wish.addresses if self._is_name(text)}
        if names:
            self._looking_up = asyncio.get_running_loop().create_task(self._look_up(names))
            self._looking_up.add_done_callback(self._looked_up)

    def _watch(self, now: float) -> None:
        hosts: dict[str, Watched] = {}
        for name, wish in self._wanted.items():
            addresses = frozenset(self._usable(name, wish.addresses))
            if addresses:
                hosts[name] = Watched(wish.rule, addresses)
        self._rounds.watch(hosts, now)
        log.info("ping.targets_loaded", hosts=len(hosts), version=self._version)

    def _usable(self, host: str, texts: Iterable[str]) -> Iterable[Address]:
        for text in texts:
            for address in self._read(host, text):
                try:
                    self._prober.prepare(address.family)
                except OSError as error:
                    self._leave_out(host, address.text, error)
                else:
                    yield address

    def _read(self, host: str, text: str) -> tuple[Address, ...]:
        try:
            address = literal(text)
        except ValueError as error:
            self._leave_out(host, text, error)
            return ()
        return (address,) if address else self._names.get(text, ())

    def _leave_out(self, host: str, address: str, error: Exception) -> None:
        """Log an address that cannot be asked, once."""
        if address not in self._useless:
            self._useless.add(address)
            log.warning("ping.address_unusable", host=host, address=address, error=str(error))

    def _is_name(self, text: str) -> bool:
        try:
            return literal(text) is None
        except ValueError:
            return False

    async def _look_up(self, names: Iterable[str]) -> None:
        """Look names up and watch what was found; try again after a while with those that were not."""
        missing = list(names)
        while missing:
            found = dict(zip(missing, await asyncio.gather(*map(self._find, missing)), strict=True))
            self._names |= {name: addresses for name, addresses in found.items() if addresses}
            self._watch(self._clock.monotonic())
            missing = [name for name in missing if not found[name]]
            if missing:
                await asyncio.sleep(LOOK_UP_AGAIN)

    def _looked_up(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._fail(error)

    async def _find(self, name: str) -> tuple[Address, ...]:
        try:
            return await asyncio.to_thread(resolve, name)
        except (OSError, ValueError) as error:
            log.warning("ping.name_not_found", name=name, error=str(error), again_in=LOOK_UP_AGAIN)
            return ()


def milliseconds_of(settings: PingSettings) -> int:
    """Return the usual interval for the log."""
    return milliseconds(settings.interval.total_seconds())
