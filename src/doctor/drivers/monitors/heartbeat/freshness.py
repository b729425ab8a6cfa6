"""Whether a heartbeat is one of now: what tells it from a recording.

Comes in what a datagram says whose signature is right, goes out what it is worth. Nothing here asks a clock: an agent starts
a *session* with each start, and is given a *challenge* for it, which its heartbeats have to carry; within the session their
sequence grows on each network. Another session takes the place of the one that is known only with a challenge that was made
after that one had begun, so nothing that was ever recorded can.
"""

import secrets
from collections.abc import Callable
from enum import Enum, auto

from doctor.kit.beat import CHALLENGE_BYTES, Beat, Kind

MOST_NETWORKS = 16


class Worth(Enum):
    """What a datagram is worth."""

    LIFE = auto()
    UNPROVEN = auto()  # right, and maybe a recording: the agent is to be challenged
    REPLAYED = auto()
    TOO_MANY_NETWORKS = auto()


def new_challenge() -> bytes:
    """Return one that nobody can guess."""
    return secrets.token_bytes(CHALLENGE_BYTES)


class Sender:
    """What is known of the agent of a host. ``restarts`` counts its sessions, ``boot`` is b"" before the first."""

    __slots__ = ("_challenge", "_make", "_next", "_sequences", "boot", "restarts", "session")

    def __init__(self, make: Callable[[], bytes] = new_challenge) -> None:
        self._make = make
        self._challenge = b""
        self._next = make()
        self._sequences: dict[str, int] = {}
        self.boot = b""
        self.session = 0
        self.restarts = 0

    def challenge_for(self, beat: Beat) -> bytes:
        """Return what the agent has to carry to be believed."""
        return self._challenge if self._is_of_now(beat) else self._next

    def weigh(self, beat: Beat) -> Worth:
        """Weigh a datagram whose signature is right, and take note of it if it is of now."""
        is_of_now = self._is_of_now(beat)
        if beat.challenge != (self._challenge if is_of_now else self._next):
            return Worth.UNPROVEN
        if beat.kind is Kind.ANSWER:  # its number is that of the question, which is asked once
            return Worth.LIFE if is_of_now else Worth.UNPROVEN
        if not is_of_now:
            self._begin(beat)
        last = self._sequences.get(beat.subject)
        if last is None and len(self._sequences) >= MOST_NETWORKS:
            return Worth.TOO_MANY_NETWORKS
        if last is not None and beat.sequence <= last:
            return Worth.REPLAYED
        self._sequences[beat.subject] = beat.sequence
        return Worth.LIFE

    def _is_of_now(self, beat: Beat) -> bool:
        return beat.session == self.session and beat.boot == self.boot

    def _begin(self, beat: Beat) -> None:
        self.boot, self.session = beat.boot, beat.session
        self.restarts += 1
        self._challenge, self._next = self._next, self._make()
        self._sequences = {}
