"""Names: what addresses they have, also while the name servers are away."""

import asyncio
import socket
import threading
from collections import OrderedDict
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

MAX_LOOKUPS = 128  # under way at once
LOOKUP_PATIENCE_S = 0.3  # for a fresh answer, where an older one is known
KNOWN_FOR_S = 24 * 3600.0
MAX_KNOWN = 4096


class Resolver(Protocol):
    """Knows the addresses of hosts."""

    async def resolve(self, host: str) -> list[str]:
        """Return the addresses of a host, the best first.

        Raises:
            OSError: there is no such name, or nobody could say.
        """
        ...


class PatientResolver:
    """Looks up names in threads of its own, and lives on the last answer while the name servers are away.

    A look-up that nobody answers holds its thread for up to half a minute. In the few threads that everything
    shares, a handful of such names, which any tenant can make, would bring all telling to a stop. And a fault that
    takes the name servers along is the one that must be told all the same: what they said within a day still counts.

    An answer younger than ``fresh_for`` is used without asking again.
    """

    def __init__(self, fresh_for: timedelta = timedelta(0)) -> None:
        self._fresh_for_s = fresh_for.total_seconds()
        self._known: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()
        self._under_way: dict[str, asyncio.Future[list[str]]] = {}

    async def resolve(self, host: str) -> list[str]:
        """Return the addresses of a host, from the name servers or, if they hesitate, from memory.

        Raises:
            OSError: there is no such name, or nobody could say.
        """
        when, known = self._known.get(host, (0.0, None))
        age_s = asyncio.get_running_loop().time() - when
        if known and age_s < self._fresh_for_s:
            return known
        if known and age_s > KNOWN_FOR_S:
            known = None
        try:
            async with asyncio.timeout(LOOKUP_PATIENCE_S if known else None):
                return await asyncio.shield(self._under_way.get(host) or self._ask(host))
        except OSError as error:  # with TimeoutError
            if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                self._known.pop(host, None)
                raise
            if known is None:
                raise
            log.warning("webhook.name_from_memory", host=host)
            return known

    def _ask(self, host: str) -> "asyncio.Future[list[str]]":
        if len(self._under_way) >= MAX_LOOKUPS:
            raise socket.gaierror(socket.EAI_AGAIN, "too many look-ups under way")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[str]] = loop.create_future()
        self._under_way[host] = future
        future.add_done_callback(lambda _: self._answered(host, future))

        def settle(answer: list[str] | OSError) -> None:
            if future.done():
                return
            if isinstance(answer, OSError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        def run() -> None:
            answer = look_up(host)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, answer)

        threading.Thread(target=run, name=f"doctor-name-{host[:32]}", daemon=True).start()
        return future

    def _answered(self, host: str, future: "asyncio.Future[list[str]]") -> None:
        del self._under_way[host]
        if future.cancelled() or future.exception() is not None:
            return
        self._known[host] = (asyncio.get_running_loop().time(), future.result())
        self._known.move_to_end(host)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def look_up(host: str) -> list[str] | OSError:
    """Ask the system for the addresses of a host. This blocks; an error comes back as a value."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except OSError as error:
        return error
    except UnicodeError:  # a label that is empty or too long
        return socket.gaierror(socket.EAI_NONAME, "not a name")
    return [str(place[0]) for _, _, _, _, place in found]
