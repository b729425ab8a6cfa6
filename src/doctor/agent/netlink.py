"""What the kernel says of network links (rtnetlink): the few fields that tell whether a cable is plugged in."""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

GROUP_LINK = 1
GETLINK, NEWLINK, DELLINK = 18, 16, 17
DONE, ERROR = 3, 2
REQUEST_DUMP = 0x1 | 0x300
IFLA_IFNAME = 3
IFF_UP, IFF_LOOPBACK, IFF_LOWER_UP = 0x1, 0x8, 0x10000
MESSAGE = struct.Struct("=IHHII")
LINK = struct.Struct("=BxHiII")
ATTRIBUTE = struct.Struct("=HH")


class Link(NamedTuple):
    """A link as it is now. ``is_up`` is what was wanted of it, ``has_carrier`` what there is."""

    number: int
    name: str
    is_up: bool
    has_carrier: bool
    is_gone: bool = False
    is_loopback: bool = False


class End(NamedTuple):
    """The end of a list that was asked for."""


def open_socket() -> socket.socket:
    """Return a socket on which the kernel tells of every change of a link. It needs no privileges.

    Raises:
        OSError: there is no netlink here.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind((0, GROUP_LINK))
    except BaseException:
        sock.close()
        raise
    return sock


def list_request(sequence: int) -> bytes:
    """Return the question for all links."""
    size = MESSAGE.size + LINK.size
    return MESSAGE.pack(size, GETLINK, REQUEST_DUMP, sequence, 0) + LINK.pack(0, 0, 0, 0, 0)


def parse(data: bytes) -> Iterator[Link | End]:
    """Read what came; what is cut off or of another kind is left out."""
    begin = 0
    while begin + MESSAGE.size <= len(data):
        size, kind, _, _, _ = MESSAGE.unpack_from(data, begin)
        if size < MESSAGE.size or begin + size > len(data):
            return
        if kind in (NEWLINK, DELLINK) and size >= MESSAGE.size + LINK.size:
            yield _link(data[begin + MESSAGE.size : begin + size], is_gone=kind == DELLINK)
        elif kind in (DONE, ERROR):
            yield End()
        begin += (size + 3) & ~3


def _link(body: bytes, *, is_gone: bool) -> Link:
    _, _, index, flags, _ = LINK.unpack_from(body)
    name = ""
    begin = LINK.size
    while begin + ATTRIBUTE.size <= len(body):
        size, kind = ATTRIBUTE.unpack_from(body, begin)
        if size < ATTRIBUTE.size or begin + size > len(body):
            break
        if kind == IFLA_IFNAME:
            name = body[begin + ATTRIBUTE.size : begin + size].split(b"\0")[0].decode(errors="replace")
        begin += (size + 3) & ~3
    return Link(
        index,
        name,
        is_up=bool(flags & IFF_UP),
        has_carrier=bool(flags & IFF_LOWER_UP),
        is_gone=is_gone,
        is_loopback=bool(flags & IFF_LOOPBACK),
    )
