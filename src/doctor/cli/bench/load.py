"""The Monitors: a process that sends requests, made before the clock starts, and takes the time of each.

`python -m doctor.cli.bench.load` takes orders. With ``--precise`` it runs on a loop that wakes to the microsecond and
not to the millisecond, for sending at set times; without, on the loop that costs least.
"""

import asyncio
import gc
import selectors
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import uvloop

from doctor.cli.bench import events
from doctor.cli.bench.orders import obey, tell
from doctor.cli.bench.percentiles import spread
from doctor.cli.bench.protocol import Connection, request

LEAD_S = 0.05  # between the order and the first event
PATIENCE_S = 60.0


class Load:
    """Open connections to one server, and what was sent over them."""

    def __init__(self) -> None:
        self._connections: list[Connection] = []
        self._where = ("", 0, "")
        self._lost = False
        self._number = 0
        self._on_answer: Any = None
        self._done: asyncio.Event

    # --- orders ---

    async def connect(self, port: int, token: str, connections: int) -> dict[str, Any]:
        """Open connections."""
        loop = asyncio.get_running_loop()
        self._where = ("127.0.0.1", port, token)
        self._done = asyncio.Event()
        for connection in self._connections:
            connection.close()
        await asyncio.sleep(0)
        self._connections = []
        for _ in range(connections):
            make = partial(Connection, self._answered, self._broken)
            _, connection = await loop.create_connection(make, "127.0.0.1", port)
            self._connections.append(connection)
        self._lost = False
        return {"connections": connections}

    async def singles(self, count: int) -> dict[str, Any]:
        """Send single events, the next on each connection when the one before is answered."""
        return await self._closed(self._singles(count), 1)

    async def bulks(self, count: int, size: int) -> dict[str, Any]:
        """Send many events at once, likewise."""
        return await self._closed(self._bulks(count, size), size)

    async def outages(self, rate: float, count: int, every: int, host: str) -> dict[str, Any]:
        """Send single events at set times, whatever becomes of those before; see `events.outages`."""
        made = list(events.outages(self._number, count, every=every, host=host))
        self._number += count
        requests = [self._request(events.wrapped(text)) for text, _ in made]
        paced = Paced(self._connections, requests, rate)
        self._on_answer = paced.answered
        with _without_collector():
            await self._until(paced.run())
        marks = [(what, paced.due[index]) for index, (_, what) in enumerate(made) if what is not None]
        return {
            "sent": count,
            "statuses": paced.statuses,
            "marks": marks,
            "answered_ms": spread(paced.took, unit=1e6).as_json(),
            "late_ms": spread(paced.late, unit=1e6).as_json(),
        }

    async def one(self, kind: str, host: str, status: str, event_time: str) -> dict[str, Any]:
        """Send one event and return when it was sent and answered."""
        self._number += 1
        text = events.event(kind, host, status, time=event_time, number=self._number)
        closed = Closed(self._connections[:1], [self._request(events.wrapped(text))], 1)
        self._on_answer = closed.answered
        sent = time.monotonic_ns()
        await self._until(closed.run())
        return {"sent_ns": sent, "answered_ns": time.monotonic_ns(), "statuses": closed.statuses}

    # --- how ---

    def _singles(self, count: int) -> Iterator[bytes]:
        for text in events.readings(self._number, count):
            yield self._request(events.wrapped(text))
        self._number += count

    def _bulks(self, count: int, size: int) -> Iterator[bytes]:
        for index in range(count):
            yield self._request(events.bulk(self._number + index * size, size))
        self._number += count * size

    def _request(self, body: bytes) -> bytes:
        host, port, token = self._where
        return request("POST", "/v1/events", body, host=f"{host}:{port}", token=token)

    async def _closed(self, requests: Iterable[bytes], size: int) -> dict[str, Any]:
        closed = Closed(self._connections, list(requests), size)
        self._on_answer = closed.answered
        with _without_collector():
            await self._until(closed.run())
        return {
            "sent": len(closed.took) * size,
            "accepted": closed.accepted,
            "statuses": closed.statuses,
            "seconds": closed.seconds,
            "answered_ms": spread(closed.took, unit=1e6).as_json(),
        }

    async def _until(self, done: asyncio.Event) -> None:
        self._done = done
        async with asyncio.timeout(PATIENCE_S):
            await done.wait()
        if self._lost:
            raise RuntimeError("the server closed a connection")

    def _answered(self, connection: Connection, answer: bytes) -> None:
        self._on_answer(connection, answer)

    def _broken(self) -> None:
        self._lost = True
        self._done.set()


class Closed:
    """Sends a request on each connection as soon as the one before is answered, until there are no more."""

    def __init__(self, connections: list[Connection], requests: list[bytes], size: int) -> None:
        self.took: list[int] = []
        self.statuses: Counter[str] = Counter()
        self.accepted = 0
        self.seconds = 0.0
        self._size = size
        self._connections = connections[: len(requests)]
        self._requests = iter(requests)
        self._busy = len(self._connections)
        self._done = asyncio.Event()

    def run(self) -> asyncio.Event:
        """Begin; the event says that all is answered."""
        self._start = time.monotonic_ns()
        for connection in self._connections:
            self._next(connection)
        return self._done

    def _next(self, connection: Connection) -> None:
        message = next(self._requests, None)
        if message is not None:
            connection.sent_ns = time.monotonic_ns()
            connection.send(message)
            return
        self._busy -= 1
        if not self._busy:
            self.seconds = (time.monotonic_ns() - self._start) / 1e9
            self._done.set()

    def answered(self, connection: Connection, answer: bytes) -> None:
        """Take an answer, and count the events that it says are durable and were not sent before."""
        self.took.append(time.monotonic_ns() - connection.sent_ns)
        self.statuses[answer[9:12].decode()] += 1
        self.accepted += answer.count(b'"duplicate":false')
        self._next(connection)


class Paced:
    """Sends requests at set times; one for which no connection is free waits, and its time runs."""

    def __init__(self, connections: list[Connection], requests: list[bytes], rate: float) -> None:
        self.due: list[int] = []
        self.late: list[int] = []
        self.took: list[int] = []
        self.statuses: Counter[str] = Counter()
        self._requests = requests
        self._every = 1e9 / rate
        self._free = deque(connections)
        self._waiting: deque[int] = deque()
        self._done = asyncio.Event()

    def run(self) -> asyncio.Event:
        """Begin; the event says that all is answered."""
        start = time.monotonic_ns() + int(LEAD_S * 1e9)
        self.due = [start + int(index * self._every) for index in range(len(self._requests))]
        self._sender = asyncio.create_task(self._send_all())
        return self._done

    async def _send_all(self) -> None:
        for index, due in enumerate(self.due):
            await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            if self._free:
                self._send(self._free.popleft(), index)
            else:
                self._waiting.append(index)

    def _send(self, connection: Connection, index: int) -> None:
        self.late.append(time.monotonic_ns() - self.due[index])
        connection.place = index
        connection.send(self._requests[index])

    def answered(self, connection: Connection, answer: bytes) -> None:
        """Take an answer; the connection is free for the next."""
        self.took.append(time.monotonic_ns() - self.due[connection.place])
        self.statuses[answer[9:12].decode()] += 1
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)
        if len(self.took) == len(self._requests):
            self._done.set()


class _without_collector:  # noqa: N801 - reads as a sentence where it is used
    """Keep the garbage collector from stopping the clockwork."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *details: object) -> None:
        gc.enable()


async def main() -> None:
    """Take orders."""
    load = Load()
    gc.freeze()
    tell({"ready": True})
    await obey({name: getattr(load, name) for name in ("connect", "singles", "bulks", "outages", "one")})


if __name__ == "__main__":
    if "--precise" in sys.argv:
        with asyncio.Runner(
            loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
        ) as runner:
            runner.run(main())
    else:
        uvloop.run(main())
