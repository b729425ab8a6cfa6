"""The heartbeat monitor as the rest of Doctor sees it: targets go in, heartbeats arrive, raw events come out."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice

import msgspec
import structlog

from doctor.drivers.monitors.heartbeat.expectations import Expectations
from doctor.drivers.monitors.heartbeat.keyring import Keyring
from doctor.drivers.monitors.heartbeat.pacing import Pacing, wished
from doctor.drivers.monitors.heartbeat.peers import Peers, Voucher, chosen
from doctor.drivers.monitors.heartbeat.receiver import Heard, Receiver
from doctor.drivers.monitors.heartbeat.reports import report_agent, report_peers, report_reach, report_restart
from doctor.drivers.monitors.heartbeat.settings import HeartbeatSettings, Rules
from doctor.drivers.monitors.heartbeat.verdicts import AgentSilent, Unreachable, Verdict, Verdicts
from doctor.drivers.monitors.heartbeat.vouching import Vouching
from doctor.drivers.monitors.ping.addresses import literal
from doctor.drivers.monitors.ping.judging import Change, Host, Rule, Status
from doctor.drivers.monitors.ping.methods import open_prober
from doctor.drivers.monitors.ping.monitor import MOST_WAITING, Watching
from doctor.drivers.monitors.ping.probing import Prober
from doctor.drivers.monitors.ping.reports import Words
from doctor.drivers.monitors.ping.wishes import Wish, is_chosen
from doctor.kit.beat import Kind
from doctor.kit.clock import Clock, SystemClock
from doctor.model.errors import PermanentError
from doctor.model.event import RawEvent
from doctor.model.resource import PhysicalResource
from doctor.ports.monitor import Informed, Stake, Targets

LOST_SOME = 1.0  # seconds that we count as late when the kernel had no room for what came
SHORTEST_WINDOW = 0.04
WISH_EVERY = 1.0  # seconds
WISHES_AT_ONCE = 10  # hosts
QUESTIONS = 3  # of a peer, within so many seconds
QUESTIONS_WITHIN = 0.12
PART_OF_WINDOW = 0.75  # of the time until the host counts as silent; the rest is for the way there and back
CROWD = 50  # hosts that are asked at the same time before they are asked less often

log = structlog.get_logger()


class PeerMonitor:
    """Says what agents say of the hosts beside theirs. It is fed by the heartbeat monitor, which asks them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._events: deque[RawEvent] = deque(maxlen=MOST_WAITING)
        self._bell = asyncio.Event()

    def say(self, event: RawEvent) -> None:
        """Hand over an event."""
        self._events.append(event)
        self._bell.set()

    async def watch(self, targets: Targets) -> AsyncGenerator[RawEvent, None]:
        """Yield events until cancelled or closed."""
        while True:
            while self._events:
                yield self._events.popleft()
            self._bell.clear()
            await self._bell.wait()


class HeartbeatMonitor:
    """Reports hosts whose agents send no heartbeats any more and that answer to no ping, and those that do so again.

    What agents say of other hosts is said by a monitor of its own, `peers`: they are another vantage.
    """

    def __init__(self, settings: HeartbeatSettings, keyring: Keyring, clock: Clock | None = None) -> None:
        self._settings = settings
        self._keyring = keyring
        self._clock = clock or SystemClock()
        self.name = settings.vantage
        self.peers = PeerMonitor(f"{settings.vantage}.peers")
        self._counts: Counter[str] = Counter()

    def counts(self) -> Mapping[str, int]:
        """Return how many datagrams were refused, and for how many the kernel had no room."""
        return {"rejected": self._counts["rejected"], "lost": self._counts["lost"]}

    async def watch(self, targets: Targets) -> AsyncGenerator[RawEvent, None]:
        """Yield events until cancelled or closed.

        Raises:
            PermanentError: an address to listen on is not ours or is taken, or no way of asking is allowed here.
        """
        listening = listen(targets, self._settings, self._keyring, self._clock)
        listening.peers_say = self.peers.say
        listening.counts = self._counts
        try:
            listening.start()
            while True:
                yield await listening.next_event()
        finally:
            await listening.stop()


def listen(targets: Targets, settings: HeartbeatSettings, keyring: Keyring, clock: Clock) -> "Listening":
    """Open the sockets.

    Raises:
        PermanentError: this is not possible here.
    """
    try:
        receiver = Receiver(settings.addresses, keyring)
    except OSError as error:
        where = ", ".join(settings.listen)
        raise PermanentError(f"heartbeat: cannot listen on {where}: {error.strerror or error}") from error
    try:
        return Listening(targets, settings, clock, receiver, open_prober(settings.ping))
    except PermanentError:
        receiver.close()
        raise


class Listening(Watching):
    """One run of the monitor. What it asks by ping are canaries, and hosts that miss heartbeats."""

    def __init__(
        self,
        targets: Targets,
        settings: HeartbeatSettings,
        clock: Clock,
        receiver: Receiver,
        prober: Prober,
    ) -> None:
        super().__init__(targets, settings.ping, clock, prober)
        self._own = settings
        self._receiver = receiver
        self._expectations = Expectations()
        self._verdicts = Verdicts(settings.agent_grace.total_seconds())
        self._rules = Rules(settings)
        self._missed_since: dict[str, float] = {}
        self._asked: frozenset[str] = frozenset()  # the hosts that are asked by ping now
        self._askable: frozenset[str] = frozenset()
        self._pacing = Pacing()
        self._wishes: dict[str, int] = {}
        self._wished_at = 0.0
        self._to_look_at: Iterator[PhysicalResource] = iter(())
        self._later: deque[RawEvent] = deque()
        self._peers = Peers()
        self._contacts: dict[str, Heard] = {}
        self._zones: dict[str, str | None] = {}
        self._neighbours: dict[str | None, list[str]] = {}
        self._everybody: list[str] = []
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._dead_to_peers: set[str] = set()
        self._random = random.Random()
        self._vouching = Vouching(settings.peers, self._random)
        self.counts: Counter[str] = Counter()
        self.peers_say: Callable[[RawEvent], None] = lambda event: None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Return where it really listens."""
        return self._receiver.addresses

    def start(self) -> None:
        """Begin to listen."""
        log.info("heartbeat.started", listen=[f"{host}:{port}" for host, port in self.addresses])
        self.begin()

    def _close(self) -> None:
        super()._close()
        self._receiver.close()
        log.info(
            "heartbeat.refused_in_all", **{str(name): n for name, n in self._receiver.refusals.counts.items()}
        )

    # --- what to watch ---

    def _load(self, now: float) -> None:
        hosts = [host for host in self._targets.hosts() if is_chosen(host.id, self._own.only)]
        self._receiver.ids = names_of(hosts)
        self._zones = {host.id: host.zone_id for host in hosts}
        self._everybody = list(self._zones)
        self._neighbours = {}
        for name, zone in self._zones.items():
            self._neighbours.setdefault(zone, []).append(name)
        self._addresses = {host.id: tuple(filter(is_literal, host.address)) for host in hosts}
        if self._own.peers:
            self._vouching.expect([name for name, addresses in self._addresses.items() if addresses], now)
        ids = {host.id for host in hosts}
        for gone in [host.name for host in self._expectations.hosts if host.name not in ids]:
            self._forget(gone)
        if self._own.expect:
            rule = self._rules.of(round(self._own.slowest.total_seconds() * 1e6), 0)
            for name in ids:
                if is_chosen(name, self._own.expect):
                    self._expectations.expect(name, rule, now)
        super()._load(now)

    def _forget(self, host: str) -> None:
        self._expectations.forget(host)
        self._verdicts.forget(host)
        self._contacts.pop(host, None)
        self._wishes.pop(host, None)
        self._pacing.forget(host)
        self._peers.forget(host)
        self._peers_say(host, is_dead=False)

    def _wish(self) -> Iterable[tuple[str, Wish]]:
        """Return how the hosts are asked that miss heartbeats: soon enough to know before they count as silent."""
        crowd = max(len(self._asked) / CROWD, 1.0)
        rules = {host.name: host.rule for host in self._expectations.hosts if host.name in self._asked}
        for name in self._asked:
            if name in self._wanted and name in rules:
                yield name, Wish(asking(rules[name], crowd), self._wanted[name].addresses)

    def _watch(self, now: float) -> None:
        super()._watch(now)
        self._askable = frozenset(host.name for host in self._rounds[None].hosts if not host.is_canary)

    # --- what comes ---

    def _wish_paces(self, now: float) -> None:
        """Find out anew how often agents are wished to speak, of a few hosts at a time."""
        if not self._own.paces.is_there:
            return
        targets = self._targets
        hosts = list(islice(self._to_look_at, WISHES_AT_ONCE))
        if not hosts and now >= self._wished_at:
            self._wished_at = now + WISH_EVERY
            self._to_look_at = iter(list(targets.hosts()))
        for host in hosts:
            stake = targets.stake(host.id) if isinstance(targets, Informed) else Stake()
            self._wishes[host.id] = wished(self._own.paces, host, stake)

    def _look(self, now: float, lag: float) -> None:
        self._wish_paces(now)
        arrival = self._receiver.drain(now)
        for heard in arrival.heard:
            self._take(heard, now)
        late = max(lag, LOST_SOME) if arrival.dropped else lag
        if arrival.dropped or arrival.refused:
            self.counts.update(lost=arrival.dropped, rejected=arrival.refused)
        self._expectations.advance(now, late, is_all=arrival.is_all)
        self._ask_those_that_are_missed(now)
        self._ask_peers(now)
        self._try_peers(now)
        super()._look(now, lag)

    def _take(self, heard: Heard, now: float) -> None:
        host, beat = heard.host, heard.beat
        if beat.kind is Kind.ANSWER:
            is_heard = beat.interval_us > 0
            if not self._vouching.answered(host, beat.sequence, now, is_heard=is_heard):
                self._peers.answered(host, beat.sequence, is_heard=is_heard)
            return
        if beat.kind is Kind.GOODBYE:
            if self._expectations.knows(host):
                log.info("heartbeat.goodbye", host=host, network=beat.subject)
                self._forget(host)
            return
        if heard.is_new_session:
            self._pacing.forget(host)
            log.debug("heartbeat.session", host=host, boot_id=beat.boot.hex(), network=beat.subject)
            if heard.was_boot not in (b"", beat.boot):
                now_on_wall = self._clock.now()
                self._say(
                    report_restart(
                        host, was_boot=heard.was_boot, boot=beat.boot, source=self.vantage, now=now_on_wall
                    )
                )
        self._contacts[host] = heard
        if self._own.paces.is_there:
            wish = self._wishes.get(host, 0)
            if self._pacing.due(host, wish, beat.interval_us, now):
                self._receiver.wish(heard, wish)
        rule = self._rules.of(beat.interval_us, beat.lag_us)
        self._expectations.heard(host, beat.subject, rule, now, is_anew=heard.is_new_session)

    @property
    def vantage(self) -> str:
        """Return what this place to look from is called."""
        return self._own.vantage

    def _ask_those_that_are_missed(self, now: float) -> None:
        if not self._own.confirm:
            return
        wanted = frozenset(self._expectations.suspects | self._verdicts.silent)
        if wanted != self._asked:
            for left in self._asked - wanted:
                self._verdicts.answers(left, Status.UNKNOWN)
            self._asked = wanted
            self._watch(now)

    def _ask_peers(self, now: float) -> None:
        """Have others ask those that are missed; as long as they are, every few seconds."""
        missed = self._expectations.suspects | self._verdicts.silent
        for host in self._missed_since.keys() - missed:
            del self._missed_since[host]
            self._peers.forget(host)
        for host in missed - self._missed_since.keys():
            self._missed_since[host] = now
        if not missed or not self._own.peers:
            self._verdicts.peers({}, ())
            return
        for host in missed:
            if self._addresses.get(host) and self._peers.is_due(host, now):
                self._ask_peers_of(host, now)
        said = {host: self._peers.status(host, now) for host in missed}
        self._verdicts.peers(said, [host for host in missed if self._peers.is_open(host, now)])
        for host in self._verdicts.silent:
            if self._verdicts.hears(host):  # what they do not hear is there: something is between
                self._peers_say(host, is_dead=False)
            elif said[host] is not Status.UNKNOWN:
                self._peers_say(host, is_dead=said[host] is Status.DOWN)

    def _ask_peers_of(self, host: str, now: float) -> None:
        able = self._vouching.able(host, self._missed_since[host])
        asked = self._vouchers(host, able)
        rule = self._expectations.rule_of(host)
        within = QUESTIONS_WITHIN if rule is None else min(PART_OF_WINDOW * window(rule), QUESTIONS_WITHIN)
        trusted = [one.peer for one in asked if one in able]
        number = self._peers.begin(host, [one.peer for one in asked], trusted, now, within)
        for voucher in asked:
            self._question(voucher, number, within)

    def _try_peers(self, now: float) -> None:
        """Find out who can hear whom while nothing is wrong."""
        if not self._own.peers:
            return
        for host in self._vouching.due(now, self._expectations.is_heard):
            for voucher in self._vouchers(host, self._vouching.able(host, now)):
                number = self._vouching.begin(host, voucher, now, QUESTIONS_WITHIN)
                self._question(voucher, number, QUESTIONS_WITHIN)

    def _vouchers(self, host: str, able: Collection[Voucher]) -> list[Voucher]:
        def is_there(peer: str) -> bool:
            return peer != host and self._expectations.is_heard(peer) and peer in self._contacts

        others = self._neighbours.get(self._zones.get(host), []), self._everybody
        return chosen(able, others, self._addresses[host], is_there, self._own.peers, self._random)

    def _question(self, voucher: Voucher, number: int, within: float) -> None:
        self._receiver.question(
            self._contacts[voucher.peer], voucher.address, number, times=QUESTIONS, within=within
        )

    def _peers_say(self, host: str, *, is_dead: bool) -> None:
        """Say what the peers of a host say: that is a witness of its own."""
        if is_dead == (host in self._dead_to_peers):
            return
        (self._dead_to_peers.add if is_dead else self._dead_to_peers.discard)(host)
        event = report_peers(
            host,
            is_dead=is_dead,
            peers=self._peers.asked(host),
            source=f"{self.vantage}.peers",
            now=self._clock.now(),
        )
        self.peers_say(event)

    # --- what is said ---

    def _found(self, now: float) -> Iterator[Change]:
        for change in super()._found(now):
            if change.is_canary:
                yield change
            else:
                self._answers(change.host, change.status, now)
        for change in self._expectations.changes():
            if change.status is Status.UP:
                self._peers_say(change.host, is_dead=False)
            yield from self._changes(
                self._verdicts.beats(change, now, can_ask=change.host in self._askable), now
            )
        yield from self._changes(self._verdicts.look(now), now)

    def _answers(self, host: str, status: Status, now: float) -> None:
        """Take note of whether a host answers. Peers that heard it when it did have to be asked anew when it does no more."""
        is_lost = self._verdicts.hears(host) and status is Status.DOWN
        self._verdicts.answers(host, status)
        if is_lost:
            self._peers.forget(host)
            self._ask_peers(now)

    def _collect(self, now: float) -> None:
        super()._collect(now)
        while self._later:
            self._say(self._later.popleft())

    def _changes(self, verdicts: Iterable[Verdict], now: float) -> Iterator[Change]:
        """Give the changes of hosts, which others have to be held against.

        Of the rest there is nothing to doubt: what is over is said before them, what begins after them.
        """
        for verdict in verdicts:
            match verdict:
                case AgentSilent():
                    event = report_agent(verdict, source=self.vantage, now=self._clock.now())
                    self._later.append(event) if verdict.is_silent else self._say(event)
                case Unreachable():
                    event = report_reach(verdict, source=self.vantage, now=self._clock.now())
                    self._later.append(event) if verdict.is_unreachable else self._say(event)
                case Change(missed=None):
                    yield verdict
                case Change():
                    yield _until(verdict, now)

    def _in_words(self, change: Change) -> Words:
        networks = ", ".join(name or "any network" for name in change.addresses)
        if change.status is Status.UP:
            is_silent = change.host in self._verdicts.silent
            return Words(
                "answers to ping, without a heartbeat" if is_silent else "heartbeats come", "heartbeat"
            )
        asked = " and no answer to ping" if change.host in self._askable else ""
        return Words(f"no heartbeat on {networks}{asked}", "heartbeat")

    def _seen(self) -> Iterator[Host]:
        yield from self._expectations.hosts
        yield from (host for host in super()._seen() if host.is_canary)

    def _next_time(self, now: float) -> float:
        return min(super()._next_time(now), self._expectations.next_time(now))


def _until(change: Change, now: float) -> Change:
    """Return the change with all the time in which it was missed: whoever was heard since shows that we can hear."""
    assert change.missed is not None
    return msgspec.structs.replace(change, missed=(change.missed[0], now))


def window(rule: Rule) -> float:
    """Return the seconds between the first heartbeat that a host misses and the last, in which others can be asked."""
    return max((rule.misses - 1) * rule.interval, SHORTEST_WINDOW)


def asking(rule: Rule, crowd: float) -> Rule:
    """Return how a host is asked that has missed a heartbeat: so that it is known when the last one is missed.

    ``crowd`` times as many as usual are asked at the same time: then each is asked less often, and fewer answers are
    waited for.
    """
    there_is = window(rule)
    timeout = min(max(there_is / 4, 0.02), 1.0)
    interval = min(max(there_is / 10, 0.01), 1.0) * crowd
    misses = max(2, 1 + int((there_is - timeout - interval) / interval))
    return Rule(interval=interval, timeout=timeout, misses=misses, recover=1, start_grace=0.0)


def is_literal(text: str) -> bool:
    """Tell whether an address is written in figures: a peer is not asked to look up names."""
    try:
        return literal(text) is not None
    except ValueError:
        return False


def names_of(hosts: Iterable[PhysicalResource]) -> dict[str, str]:
    """Return the ids of hosts by all their names: the id before aliases, and those before the short name."""
    found: dict[str, str] = {}
    listed = list(hosts)
    for host in listed:
        found[host.id] = host.id
    for host in listed:
        for alias in host.aliases:
            found.setdefault(alias, host.id)
    for host in listed:
        found.setdefault(host.id.partition(".")[0], host.id)
    return found
