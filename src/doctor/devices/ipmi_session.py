"""A session with a BMC by IPMI 2.0 (RMCP+), of pyghmi: one UDP socket, used by one thread.

pyghmi's usual session shares sockets and a thread among all BMCs of a process, and gives the same session to whoever
asks for one of the same BMC; here one must not be hurt by another, and a new session has to be a new one. Its simple
session is what is wanted, but waits for ever for a packet that was lost: this one sends again, and gives up in time.
"""

import select
import socket
from contextlib import suppress
from typing import Any, NoReturn

from pyghmi.exceptions import IpmiException
from pyghmi.ipmi.private import simplesession

from doctor.devices.worker import Leash

SEND_AGAIN = 0.4  # seconds; a BMC on the same network answers within milliseconds, or has lost the packet
GOOD_BYE = 0.2

CHASSIS, APPLICATION = 0x00, 0x06
CHASSIS_STATUS, CHASSIS_CONTROL, DEVICE_ID, SYSTEM_GUID = 0x01, 0x02, 0x01, 0x37
POWER_DOWN, POWER_UP = 0x00, 0x01


class IpmiSession(simplesession.Session):  # type: ignore[misc] # pyghmi has no types
    """A login that lasts until it is closed. What is not done in time is a TimeoutError."""

    def __init__(self, address: str, port: int, user: str, password: str, leash: Leash) -> None:
        self._leash = leash
        self._open: socket.socket | None = None
        self.bmc = address
        try:
            super().__init__(address, user, password, port)
        except BaseException:
            self.forget()
            raise

    def ask(self, netfn: int, command: int, leash: Leash, data: tuple[int, ...] = ()) -> bytes:
        """Send a command and return the data of its answer.

        Raises:
            TimeoutError: there was none in time.
            IpmiException: the BMC refused, or has forgotten this session.
            OSError: nobody is there.
        """
        self._leash = leash
        answer: dict[str, Any] = self.raw_command(netfn, command, data=data)
        if "error" in answer:
            raise IpmiException(answer["error"], code=answer.get("code", 0))
        return bytes(answer["data"])

    def close(self) -> None:
        """Log out, so that the BMC has a place for others again, and close the socket."""
        self._leash = Leash(GOOD_BYE)
        with suppress(Exception):  # else it will notice by itself
            self.logout()
        self.forget()

    def forget(self) -> None:
        """Close the socket without a word."""
        simplesession.Session.keepalive_sessions.pop(self, None)
        self.logged = 0
        if self._open is not None:
            self._open.close()

    # --- what is done otherwise than in pyghmi ---

    def _assignsocket(self, server: object = None) -> socket.socket:
        """Take a socket that hears nobody but the BMC, and that is told when nobody is there."""
        family, kind, _, _, address = socket.getaddrinfo(self.bmc, self.port, type=socket.SOCK_DGRAM)[0]
        self._open = socket.socket(family, kind)
        self._open.connect(address)
        self.bmc = str(address[0])
        return self._open

    def _get_session_challenge(self) -> NoReturn:
        raise IpmiException("the BMC offers IPMI 1.5 only, which anybody can forge")

    def wait_for_rsp(self, timeout: float | None = None, callout: object = None) -> None:
        """Wait for the next packet; without one, send again what went out last."""
        if select.select([self.socket], [], [], min(self._leash.left, SEND_AGAIN))[0]:
            self.process_pktqueue()
        else:
            _ = self._leash.left
            self.maxtimeout = self.timeout + 2  # the time says when it is enough, not the number of attempts
            self.logontries = 2
            self._timedout()

    def awaitresponse(self, retry: object) -> None:
        """Wait for the answer to a command; a good-bye has none."""
        while retry and self.lastresponse is None and self.logged:
            self.wait_for_rsp()
