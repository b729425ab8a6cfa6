"""The signed datagrams between the agents of hosts and whoever listens for their heartbeats.

One form for all: a head, the name of the host, a subject, and HMAC-SHA256 over all of that with the key of the host. What
is said of time is a count of the sender's own (a session, a sequence, a monotonic clock): nobody's wall clock is asked.

That a datagram is fresh is proven by a *challenge*, random bytes that the listener has sent to this session of the agent and
that each heartbeat carries: a recording of before does not have it.
"""

import hashlib
import hmac
import struct
from enum import IntEnum
from typing import NamedTuple

MAGIC = b"DrB1"
MAC_BYTES = 32
KEY_BYTES = 32
CHALLENGE_BYTES = 8
NO_CHALLENGE = bytes(CHALLENGE_BYTES)
MOST_NAME = 255
# magic; kind, bytes of host, bytes of subject, flags; boot id, session, sequence, monotonic (ns); challenge; two numbers
HEAD = struct.Struct("!4s4B16s3Q8s2I")
LEAST_BYTES = HEAD.size + 1 + MAC_BYTES
MOST_BYTES = HEAD.size + 2 * MOST_NAME + MAC_BYTES
MOST_MICROSECONDS = 0xFFFFFFFF
MOST_COUNT = 0xFFFFFFFFFFFFFFFF

_BLOCK = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class Kind(IntEnum):
    """What a datagram says. The agent sends the first three, the listener the others."""

    BEAT = 1
    GOODBYE = 2
    ANSWER = 3
    CHALLENGE = 16
    QUESTION = 17


FROM_AGENT = frozenset({Kind.BEAT, Kind.GOODBYE, Kind.ANSWER})


class Beat(NamedTuple):
    """One datagram. The comments say what a field means in which kind.

    ``boot`` changes when the host starts, ``session`` grows with each start of the agent, ``sequence`` with each
    datagram; a challenge repeats them from the beat that it is for.
    """

    kind: Kind
    host: str
    subject: str = ""  # beats: the network; questions and answers: the address that is asked
    boot: bytes = bytes(16)
    session: int = 0
    sequence: int = 0  # questions and answers: which question
    monotonic_ns: int = 0
    challenge: bytes = NO_CHALLENGE
    interval_us: int = (
        0  # beats: until the next; challenges: the wish for it, 0 for none; answers: how many came
    )
    lag_us: int = 0  # beats: how late the agent was lately; answers: of how many
    flags: int = 0


class Malformed(ValueError):
    """It is no such datagram."""


class Key:
    """Signs and checks for one host. Its repr shows nothing of it."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        padded = key.ljust(_BLOCK, b"\0")
        # The same as hmac.digest, at a quarter of its price: the two blocks of the key are hashed once.
        self._inner = hashlib.sha256(padded.translate(_INNER))
        self._outer = hashlib.sha256(padded.translate(_OUTER))

    def __repr__(self) -> str:
        return "Key(***)"

    def sign(self, data: bytes | memoryview) -> bytes:
        """Return the signature."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()

    def has_signed(self, data: bytes | memoryview, signature: bytes | memoryview) -> bool:
        """Tell whether the signature is right, in a time that does not tell how much of it was."""
        return hmac.compare_digest(self.sign(data), signature)


def pack(beat: Beat, key: Key) -> bytes:
    """Write a datagram.

    Raises:
        ValueError: a name or a number is too long for it.
    """
    host, subject = beat.host.encode(), beat.subject.encode()
    if not host or len(host) > MOST_NAME or len(subject) > MOST_NAME:
        raise ValueError(f"a name has 1 to {MOST_NAME} bytes")
    head = HEAD.pack(
        MAGIC,
        beat.kind,
        len(host),
        len(subject),
        beat.flags,
        beat.boot,
        beat.session,
        beat.sequence,
        beat.monotonic_ns,
        beat.challenge,
        min(beat.interval_us, MOST_MICROSECONDS),
        min(beat.lag_us, MOST_MICROSECONDS),
    )
    data = b"".join((head, host, subject))
    return data + key.sign(data)


def read(data: memoryview) -> tuple[Beat, int]:
    """Read a datagram without checking who signed it; the number is where its signature begins.

    Raises:
        Malformed: it is none, or not whole, or there is something behind it.
    """
    size = len(data)
    if not LEAST_BYTES <= size <= MOST_BYTES:
        raise Malformed("size")
    head = HEAD.unpack_from(data)
    magic, kind, host_bytes, subject_bytes, flags, boot, session, sequence, monotonic_ns = head[:9]
    end = HEAD.size + host_bytes + subject_bytes
    if magic != MAGIC or not host_bytes or end + MAC_BYTES != size:
        raise Malformed("shape")
    try:
        host = str(data[HEAD.size : HEAD.size + host_bytes], "utf-8")
        subject = str(data[HEAD.size + host_bytes : end], "utf-8")
        kind = _KINDS[kind]
        return Beat(
            kind, host, subject, boot, session, sequence, monotonic_ns, head[9], head[10], head[11], flags
        ), end
    except (UnicodeDecodeError, KeyError):
        raise Malformed("content") from None


_KINDS = {int(kind): kind for kind in Kind}


def derived(master: bytes, host: str) -> bytes:
    """Return the key of a host that belongs to a master key: nobody can find one from the other, or the master."""
    return hmac.digest(master, b"doctor agent 1\0" + host.encode(), "sha256")
