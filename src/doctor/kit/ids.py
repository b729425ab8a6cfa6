"""Ids made from content: the same thing has the same id on every node and after every restart.

All of them are UUIDs of version 5 (RFC 9562, SHA-1 in a namespace). A *kind* (``alarm``, ``fault`` ...) has a
namespace of its own, so that equal contents of different kinds never meet.
"""

from collections.abc import Iterable
from functools import cache
from hashlib import sha1
from struct import Struct
from uuid import UUID, uuid5

DOCTOR = UUID("2c1d9b5e-9a1f-5c1e-8f57-5d0c70d0c70d")
SEPARATOR = "\x1f"  # never part of an id: the doors refuse control characters in names

_DIGITS = Struct("8s4s4s4s12s")
_VERSION_5 = bytes((byte & 0x0F) | 0x50 for byte in range(256))
_VARIANT_DIGIT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_VARIANT = bytes((byte & 0x3F) | 0x80 for byte in range(256))


@cache
def namespace(kind: str) -> bytes:
    """Return the namespace of a kind of id."""
    return uuid5(DOCTOR, kind).bytes


def stable_id(kind: str, *parts: str) -> str:
    """Return the id of the thing of this kind that these parts name."""
    return stable_ids(kind, (SEPARATOR.join(parts).encode(),))[0]


def str_of(digest: str) -> str:
    """Return the UUID of version 5 that a SHA-1 in hexadecimal digits makes."""
    variant = _VARIANT_DIGIT[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def stable_ids(kind: str, names: Iterable[bytes]) -> list[str]:
    """Return the ids of many things of one kind, in their order; a name is the parts of `stable_id`, or any content.

    Many at once cost about half of as many single calls: version and variant bits are set for all together.
    """
    space = namespace(kind)
    names = list(names)
    if len(names) == 1:
        return [str_of(sha1(space + names[0], usedforsecurity=False).hexdigest())]
    digests = bytearray(b"".join([sha1(space + name, usedforsecurity=False).digest()[:16] for name in names]))
    digests[6::16] = digests[6::16].translate(_VERSION_5)
    digests[8::16] = digests[8::16].translate(_VARIANT)
    groups = _DIGITS.iter_unpack(digests.hex().encode())
    return b" ".join([b"-".join(group) for group in groups]).decode().split()
