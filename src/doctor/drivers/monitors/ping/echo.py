"""Asking by ICMP: one socket for each IP version, for all addresses together."""

import contextlib
import socket

from doctor.drivers.monitors.ping import icmp
from doctor.drivers.monitors.ping.judging import Path
from doctor.drivers.monitors.ping.probing import MOST_ANSWERS, Answer
from doctor.drivers.monitors.ping.settings import Method
from doctor.drivers.monitors.sockets import enlarge

PROTOCOLS = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}


class EchoProber:
    """Sends ICMP echo requests.

    A raw socket needs CAP_NET_RAW. A datagram socket needs the group of the process to be in
    ``net.ipv4.ping_group_range``; there the kernel chooses the identifier and hands over the replies to it only.
    """

    def __init__(self, method: Method) -> None:
        """Open the socket for IPv4, which tells whether the method is allowed.

        Raises:
            OSError: it is not.
        """
        self.method = method
        self._sender = icmp.Sender.new()
        self._constant_sum = self._sender.constant_sum
        self._sockets: dict[int, socket.socket] = {}
        self._buffer = memoryview(bytearray(2048))
        self.prepare(socket.AF_INET)

    @property
    def _is_raw(self) -> bool:
        return self.method is Method.RAW

    def prepare(self, family: int) -> None:
        """Open the socket of this family if there is none yet.

        Raises:
            OSError: it is not allowed, or the machine does not speak this IP version.
        """
        if family in self._sockets:
            return
        kind = socket.SOCK_RAW if self._is_raw else socket.SOCK_DGRAM
        sock = socket.socket(family, kind, PROTOCOLS[socket.AddressFamily(family)])
        sock.setblocking(False)
        enlarge(sock)
        if self._is_raw:
            with contextlib.suppress(OSError):  # it only spares work
                icmp.attach_filter(sock, icmp.reply_filter(family, self._sender))
        self._sockets[family] = sock

    def send(self, path: Path, number: int, now: float) -> None:
        """Send one echo request.

        Raises:
            OSError: the kernel did not take it.
        """
        address = path.address
        packet = icmp.echo_request(address.family, self._sender, self._constant_sum, path.key, number)
        self._sockets[address.family].sendto(packet, address.at_port(0))

    def drain(self, now: float) -> tuple[list[Answer], bool]:
        """Read all replies that have come."""
        answers: list[Answer] = []
        is_all = True
        for family, sock in self._sockets.items():
            is_all = self._read(family, sock, answers) and is_all
        return answers, is_all

    def _read(self, family: int, sock: socket.socket, answers: list[Answer]) -> bool:
        has_ip_header = self._is_raw and family == socket.AF_INET
        buffer = self._buffer
        for _ in range(MOST_ANSWERS):
            try:
                size, source = sock.recvfrom_into(buffer)
            except BlockingIOError:
                return True
            except OSError:
                continue  # an error that waited for us, such as a network gone; replies may be behind it
            begin = icmp.header_length(buffer) if has_ip_header else 0
            reply = icmp.echo_reply(
                family, self._sender, buffer, begin=begin, size=size, is_kernel_id=not self._is_raw
            )
            if reply is not None:
                answers.append(Answer(reply[0], source[0], reply[1]))
        return False

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
