"""Connections that are kept for the next notification, and how many there may be."""

import asyncio
import ssl
from collections import Counter, deque
from ipaddress import ip_address

from doctor.drivers.channels.connection import Connection, TooLate
from doctor.drivers.channels.dial import dial
from doctor.drivers.channels.guard import Guard
from doctor.drivers.channels.resolver import Resolver
from doctor.drivers.channels.url import Place
from doctor.kit.clock import Clock


class UnknownName(OSError):
    """A name has no address, or nobody could say which."""


class HandshakeFailed(OSError):
    """The two sides found no common TLS."""


class Closed(Exception):
    """The pool is closed."""


class Pool:
    """Connections by place: being made, in use, and kept for ``keep_alive_s``. All of them count.

    There are at most ``limit`` of them, and ``limit_per_place`` to one place; who comes then waits for his turn. A
    connection that is merely kept makes room for one that is needed elsewhere.

    It belongs to the event loop in which it is first used.
    """

    def __init__(
        self,
        guard: Guard,
        resolver: Resolver,
        clock: Clock,
        tls: ssl.SSLContext,
        *,
        limit: int,
        limit_per_place: int,
        keep_alive_s: float,
    ) -> None:
        self.closed = False
        self._guard = guard
        self._resolver = resolver
        self._clock = clock
        self._tls = tls
        self._limit = limit
        self._limit_per_place = limit_per_place
        self._keep_alive_s = keep_alive_s
        self._places: dict[Connection, Place] = {}
        self._kept: dict[Place, list[Connection]] = {}  # that came back last is last
        self._count: Counter[Place] = Counter()  # connections, and those being made
        self._total = 0  # of these counts
        self._waiting: dict[Place, deque[asyncio.Future[Connection | None]]] = {}
        self._connecting: set[asyncio.Timeout] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def take(self, place: Place) -> Connection | None:
        """Return a kept connection if there is one."""
        while kept := self._kept.get(place):
            connection = kept.pop()
            if not kept:
                del self._kept[place]
            if connection.is_usable():
                return connection
            self._end(connection)
        return None

    async def connect(self, place: Place, deadline: float) -> Connection:
        """Return a new connection, or wait for one, until ``deadline`` (in the time of the loop).

        Raises:
            AddressRefused: the place has no address that may be dialled.
            TooLate, Closed, UnknownName, HandshakeFailed, OSError: it did not come about.
        """
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                self._connecting.add(limit)
                try:
                    while connection := await self._turn(place):
                        if connection.is_usable():
                            return connection
                        self._end(connection)
                    return await self._make(place)
                finally:
                    self._connecting.discard(limit)
        except TimeoutError:
            if self.closed:
                raise Closed from None
            if limit.expired():
                raise TooLate("connection") from None
            raise  # it was the kernel that had no answer

    def close(self) -> None:
        """Drop all connections; what is under way fails."""
        self.closed = True
        for limit in self._connecting:
            if not limit.expired():
                limit.reschedule(0.0)
        for connection in list(self._places):
            connection.drop(Closed())
        if self._sweeper is not None:
            self._sweeper.cancel()

    # --- making ---

    async def _make(self, place: Place) -> Connection:
        """Make a connection, which is counted already."""
        try:
            raw = await dial(await self._addresses(place.host), place.port, self._guard)
            connection = Connection(raw, self._clock, on_free=self._free, on_lost=self._lost)
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    sock=raw,
                    ssl=self._tls if place.tls else None,
                    server_hostname=place.host.rstrip(".") if place.tls else None,
                )
            except ssl.SSLCertVerificationError:
                raise
            except ssl.SSLError as error:
                raise HandshakeFailed(str(error)) from error
            if connection.ended:
                raise connection.ended
        except BaseException:
            self._remove(place)
            self._wake()
            raise
        self._places[connection] = place
        return connection

    async def _addresses(self, host: str) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        try:
            return await self._resolver.resolve(host)
        except OSError as error:
            raise UnknownName(str(error)) from error

    # --- taking turns ---

    async def _turn(self, place: Place) -> Connection | None:
        """Wait until a connection may be made, which is counted from then on; or return one that is there."""
        if self._has_room(place):
            self._add(place)
            return None
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, deque()).append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(place, turn)
            elif connection := turn.result():
                self._free(connection)
            else:
                self._remove(place)
                self._wake()
            raise

    def _has_room(self, place: Place) -> bool:
        """Tell whether there may be one more connection to a place; one kept for another may have to go for it."""
        if self._count[place] >= self._limit_per_place:
            return False
        if self._total < self._limit:
            return True
        for kept in self._kept.values():
            self._end(kept[0], wake=False)
            return True
        return False

    def _wake(self) -> None:
        """Let one of those go on who wait for room, if there is some. The places take turns, too."""
        for place in list(self._waiting):
            if self._has_room(place) and (turn := self._next(place)):
                if place in self._waiting:
                    self._waiting[place] = self._waiting.pop(place)
                self._add(place)
                turn.set_result(None)
                return

    def _next(self, place: Place) -> "asyncio.Future[Connection | None] | None":
        while queue := self._waiting.get(place):
            turn = queue[0]
            self._leave(place, turn)
            if not turn.done():
                return turn
        return None

    def _leave(self, place: Place, turn: "asyncio.Future[Connection | None]") -> None:
        queue = self._waiting.get(place)
        if queue and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[place]

    # --- keeping ---

    def _free(self, connection: Connection) -> None:
        """Take a connection back."""
        place = self._places.get(connection)
        if place is None or self.closed:
            connection.drop()
            return
        if turn := self._next(place):
            turn.set_result(connection)
            return
        loop = asyncio.get_running_loop()
        connection.free_since = loop.time()
        self._kept.setdefault(place, []).append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._keep_alive_s / 4, self._sweep)
        if self._waiting:
            self._wake()

    def _sweep(self) -> None:
        """End those that would be kept for too long before the next time."""
        loop = asyncio.get_running_loop()
        before = loop.time() - self._keep_alive_s * 3 / 4
        for kept in list(self._kept.values()):
            for connection in [each for each in kept if each.free_since <= before]:
                self._end(connection)
        self._sweeper = loop.call_later(self._keep_alive_s / 4, self._sweep) if self._kept else None

    def _end(self, connection: Connection, *, wake: bool = True) -> None:
        self._lost(connection, wake=wake)
        connection.drop()

    def _lost(self, connection: Connection, *, wake: bool = True) -> None:
        """Forget a connection that has ended, or will."""
        place = self._places.pop(connection, None)
        if place is None:
            return
        kept = self._kept.get(place)
        if kept and connection in kept:
            kept.remove(connection)
            if not kept:
                del self._kept[place]
        self._remove(place)
        if wake:
            self._wake()

    def _add(self, place: Place) -> None:
        self._count[place] += 1
        self._total += 1

    def _remove(self, place: Place) -> None:
        self._total -= 1
        self._count[place] -= 1
        if not self._count[place]:
            del self._count[place]
