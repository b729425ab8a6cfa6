"""What the sockets of monitors that listen have in common: room for what comes at once, and the count of what found none."""

import contextlib
import socket
import struct
from collections.abc import Sequence
from ipaddress import ip_address

RECEIVE_BUFFER = 4 * 1024 * 1024  # the answers of 5000 probes, or as many traps
SO_RCVBUFFORCE = 33
SO_MEMINFO = 55
MEMINFO = struct.Struct("9I")
DROPS = 8


def addresses(listen: Sequence[str], usual: int) -> list[tuple[str, int]]:
    """Return the addresses and ports of the setting ``listen``; ``usual`` is the port that an example names.

    Raises:
        ValueError: one is none; the message names the place.
    """
    found = []
    for index, text in enumerate(listen):
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        try:
            ip_address(host)
            if not colon or not 0 <= int(port) <= 65535:
                raise ValueError
        except ValueError:
            detail = f"{text!r} is no address and port: write 192.0.2.1:{usual}"
            raise ValueError(f"listen[{index}]: {detail}") from None
        found.append((host, int(port)))
    return found


def enlarge(sock: socket.socket) -> None:
    """Make room for many answers, beyond the limit of the system where that is allowed."""
    for option in (SO_RCVBUFFORCE, socket.SO_RCVBUF):
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER)
        except PermissionError:
            continue
        return


def listening(address: tuple[str, int]) -> socket.socket:
    """Open a socket for datagrams that does not block.

    Raises:
        OSError: the address is not ours, or is taken.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with contextlib.ExitStack() as opened:
        sock = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        sock.setblocking(False)
        enlarge(sock)
        sock.bind(address)
        opened.pop_all()
    return sock


class Drops:
    """Counts the datagrams that the kernel had no room for, on sockets of ours."""

    def __init__(self) -> None:
        self._before: dict[int, int] = {}

    def since(self, sock: socket.socket) -> int:
        """Return how many there were since the last time."""
        try:
            total: int = MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO.size))[DROPS]
        except (OSError, struct.error):
            return 0  # not every kernel tells
        new = (total - self._before.get(sock.fileno(), 0)) & 0xFFFFFFFF
        self._before[sock.fileno()] = total
        return new
