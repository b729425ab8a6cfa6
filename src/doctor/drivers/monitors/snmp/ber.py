"""BER as far as SNMP uses it: strict in what it reads, since anybody may have sent it.

Comes in bytes, goes out values, or `Malformed`. Nothing is read beyond what a length says, and no length is believed that
reaches beyond what there is.
"""

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
IP_ADDRESS, COUNTER, GAUGE, TICKS, OPAQUE, COUNTER64 = 0x40, 0x41, 0x42, 0x43, 0x44, 0x46
MOST_INTEGER = 9  # bytes: a counter of 64 bits with its sign
MOST_OID = 512  # bytes: 128 parts of up to 32 bits take less in practice


class Malformed(Exception):
    """This is no message: what is wrong with it."""


class Missing(Enum):
    """There is no value, and why."""

    OBJECT = 0x80
    INSTANCE = 0x81
    END = 0x82


Value = int | bytes | str | Missing | None  # OIDs and addresses are texts

WHOLE = frozenset((INTEGER, COUNTER, GAUGE, TICKS, COUNTER64))
MISSING = {one.value: one for one in Missing}


def element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return the tag of the element at a place, and where its content starts and ends.

    Raises:
        Malformed: there is none that ends before the ``end``.
    """
    if at + 2 > end:
        raise Malformed("ends too early")
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or at + count > end:
            raise Malformed("a length that cannot be")
        length = int.from_bytes(data[at : at + count])
        at += count
    if at + length > end:
        raise Malformed("a length beyond the end")
    return tag, at, at + length


def expect(data: bytes, at: int, end: int, wanted: int) -> tuple[int, int]:
    """Return where the content starts and ends of the element at a place, which should have this tag.

    Raises:
        Malformed: it is another one.
    """
    tag, start, stop = element(data, at, end)
    if tag != wanted:
        raise Malformed(f"the tag {tag:#04x} where {wanted:#04x} should be")
    return start, stop


def integer(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number at a place, and where it ends.

    Raises:
        Malformed: there is none.
    """
    start, stop = expect(data, at, end, INTEGER)
    return whole(data[start:stop], INTEGER), stop


def octets(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Return the bytes at a place, and where they end.

    Raises:
        Malformed: there are none.
    """
    start, stop = expect(data, at, end, OCTETS)
    return data[start:stop], stop


def whole(content: bytes, tag: int) -> int:
    """Return the number that a content is."""
    if not 1 <= len(content) <= MOST_INTEGER:
        raise Malformed("a number that is none")
    return int.from_bytes(content, signed=tag == INTEGER)


@lru_cache(maxsize=20_000)
def oid(content: bytes) -> str:
    """Return an object identifier as it is written."""
    if not content or len(content) > MOST_OID or content[-1] & 0x80:
        raise Malformed("an object identifier that is none")
    parts: list[int] = []
    part = 0
    for byte in content:
        part = part << 7 | byte & 0x7F
        if part > 0xFFFFFFFF:
            raise Malformed("an object identifier that is too large")
        if not byte & 0x80:
            parts.append(part)
            part = 0
    first = min(parts[0] // 40, 2)
    return ".".join(map(str, (first, parts[0] - 40 * first, *parts[1:])))


def value(tag: int, content: bytes) -> Value:
    """Return the value that a content is.

    Raises:
        Malformed: it is none of SNMP's.
    """
    if tag in WHOLE:
        return whole(content, tag)
    if tag in (OCTETS, OPAQUE):
        return content
    if tag == OID:
        return oid(content)
    if tag == IP_ADDRESS:
        if len(content) != 4:
            raise Malformed("an address that is none")
        return ".".join(map(str, content))
    if content:
        raise Malformed(f"the tag {tag:#04x} with a content")
    if tag == NULL:
        return None
    if tag in MISSING:
        return MISSING[tag]
    raise Malformed(f"the tag {tag:#04x}")


# --- what is sent ---


def packed(tag: int, *contents: bytes) -> bytes:
    """Return an element."""
    content = b"".join(contents)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size) + content


def packed_integer(number: int) -> bytes:
    """Return a number as an element."""
    return packed(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, signed=True))


def packed_counter(number: int) -> bytes:
    """Return a counter as an element."""
    return packed(COUNTER, (number & 0xFFFFFFFF).to_bytes(5).lstrip(b"\0") or b"\0")


@lru_cache(maxsize=20_000)
def packed_oid(name: str) -> bytes:
    """Return an object identifier as an element.

    Raises:
        ValueError: it is none.
    """
    parts = [int(part) for part in name.split(".")]
    if len(parts) < 2 or parts[0] > 2 or min(parts) < 0:
        raise ValueError(f"{name!r} is no object identifier")
    return packed(OID, *map(_base128, (40 * parts[0] + parts[1], *parts[2:])))


def _base128(number: int) -> bytes:
    found = [number & 0x7F]
    while number := number >> 7:
        found.append(0x80 | number & 0x7F)
    return bytes(reversed(found))


def packed_bindings(names: Iterable[str]) -> bytes:
    """Return the list of the objects that are asked for."""
    return packed(SEQUENCE, *(packed(SEQUENCE, packed_oid(name), packed(NULL)) for name in names))
