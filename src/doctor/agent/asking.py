"""Asking an address whether somebody is there, for Doctor, who does not hear it: by ICMP where that is allowed, else by TCP."""

import asyncio
import contextlib
import errno
import ipaddress
import secrets
import socket
import struct

ECHO_REQUEST, ECHO_REPLY = 8, 0
HEADER = struct.Struct("!BBHHH")
TOKEN_BYTES = 8
TCP_PORT = 22
MOST_TIMES = 10
LONGEST = 2.0  # seconds


def checksum(data: bytes) -> int:
    """Return the ones' complement checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~((total >> 16) + total) & 0xFFFF


def echo(identifier: int, sequence: int, token: bytes) -> bytes:
    """Return an echo request."""
    body = HEADER.pack(ECHO_REQUEST, 0, 0, identifier, sequence) + token
    return HEADER.pack(ECHO_REQUEST, 0, checksum(body), identifier, sequence) + token


def is_reply(data: bytes, token: bytes) -> bool:
    """Tell whether this is the answer to a request with this token, with or without the IP header before it."""
    begin = (data[0] & 0x0F) * 4 if data and data[0] >> 4 == 4 else 0
    reply = data[begin:]
    return len(reply) >= HEADER.size and reply[0] == ECHO_REPLY and reply[HEADER.size :] == token


async def ask(address: str, times: int, within: float) -> int:
    """Ask an address so often, evenly over a time, and return how many answers came.

    Raises:
        ValueError: it is not the address of a host.
    """
    target = ipaddress.ip_address(address)
    if target.is_multicast or target.is_unspecified:
        raise ValueError(f"{address} is not the address of a host")
    times, within = min(max(times, 1), MOST_TIMES), min(max(within, 0.01), LONGEST)
    sock = _icmp() if target.version == 4 else None
    if sock is None:
        return await _ask_by_tcp(address, within)
    with sock:
        return await _ask_by_icmp(sock, address, times, within)


def _icmp() -> socket.socket | None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(PermissionError):
            sock = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
            sock.setblocking(False)
            return sock
    return None


async def _ask_by_icmp(sock: socket.socket, address: str, times: int, within: float) -> int:
    token, identifier = secrets.token_bytes(TOKEN_BYTES), secrets.randbelow(0xFFFF)
    heard = 0

    def read() -> None:
        nonlocal heard
        with contextlib.suppress(OSError):  # until nothing is left
            while True:
                heard += is_reply(sock.recv(2048), token)

    loop = asyncio.get_running_loop()
    loop.add_reader(sock, read)
    try:
        for number in range(times):
            with contextlib.suppress(OSError):
                sock.sendto(echo(identifier, number, token), (address, 0))
            await asyncio.sleep(within / times)
            read()  # what came while we were held up waits here
            if heard:
                break  # one answer says it all
    finally:
        loop.remove_reader(sock)
    return heard


async def _ask_by_tcp(address: str, within: float) -> int:
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(address, TCP_PORT)
    except OSError as error:  # a timeout is one
        return int(error.errno == errno.ECONNREFUSED)
    writer.transport.abort()
    return 1
