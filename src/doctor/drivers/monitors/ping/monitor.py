"""The ping monitor as the rest of Doctor sees it: targets go in, raw events come out."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from itertools import islice

import structlog

from doctor.drivers.monitors.ping.addresses import Address, literal, resolve
from doctor.drivers.monitors.ping.judging import CANARY_PREFIX, Change, Host, Rule, Status
from doctor.drivers.monitors.ping.methods import open_prober
from doctor.drivers.monitors.ping.probing import Prober
from doctor.drivers.monitors.ping.reports import Words, milliseconds, report, report_sight
from doctor.drivers.monitors.ping.rounds import Rounds, Watched
from doctor.drivers.monitors.ping.seeing import Doubt, settles_in, sight
from doctor.drivers.monitors.ping.settings import PingSettings, Refused
from doctor.drivers.monitors.ping.tcp import TcpProber
from doctor.drivers.monitors.ping.wishes import NOTHING_SPECIAL, Wish, canaries, rule_for, wishes
from doctor.kit.clock import Clock, SystemClock
from doctor.model.event import RawEvent
from doctor.model.vantage import Sight
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

    def __init__(self, settings: PingSettings | None = None, clock: Clock | None = None) -> None:
        self._settings = settings or PingSettings()
        self._clock = clock or SystemClock()
        self.name = self._settings.vantage

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

    A monitor that hears of hosts in another way too is a subclass: `_wish`, `_look`, `_found`, `_next_time`, `_seen`,
    `_in_words` and `_close` are its to change.
    """

    def __init__(self, targets: Targets, settings: PingSettings, clock: Clock, prober: Prober) -> None:
        self._targets = targets
        self._settings = settings
        self._clock = clock
        self._prober = prober
        self._rounds: dict[int | None, Rounds] = {
            None: Rounds(prober)
        }  # with a port: of canaries asked by TCP
        self._canaries = canaries(settings)
        self._witnesses = [wish.rule for _, wish in self._canaries.values()] or [
            rule_for(NOTHING_SPECIAL, settings)
        ]
        self._doubt = Doubt()
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
        self.begin()

    def begin(self) -> None:
        """Take the first turn."""
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
        self._close()
        if self._looking_up is not None:
            self._looking_up.cancel()
            await asyncio.wait([self._looking_up])
        log.info("monitor.stopped", monitor=self._settings.vantage)

    def _close(self) -> None:
        for rounds in self._rounds.values():
            rounds.close()

    def _tick(self) -> None:
        try:
            now = self._clock.monotonic()
            self._advance(now)
        except Exception as error:
            self._fail(error)
            return
        self._wanted_at = self._next_time(now)
        delay = max(self._wanted_at - self._clock.monotonic(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _next_time(self, now: float) -> float:
        return min(rounds.next_time(now) for rounds in self._rounds.values())

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._bell.set()

    def _advance(self, now: float) -> None:
        if self._version != self._targets.version:
            self._load(now)
        lag = now - self._wanted_at
        if lag > WORTH_A_WARNING:
            self._warn(lag, now)
        self._look(now, lag)
        if len(self._events) < MOST_WAITING:
            self._collect(now)

    def _look(self, now: float, lag: float) -> None:
        for rounds in self._rounds.values():
            rounds.advance(now, lag)

    def _found(self, now: float) -> Iterator[Change]:
        return (change for rounds in self._rounds.values() for change in rounds.changes())

    def _collect(self, now: float) -> None:
        found = list(islice(self._found(now), MOST_WAITING - len(self._events)))
        sights = self._sights(found)
        usual = Sight(vantage=self._settings.vantage)
        for change in found:
            seen = usual
            if _is_lost(change):
                seen = sights[change.rule]
                if not seen.is_clear:
                    self._doubt.rise(change, now + seen.settles_in)
            wall, monotonic = self._clock.now(), self._clock.monotonic()
            self._say(report(change, self._in_words(change), seen, now=wall, monotonic=monotonic))
        if self._doubt.is_there:
            self._look_again(now)

    def _in_words(self, change: Change) -> Words:
        is_down = change.status is Status.DOWN
        cause = f"no answer to {change.rule.misses} probes" if is_down else "answers to probes"
        return Words(cause, self._prober.method.value)

    def _sights(self, found: Iterable[Change]) -> dict[Rule, Sight]:
        """Return what was seen while those hosts missed their probes that were found silent now, by their rule.

        Hosts of one rule that are found silent at one tick missed them at the same time.
        """
        missed: defaultdict[Rule, list[tuple[float, float]]] = defaultdict(list)
        for change in found:
            if change.missed is not None and _is_lost(change):
                missed[change.rule].append(change.missed)
        return {
            rule: self._sight(
                max(begin for begin, _ in times),
                min(end for _, end in times),
                settles_in(rule, self._witnesses),
            )
            for rule, times in missed.items()
        }

    def _sight(self, begin: float, end: float, settles: float = 0.0) -> Sight:
        return sight(self._seen(), begin, end, vantage=self._settings.vantage, settles_in=settles)

    def _seen(self) -> Iterator[Host]:
        return (host for rounds in self._rounds.values() for host in rounds.hosts)

    def _look_again(self, now: float) -> None:
        """Say that we hear somebody, when it has been so long enough for hosts to be heard that are there.

        Those that fell silent are waiting to be believed.
        """
        seen = self._sight(self._doubt.since, now)
        if self._doubt.is_dispelled(now, is_clear=seen.is_clear):
            self._say(report_sight(seen, now=self._clock.now()))

    def _say(self, event: RawEvent) -> None:
        self._events.append(event)
        self._bell.set()

    def _warn(self, lag: float, now: float) -> None:
        if self._warned_at is None or now - self._warned_at > WARN_EVERY:
            self._warned_at = now
            log.warning("monitor.stalled", monitor=self._settings.vantage, lag_ms=milliseconds(lag))

    # --- what to watch ---

    def _load(self, now: float) -> None:
        is_first = self._version is None
        self._version = self._targets.version
        wanted = wishes(self._targets.hosts(), self._settings)
        if wanted == self._wanted and not is_first:
            return
        self._wanted = wanted
        self._watch(now)
        log.info(
            "monitor.targets_loaded", monitor=self._settings.vantage, hosts=len(wanted), version=self._version
        )
        if self._looking_up is not None:
            self._looking_up.cancel()
            self._looking_up = None
        wishes_of_all = (*wanted.values(), *(wish for _, wish in self._canaries.values()))
        names = {text for wish in wishes_of_all for text in wish.addresses if self._is_name(text)}
        if names:
            self._looking_up = asyncio.get_running_loop().create_task(self._look_up(names))
            self._looking_up.add_done_callback(self._looked_up)

    def _watch(self, now: float) -> None:
        wanted: defaultdict[int | None, dict[str, Watched]] = defaultdict(dict)
        for name, wish in self._wish():
            addresses = frozenset(self._usable(name, wish.addresses, self._rounds[None]))
            if addresses:
                wanted[None][name] = Watched(wish.rule, addresses)
        for name, (port, wish) in self._canaries.items():
            addresses = frozenset(self._usable(name, wish.addresses, self._rounds_at(port)))
            if addresses:
                watched = Watched(wish.rule, addresses, is_canary=True)
                wanted[port][f"{CANARY_PREFIX}{name}"] = watched
        for port in self._rounds:
            self._rounds[port].watch(wanted[port], now)

    def _wish(self) -> Iterable[tuple[str, Wish]]:
        return self._wanted.items()

    def _rounds_at(self, port: int | None) -> Rounds:
        if port is not None and port not in self._rounds:
            self._rounds[port] = Rounds(TcpProber(port, Refused.ALIVE))
        return self._rounds[port]

    def _usable(self, host: str, texts: Iterable[str], rounds: Rounds) -> Iterable[Address]:
        for text in texts:
            for address in self._read(host, text):
                try:
                    rounds.prepare(address.family)
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


def _is_lost(change: Change) -> bool:
    """Tell whether a host has fallen silent."""
    return change.status is Status.DOWN and not change.is_canary


def milliseconds_of(settings: PingSettings) -> int:
    """Return the usual interval for the log."""
    return milliseconds(settings.interval.total_seconds())
