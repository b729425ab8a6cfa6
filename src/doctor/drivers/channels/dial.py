"""How a connection comes about: of the addresses of a name the first that answers, and none that may not be dialled."""

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest

from doctor.drivers.channels.guard import AddressRefused, Guard

MAX_ADDRESSES = 8  # of a name, whose owner may give it thousands
STAGGER_S = 0.25  # until the next address is tried beside one that hesitates (RFC 8305)


async def dial(addresses: Sequence[str], port: int, guard: Guard) -> socket.socket:
    """Connect to one of the addresses. The next is tried when one fails, or hesitates.

    Raises:
        AddressRefused: none of them may be dialled.
        OSError: none of them could be reached.
    """
    waiting = deque(interleaved(addresses))
    attempts: set[_Attempt] = set()
    errors: list[OSError] = []
    try:
        while waiting or attempts:
            if waiting:
                try:
                    attempts.add(_Attempt(waiting.popleft(), port, guard))
                except OSError as error:
                    errors.append(error)
            outcomes = [attempt.outcome for attempt in attempts]
            if len(outcomes) == 1 and not waiting:
                await outcomes[0]
            elif outcomes:
                patience = STAGGER_S if waiting else None
                await asyncio.wait(outcomes, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for attempt in [each for each in attempts if each.outcome.done()]:
                attempts.remove(attempt)
                if why := attempt.outcome.result():
                    errors.append(why)
                else:
                    return attempt.raw
    finally:
        for attempt in attempts:
            attempt.give_up()
    raise next(
        (error for error in errors if not isinstance(error, AddressRefused)),
        errors[0] if errors else OSError(errno.EADDRNOTAVAIL, "no address"),
    )


def interleaved(addresses: Sequence[str]) -> list[str]:
    """Order the addresses so that the two families take turns: a network often has a way for one of them only."""
    ipv6_first = bool(addresses) and ":" in addresses[0]
    first = [address for address in addresses if (":" in address) == ipv6_first]
    others = [address for address in addresses if (":" in address) != ipv6_first]
    turns = chain(*zip_longest(first[:MAX_ADDRESSES], others[:MAX_ADDRESSES]))
    return [address for address in turns if address is not None][:MAX_ADDRESSES]


class _Attempt:
    """A socket that is being connected; ``outcome`` is None, or why it could not be."""

    def __init__(self, address: str, port: int, guard: Guard) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        # What the guard is shown is what is dialled: an address, not a name that somebody could look up anew.
        self.raw = guard.socket_for((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)))
        try:
            self.raw.setblocking(False)
            code = self.raw.connect_ex((address, port))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            self._loop = asyncio.get_running_loop()
            self._loop.add_writer(self.raw, self._ready)
        except BaseException:
            self.raw.close()
            raise
        self.outcome: asyncio.Future[OSError | None] = self._loop.create_future()

    def _ready(self) -> None:
        self._loop.remove_writer(self.raw)
        if self.outcome.done():  # cancelled, and given up in a moment
            return
        code = self.raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.raw.close()
        self.outcome.set_result(OSError(code, os.strerror(code)) if code else None)

    def give_up(self) -> None:
        """Close the socket, connected or not."""
        self._loop.remove_writer(self.raw)
        self.outcome.cancel()
        self.raw.close()
