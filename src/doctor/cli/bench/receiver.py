"""The owners: a process that takes webhooks, each consumer at a port of its own, and writes down when each came.

`python -m doctor.cli.bench.receiver CONSUMERS` says its ports and then takes orders. It looks into what it got only
when it is asked, so that looking delays nobody.
"""

import asyncio
import gc
import sys
import time
from functools import partial
from typing import Any

import msgspec
import uvloop

from doctor.cli.bench.events import mark
from doctor.cli.bench.orders import obey, tell
from doctor.cli.bench.protocol import Caller, response

ANSWER = response("200 OK")


class Told(msgspec.Struct):
    """What the bench wants to know of a notification."""

    notification_type: str
    event_time: str
    virtual_resource_info: list[msgspec.Raw] = []


_decode = msgspec.json.Decoder(Told).decode


class Receiver:
    """Everything that came since it was asked last, with the time at which it was complete."""

    def __init__(self) -> None:
        self._came: list[tuple[int, int, bytes]] = []
        self._wanted = 0
        self._enough = asyncio.Event()

    def take(self, consumer: int, caller: Caller, body: bytes) -> None:
        """Take a notification; a GET is only the test of a new endpoint."""
        now = time.monotonic_ns()
        caller.answer(ANSWER)
        if caller.method == b"POST":
            self._came.append((now, consumer, body))
            if len(self._came) == self._wanted:
                self._enough.set()

    async def expect(self, count: int, seconds: float) -> dict[str, Any]:
        """Wait until so many have come, and return what came; what comes too late is in the next answer."""
        self._wanted = count
        if len(self._came) < count:
            self._enough.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._enough.wait()
            except TimeoutError:
                pass
        came, self._came = self._came, []
        return {"told": [self._read(*one) for one in came]}

    def _read(self, when: int, consumer: int, body: bytes) -> list[Any]:
        told = _decode(body)
        what = mark(told.notification_type, told.event_time)
        return [when, consumer, what, len(told.virtual_resource_info), len(body)]


async def main(consumers: int) -> None:
    """Listen at as many ports as there are consumers, and take orders."""
    loop = asyncio.get_running_loop()
    receiver = Receiver()
    ports = []
    for consumer in range(consumers):
        take = partial(receiver.take, consumer)
        server = await loop.create_server(partial(Caller, take), "127.0.0.1", 0, backlog=16)
        ports.append(server.sockets[0].getsockname()[1])
    gc.freeze()
    gc.disable()
    tell({"ports": ports})
    await obey({"expect": receiver.expect})


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
