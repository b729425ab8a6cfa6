"""The floor: the least that answers a Monitor and tells an owner, as a process of its own.

`python -m doctor.cli.bench.floor_server SETTINGS` (JSON). With ``"database"`` it keeps each body in SQLite
(synchronous = FULL, group commit in a thread) before it answers, and then, if the event is an outage, tells each
consumer over a kept connection. Without it, it answers and does nothing. It judges nothing, knows nobody and forgets
all: what Doctor costs beyond it is what Doctor does.
"""

import asyncio
import gc
import json
import sqlite3
import sys
import threading
from collections import deque
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import uvloop

from doctor.cli.bench import events
from doctor.cli.bench.orders import obey, tell
from doctor.cli.bench.protocol import Caller, Connection, request, response

MACHINE = b'{"virtual_resource_id":"' + b"m" * 560 + b'"}'  # about as long as Doctor's, with a fault in it
ANSWERED = '{{"index":{},"event_id":"00000000-0000-5000-8000-000000000000","duplicate":false}}'

Held = tuple[Caller, bytes]


class One(msgspec.Struct, gc=False):
    """An event, as far as it matters here."""

    time: str
    type: str
    details: msgspec.Raw


class Wrapped(msgspec.Struct, gc=False):
    """An event in its wrapper."""

    event: One


class Body(msgspec.Struct, gc=False):
    """One event or many."""

    event: One | None = None
    events: list[Wrapped] = []


_decode = msgspec.json.Decoder(Body).decode


class Consumer:
    """The lane to one consumer: one request under way, the rest waits."""

    def __init__(self) -> None:
        self.connection: Connection
        self._waiting: deque[bytes] = deque()
        self._busy = False

    def put(self, message: bytes) -> None:
        """Send a request as soon as the ones before are answered."""
        if self._busy:
            self._waiting.append(message)
        else:
            self._busy = True
            self.connection.send(message)

    def answered(self, connection: Connection, _answer: bytes) -> None:
        """Go on with the next."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._busy = False


class Floor:
    """Answers requests, after keeping them if there is a database."""

    def __init__(self, *, database: str | None, consumers: list[int], machines: int) -> None:
        self._consumers = [(port, Consumer()) for port in consumers]
        self._machines = b",".join([MACHINE] * machines)
        self._answers: dict[int, bytes] = {}
        self._down: dict[str, str] = {}
        self._queue: SimpleQueue[Held] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        if database:
            threading.Thread(target=self._write, args=(database,), daemon=True).start()
            self.on_request = self.keep
        else:
            self.on_request = self.answer

    async def connect(self) -> None:
        """Open the connections to the consumers."""
        for port, consumer in self._consumers:
            make = partial(Connection, consumer.answered, lambda: None)
            _, consumer.connection = await self._loop.create_connection(make, "127.0.0.1", port)

    def answer(self, caller: Caller, body: bytes) -> None:
        """Answer at once, as for one event."""
        caller.answer(self._answer(1))

    def keep(self, caller: Caller, body: bytes) -> None:
        """Hand the body to the writer; the answer waits for it."""
        self._queue.put((caller, body))

    def _answer(self, count: int) -> bytes:
        known = self._answers.get(count)
        if known is None:
            accepted = ",".join(ANSWERED.format(index) for index in range(count))
            body = f'{{"accepted":[{accepted}],"rejected":[]}}'.encode()
            known = self._answers[count] = response("202 Accepted", body)
        return known

    def _write(self, database: str) -> None:
        """Commit whatever has gathered, again and again; runs in the thread of the writer."""
        connection = sqlite3.connect(database, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, body BLOB)")
        while True:
            group = [self._queue.get()]
            try:
                while True:
                    group.append(self._queue.get_nowait())
            except Empty:
                pass
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO bodies (body) VALUES (?)", [(body,) for _, body in group])
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._kept, group)

    def _kept(self, group: list[Held]) -> None:
        """Answer what is durable now, and tell whom it concerns."""
        for caller, body in group:
            read = _decode(body)
            caller.answer(self._answer(len(read.events) or 1))
            if read.event is not None and read.event.type in (events.HOST_DOWN, events.SWITCH_DOWN):
                self._tell(read.event)

    def _tell(self, event: One) -> None:
        kind, when = "fault", event.time
        details = msgspec.json.decode(event.details)
        host = details["hostname"]
        if details["status"] == "down":
            self._down[host] = when
        else:
            kind, when = "fault_cleared", self._down[host]
        body = b'{"notification_type":"%b","event_time":"%b","virtual_resource_info":[%b]}' % (
            kind.encode(),
            when.encode(),
            self._machines,
        )
        message = request("POST", "/", body, host="127.0.0.1")
        for _, consumer in self._consumers:
            consumer.put(message)


async def main(settings: dict[str, Any]) -> None:
    """Serve until there are no more orders, of which there are none."""
    sys.setswitchinterval(0.0005)
    floor = Floor(**settings)
    await floor.connect()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Caller, floor.on_request), "127.0.0.1", 0, backlog=256)
    gc.freeze()
    tell({"port": server.sockets[0].getsockname()[1]})
    await obey({})


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
