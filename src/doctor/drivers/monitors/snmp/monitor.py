"""The SNMP monitor as the rest of Doctor sees it: targets go in, traps arrive, what devices say comes out."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import NamedTuple

import structlog

from doctor.drivers.monitors.snmp.ber import Malformed
from doctor.drivers.monitors.snmp.client import Client
from doctor.drivers.monitors.snmp.devices import Devices
from doctor.drivers.monitors.snmp.facts import KIND, Device, Origin, PortNames, fact_of
from doctor.drivers.monitors.snmp.flood import Brake
from doctor.drivers.monitors.snmp.mapping import Meanings, TrapRule, load
from doctor.drivers.monitors.snmp.polling import Poller
from doctor.drivers.monitors.snmp.receiver import Arrived, Reason, Receiver
from doctor.drivers.monitors.snmp.settings import SnmpSettings
from doctor.drivers.monitors.snmp.understanding import Heard, Reply, Understanding
from doctor.drivers.monitors.snmp.usm import Refused, User
from doctor.kit.clock import Clock, SystemClock
from doctor.kit.secret import Secret
from doctor.model.errors import PermanentError
from doctor.ports.monitor import Inventory, Targets
from doctor.ports.payload import Happened, Listing, Saying, Stated, Told

AT_ONCE = 50  # datagrams that are understood in one turn: a few milliseconds
LOOK_EVERY = 1.0  # seconds: at the resource map
EPOCH = datetime.fromisoformat(
    "2020-01-01T00:00:00Z"
)  # our starts are counted in seconds since then: they only grow

log = structlog.get_logger()


class Fact(NamedTuple):
    """What a datagram comes to: who says it, and what; and what is to be answered when that is kept."""

    source: str
    reading: Stated | Happened | None
    reply: bytes | None
    arrived: Arrived


class SnmpMonitor:
    """Says what devices say by traps and informs, and what they answer when they are asked.

    What nobody can have forged or recorded it says by its own ``name``, all the rest by the name of ``hints``.
    """

    def __init__(
        self,
        settings: SnmpSettings,
        communities: Iterable[Secret],
        users: Mapping[str, User],
        meanings: Meanings,
        *,
        poll_communities: Sequence[Secret | None] = (),
        clock: Clock | None = None,
    ) -> None:
        self.name = settings.name
        self.hints = settings.hints
        self._poll_communities = poll_communities
        self._settings = settings
        self._communities = list(communities)
        self._users = users
        self._meanings = meanings
        self._clock = clock or SystemClock()
        self._listening: Listening | None = None
        self._rejected = 0
        self._lost = 0

    def counts(self) -> Mapping[str, int]:
        """Return how many datagrams were refused, and for how many there was no room."""
        now = self._listening
        return {
            "rejected": self._rejected + (now.receiver.refusals.refused if now else 0),
            "lost": self._lost + (now.receiver.lost if now else 0),
        }

    async def watch(self, targets: Targets) -> AsyncGenerator[Saying | Listing, None]:
        """Yield what is said until cancelled or closed.

        Raises:
            PermanentError: an address to listen on is not ours or is taken, or what decrypts is not installed.
        """
        try:
            receiver = Receiver(self._settings.addresses, self._clock)
        except OSError as error:
            where = ", ".join(self._settings.listen)
            raise PermanentError(f"snmp: cannot listen on {where}: {error.strerror or error}") from error
        try:
            boots = int((self._clock.now() - EPOCH).total_seconds())
            engine = bytes.fromhex(self._settings.engine)
            understanding = Understanding(
                self._communities, self._users, engine, boots, self._clock.monotonic()
            )
            listening = self._listening = Listening(
                self._settings, self._meanings, self._clock, targets, receiver, understanding
            )
            async with aclosing(listening.run(self._poll_communities)) as says:
                async for said in says:
                    yield said
        finally:
            receiver.close()
            self._listening = None
            self._rejected += receiver.refusals.refused
            self._lost += receiver.lost


class Listening:
    """One run of the monitor."""

    def __init__(
        self,
        settings: SnmpSettings,
        meanings: Meanings,
        clock: Clock,
        targets: Targets,
        receiver: Receiver,
        understanding: Understanding,
    ) -> None:
        self.receiver = receiver
        self._settings = settings
        self._meanings = meanings
        self._clock = clock
        self._targets = targets
        self._understanding = understanding
        self._version: int | None = None
        self._devices = Devices()
        self._relays = frozenset(settings.relays)
        self._names = PortNames()
        self._brake = Brake(settings.burst, settings.rate)
        self._bell = asyncio.Event()
        self._poller: Poller | None = None
        self._answers: deque[Listing] = deque()
        self._lost = 0

    async def run(self, poll_communities: Sequence[Secret | None]) -> AsyncGenerator[Saying | Listing, None]:
        """Yield what is said and answered."""
        loop = asyncio.get_running_loop()
        client = Client(self._understanding, self._clock)
        if self._settings.poll:
            self._poller = Poller(
                self._settings,
                poll_communities,
                self._meanings,
                client,
                self._names,
                self._clock,
                self._answered,
            )
        for sock in self.receiver.sockets:
            loop.add_reader(sock, self.receiver.drain, sock, self._bell.set)
        log.info("snmp.started", listen=[f"{host}:{port}" for host, port in self.receiver.addresses])
        try:
            while True:
                self._look_at_targets()
                async with aclosing(self._what_there_is()) as says:
                    async for said in says:
                        yield said
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._bell.wait()
                self._bell.clear()
        finally:
            for sock in self.receiver.sockets:
                loop.remove_reader(sock)
            if self._poller is not None:
                await self._poller.stop()
            client.close()

    async def _what_there_is(self) -> AsyncGenerator[Saying | Listing, None]:
        while self.receiver.waiting or self._answers:
            while self._answers:
                yield self._answers.popleft()
            facts = self._understand(self._clock.monotonic())
            for saying in _sayings(facts):
                yield saying
            for fact in facts:
                if fact.reply is not None:
                    self.receiver.send(fact.reply, fact.arrived)
            if self._poller is not None and self.receiver.lost != self._lost:
                self._poller.all_soon()
            self._lost = self.receiver.lost
            await asyncio.sleep(0)
            self._look_at_targets()

    def _answered(self, listing: Listing) -> None:
        self._answers.append(listing)
        self._bell.set()

    def _look_at_targets(self) -> None:
        if self._targets.version == self._version:
            return
        self._version = self._targets.version
        targets = self._targets
        resources = list(targets.resources() if isinstance(targets, Inventory) else targets.hosts())
        self._devices = Devices(resources)
        self._names.keep(device.id for device in self._devices)
        if self._poller is not None:
            self._poller.load(
                self._devices, (name for one in resources for name in (one.id, *one.aliases) if ":" in name)
            )

    def _understand(self, now: float) -> list[Fact]:
        """Understand some of what waits."""
        found = []
        for _ in range(min(len(self.receiver.waiting), AT_ONCE)):
            arrived = self.receiver.next()
            try:
                fact = self._fact(arrived, now)
            except Malformed:
                self.receiver.refusals.add(Reason.MALFORMED, arrived.source[0])
            except Refused as refused:
                self.receiver.refusals.add(Reason(str(refused)), arrived.source[0])
            else:
                if fact is not None:
                    found.append(fact)
        self.receiver.refusals.tell(now)
        return found

    def _fact(self, arrived: Arrived, now: float) -> Fact | None:
        """Understand one datagram: the cheap questions first, since anybody can send."""
        device = self._devices.at(arrived.source[0])
        is_relay = arrived.source[0] in self._relays
        if device is None and not is_relay:
            raise Refused(Reason.UNKNOWN_SENDER)
        said = self._understanding.read(arrived.data, now)
        if isinstance(said, Reply):
            self.receiver.send(said.data, arrived)
            return None
        if is_relay and said.notice.agent is not None:
            device = self._devices.at(said.notice.agent)
        if device is None:
            raise Refused(Reason.UNKNOWN_SENDER)
        is_proven = self._is_proven(said, device)
        if not is_proven and not self._brake.lets(device.id, now):
            raise Refused(Reason.FLOOD)
        source = self._settings.name if is_proven else self._settings.hints
        origin = Origin(device, source, said.version, arrived.received)
        rule = self._meanings.traps.find(said.notice.trap)
        reading = fact_of(said.notice, origin, rule, self._names)
        self._ask_about(device, rule, reading, is_proven=is_proven)
        return Fact(source, reading, said.reply, arrived)

    def _ask_about(
        self, device: Device, rule: TrapRule | None, reading: Stated | Happened | None, *, is_proven: bool
    ) -> None:
        """Have the device asked what it says now, where a trap is not enough to go by."""
        if self._poller is None:
            return
        if isinstance(reading, Stated) and not is_proven:
            self._poller.soon(device.id, reading.event.monitor_event_id)
        elif rule is not None and rule.poll:
            self._poller.soon(device.id)

    def _is_proven(self, said: Heard, device: Device) -> bool:
        """Tell whether it can only be this device, now; it cannot be if it is another's."""
        if not said.engine:
            return False
        engine = self._understanding.engine(said.engine)
        if engine.device is not None and engine.device != device.id:
            raise Refused(Reason.WRONG_ENGINE)
        return said.is_of_now and engine.device == device.id


def _sayings(facts: Iterable[Fact]) -> list[Saying]:
    """Return what was said, in its order: one after the other of the same source are one saying."""
    found: list[tuple[str, datetime, list[Stated | Happened]]] = []
    for fact in facts:
        if fact.reading is None:
            continue
        when = fact.arrived.received
        if found and found[-1][:2] == (fact.source, when):
            found[-1][2].append(fact.reading)
        else:
            found.append((fact.source, when, [fact.reading]))
    return [Saying(KIND, Told(source, when), readings) for source, when, readings in found]


def make(settings: Mapping[str, object]) -> SnmpMonitor:
    """Make the monitor from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = SnmpSettings.parse(settings)
    return SnmpMonitor(
        read,
        read.known_communities(),
        read.known_users(),
        load(read.mapping_file),
        poll_communities=read.poll_communities(),
    )
