"""The heartbeats: signed datagrams on all networks, and the answers to the challenges that come back."""

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import Iterable

from doctor.agent.asking import ask
from doctor.agent.identity import Identity
from doctor.agent.log import log
from doctor.agent.pace import Lag, Pace
from doctor.agent.settings import NetworkSettings
from doctor.kit.beat import MOST_BYTES, NO_CHALLENGE, Beat, Key, Kind, Malformed, pack, read

GOODBYES = 3
BETWEEN_GOODBYES = 0.01
MOST_READ = 64  # datagrams at a time
KNOWN_QUESTIONS = 256  # that were answered; a recording of one is not answered again
MOST_ASKED = 32  # at the same time
AT_MOST_EVERY = 0.005  # seconds between heartbeats that were asked for


class Listener:
    """A Doctor on a network: where heartbeats go, what it has challenged us with, and how often it wishes them."""

    def __init__(self, network: str, sock: socket.socket, address: tuple[str, int]) -> None:
        self.network = network
        self.sock = sock
        self.address = address
        self.challenge = NO_CHALLENGE
        self.challenged = -1  # the sequence of the heartbeat that the last challenge was for
        self.wish = 0.0
        self.asked_at = 0.0
        self.is_reached = True

    def send(self, data: bytes) -> None:
        """Send a datagram. What cannot be sent is like one that was lost on the way; that it began or ended is logged."""
        try:
            self.sock.sendto(data, self.address)
        except OSError as error:
            if self.is_reached:
                log.warning("heartbeat.not_sent", network=self.network, to=self.address[0], error=str(error))
            self.is_reached = False
        else:
            if not self.is_reached:
                log.info("heartbeat.sent_again", network=self.network, to=self.address[0])
            self.is_reached = True


class Beating:
    """Sends the heartbeats of a host until it is stopped."""

    def __init__(self, identity: Identity, key: Key, networks: Iterable[NetworkSettings], pace: Pace) -> None:
        """Open the sockets.

        Raises:
            OSError: an address or a device is not ours.
        """
        self._identity = identity
        self._key = key
        self._pace = pace
        self._lag = Lag()
        self._sequence = 0
        self._planned = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = memoryview(bytearray(MOST_BYTES + 1))
        self._questions: deque[int] = deque(maxlen=KNOWN_QUESTIONS)
        self._asking: set[asyncio.Task[None]] = set()
        self.listeners: list[Listener] = []
        with contextlib.ExitStack() as opened:
            for network in networks:
                for address in network.addresses:
                    sock = opened.enter_context(_open(network, address))
                    self.listeners.append(Listener(network.name, sock, address))
            opened.pop_all()

    @property
    def interval(self) -> float:
        """Return the seconds until the next heartbeat."""
        return self._pace.interval(listener.wish for listener in self.listeners)

    def start(self) -> None:
        """Begin to send."""
        loop = asyncio.get_running_loop()
        for listener in self.listeners:
            loop.add_reader(listener.sock, self._read, listener)
        self._planned = time.monotonic()
        self._turn()

    async def stop(self) -> None:
        """Say goodbye: that nothing more will come is no fault."""
        if self._timer is not None:
            self._timer.cancel()
        for _ in range(GOODBYES):
            self._send(Kind.GOODBYE, time.monotonic())
            await asyncio.sleep(BETWEEN_GOODBYES)
        self.close()

    def close(self) -> None:
        """Close the sockets without a word."""
        loop = asyncio.get_running_loop()
        for task in self._asking:
            task.cancel()
        for listener in self.listeners:
            loop.remove_reader(listener.sock)
            listener.sock.close()

    def _turn(self) -> None:
        now = time.monotonic()
        self._lag.add(now - self._planned, now)
        self._send(Kind.BEAT, now)
        interval = self.interval
        self._planned += interval
        if self._planned <= now:  # we were not at it for so long that the turns in between are gone
            self._planned = now + interval
        self._timer = asyncio.get_running_loop().call_later(self._planned - now, self._turn)

    def _send(self, kind: Kind, now: float) -> None:
        for listener in self.listeners:
            self._send_to(listener, kind, now)

    def _send_to(self, listener: Listener, kind: Kind, now: float) -> None:
        self._sequence += 1
        beat = Beat(
            kind,
            self._identity.host,
            listener.network,
            self._identity.boot,
            self._identity.session,
            self._sequence,
            int(now * 1e9),
            listener.challenge,
            round(self.interval * 1e6),
            round(self._lag.add(0.0, now) * 1e6),
        )
        listener.send(pack(beat, self._key))

    def _read(self, listener: Listener) -> None:
        for _ in range(MOST_READ):
            try:
                size, _ = listener.sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                continue  # that something we sent found nobody; it is sent again anyway
            data = self._buffer[:size]
            with contextlib.suppress(Malformed):
                beat, end = read(data)
                if self._is_ours(beat) and self._key.has_signed(data[:end], data[end:]):
                    self._take(listener, beat)

    def _is_ours(self, beat: Beat) -> bool:
        identity = self._identity
        return (beat.host, beat.boot, beat.session) == (identity.host, identity.boot, identity.session)

    def _take(self, listener: Listener, beat: Beat) -> None:
        """Take what a Doctor says. One that is older than what it said last is a recording."""
        if beat.kind is Kind.QUESTION:
            self._asked(listener, beat)
            return
        if beat.kind is not Kind.CHALLENGE or not listener.challenged < beat.sequence <= self._sequence:
            return
        listener.challenged = beat.sequence
        wish = beat.interval_us / 1e6
        if wish != listener.wish:
            listener.wish = wish
            log.info("heartbeat.pace", interval_ms=round(self.interval * 1000), wished_by=listener.address[0])
        if beat.challenge != listener.challenge:
            listener.challenge = beat.challenge
            now = time.monotonic()
            if now >= listener.asked_at + AT_MOST_EVERY:
                listener.asked_at = now
                self._send_to(listener, Kind.BEAT, now)

    def _asked(self, listener: Listener, question: Beat) -> None:
        """Find out for Doctor whether a neighbour is there. A question is answered once, and only a few at a time."""
        if question.challenge != listener.challenge or question.sequence in self._questions:
            return
        if len(self._asking) >= MOST_ASKED:
            log.repeat("peers.too_many_questions", by=listener.address[0])
            return
        self._questions.append(question.sequence)
        task = asyncio.get_running_loop().create_task(self._answer(listener, question))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, listener: Listener, question: Beat) -> None:
        try:
            heard = await ask(question.subject, question.lag_us, question.interval_us / 1e6)
        except (ValueError, OSError) as error:
            log.repeat("peers.cannot_ask", address=question.subject, error=str(error))
            return
        answer = question._replace(
            kind=Kind.ANSWER,
            challenge=listener.challenge,
            interval_us=heard,
            monotonic_ns=time.monotonic_ns(),
        )
        listener.send(pack(answer, self._key))


def _open(network: NetworkSettings, address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if network.device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, network.device.encode() + b"\0")
        if network.source is not None:
            sock.bind((network.source, 0))
    except BaseException:
        sock.close()
        raise
    return sock
