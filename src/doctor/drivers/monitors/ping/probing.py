"""The way to ask an address whether somebody is there: what all methods have in common.

A prober does no waiting and knows no event loop. It is read when somebody wants to know, and then empties everything
that has come: that is what makes "no answer" a fact instead of an impression.
"""

import errno
from typing import Protocol

import msgspec

from doctor.drivers.monitors.ping.judging import Path
from doctor.drivers.monitors.ping.settings import Method

# A failure to send that is news of the target. All others (no buffer, a local firewall) are our own trouble.
ABOUT_TARGET = frozenset(
    {
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ECONNREFUSED,
    }
)
# So many answers are read at once; more can only be a flood, and the event loop has others to serve.
MOST_ANSWERS = 20_000


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Somebody answered: the key of the probe, the address it came from, the probe's number (or its lower 16 bits)."""

    key: bytes
    source: str
    number: int


class Prober(Protocol):
    """Asks addresses by one method."""

    @property
    def method(self) -> Method:
        """Return the method that is used here."""
        ...

    def prepare(self, family: int) -> None:
        """Get ready for addresses of this family.

        Raises:
            OSError: this is not possible here.
        """
        ...

    def send(self, path: Path, number: int, now: float) -> None:
        """Send a probe, without waiting.

        Raises:
            OSError: it was not sent; `ABOUT_TARGET` tells which of these are news of the target.
        """
        ...

    def drain(self, now: float) -> tuple[list[Answer], bool]:
        """Return what has come since the last time, and whether that is all there was."""
        ...

    def close(self) -> None:
        """Give the sockets back."""
        ...
