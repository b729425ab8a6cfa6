"""The messages of SNMP: how they are read, and how what we send is written. What is encrypted stays so here (`usm`)."""

from enum import IntEnum
from typing import NamedTuple

from doctor.drivers.monitors.snmp import ber
from doctor.drivers.monitors.snmp.ber import Malformed, Value

V1, V2C, V3 = 0, 1, 3  # as messages say it
USM = 3
AUTHENTICATED, ENCRYPTED, REPORTABLE = 1, 2, 4
MOST_BINDINGS = 512
MOST_SIZE = 65_507

UPTIME, TRAP_OID = "1.3.6.1.2.1.1.3.0", "1.3.6.1.6.3.1.1.4.1.0"
TRAP_ADDRESS = "1.3.6.1.6.3.18.1.3.0"
STANDARD_TRAPS = "1.3.6.1.6.3.1.1.5"
ENTERPRISE_SPECIFIC = 6


class Kind(IntEnum):
    """What a message is for."""

    GET = 0xA0
    RESPONSE = 0xA2
    TRAP_V1 = 0xA4
    GET_BULK = 0xA5
    INFORM = 0xA6
    TRAP = 0xA7
    REPORT = 0xA8


Binding = tuple[str, Value]
KINDS = {one.value: one for one in Kind}


class Pdu(NamedTuple):
    """What is asked, answered or told. ``bound`` are the bindings as they came, for who has to send them back."""

    kind: Kind
    request_id: int
    status: int
    bindings: tuple[Binding, ...]
    bound: bytes


class Plain(NamedTuple):
    """A message of version 1 or 2c: a community, and where the rest is."""

    version: int
    community: bytes
    at: int
    end: int


class Secured(NamedTuple):
    """A message of version 3. ``auth_at`` is where the signature stands in the datagram."""

    message_id: int
    flags: int
    engine: bytes
    boots: int
    time: int
    user: bytes
    auth_at: int
    auth: bytes
    salt: bytes
    at: int
    end: int


class Notice(NamedTuple):
    """What a trap or inform says, whatever its version. ``agent`` is whom it is from if it was passed on by another."""

    version: int
    trap: str
    uptime: int
    bindings: tuple[Binding, ...]
    agent: str | None


def read(data: bytes) -> Plain | Secured:
    """Read the outside of a message.

    Raises:
        Malformed: it is none.
    """
    start, end = ber.expect(data, 0, len(data), ber.SEQUENCE)
    version, at = ber.integer(data, start, end)
    if version in (V1, V2C):
        community, at = ber.octets(data, at, end)
        return Plain(version, community, at, end)
    if version == V3:
        return _secured(data, at, end)
    raise Malformed(f"version {version}")


def _secured(data: bytes, at: int, end: int) -> Secured:
    header, stop = ber.expect(data, at, end, ber.SEQUENCE)
    message_id, header = ber.integer(data, header, stop)
    _, header = ber.integer(data, header, stop)
    flags, header = ber.octets(data, header, stop)
    model, header = ber.integer(data, header, stop)
    if len(flags) != 1 or model != USM:
        raise Malformed("another security than USM")
    outside, at = ber.expect(data, stop, end, ber.OCTETS)
    inside, stop = ber.expect(data, outside, at, ber.SEQUENCE)
    engine, inside = ber.octets(data, inside, stop)
    boots, inside = ber.integer(data, inside, stop)
    time, inside = ber.integer(data, inside, stop)
    user, inside = ber.octets(data, inside, stop)
    auth, inside = ber.octets(data, inside, stop)
    auth_at = inside - len(auth)
    salt, inside = ber.octets(data, inside, stop)
    if len(engine) > 32 or len(user) > 32 or boots < 0 or time < 0:
        raise Malformed("what cannot be said of an engine")
    return Secured(message_id, flags[0], engine, boots, time, user, auth_at, auth, salt, at, end)


def scoped(data: bytes, at: int, end: int) -> tuple[bytes, Pdu]:
    """Read the inside of a message of version 3: the engine that it is about, and what it says.

    Raises:
        Malformed: it is none.
    """
    start, stop = ber.expect(data, at, end, ber.SEQUENCE)
    engine, start = ber.octets(data, start, stop)
    _, start = ber.octets(data, start, stop)
    return engine, pdu(data, start, stop)


def pdu(data: bytes, at: int, end: int) -> Pdu:
    """Read what is asked, answered or told; not a trap of version 1.

    Raises:
        Malformed: it is none.
    """
    tag, start, stop = ber.element(data, at, end)
    if tag not in KINDS or tag == Kind.TRAP_V1:
        raise Malformed(f"the tag {tag:#04x} where a PDU should be")
    request_id, start = ber.integer(data, start, stop)
    status, start = ber.integer(data, start, stop)
    _, start = ber.integer(data, start, stop)
    bindings, bound = _bindings(data, start, stop)
    return Pdu(KINDS[tag], request_id, status, bindings, bound)


def _bindings(data: bytes, at: int, end: int) -> tuple[tuple[Binding, ...], bytes]:
    place, stop = ber.expect(data, at, end, ber.SEQUENCE)
    found: list[Binding] = []
    while place < stop:
        if len(found) == MOST_BINDINGS:
            raise Malformed("too many bindings")
        start, place = ber.expect(data, place, stop, ber.SEQUENCE)
        name, name_end = ber.expect(data, start, place, ber.OID)
        tag, content, content_end = ber.element(data, name_end, place)
        found.append((ber.oid(data[name:name_end]), ber.value(tag, data[content:content_end])))
    return tuple(found), data[at:stop]


def notice_of(said: Pdu, version: int) -> Notice:
    """Return what a trap or inform of version 2c or 3 says.

    Raises:
        Malformed: it does not say which trap it is.
    """
    trap, uptime, agent, rest = None, 0, None, list[Binding]()
    for name, value in said.bindings:
        if name == TRAP_OID and isinstance(value, str):
            trap = value
        elif name == UPTIME and isinstance(value, int):
            uptime = value
        elif name == TRAP_ADDRESS and isinstance(value, str):
            agent = value
        else:
            rest.append((name, value))
    if trap is None:
        raise Malformed("a trap without snmpTrapOID")
    return Notice(version, trap, uptime, tuple(rest), agent)


def notice_v1(data: bytes, at: int, end: int) -> Notice:
    """Read a trap of version 1, which is named as later versions would (RFC 3584).

    Raises:
        Malformed: it is none.
    """
    start, stop = ber.expect(data, at, end, Kind.TRAP_V1)
    name, start_of_rest = ber.expect(data, start, stop, ber.OID)
    enterprise = ber.oid(data[name:start_of_rest])
    address, at = ber.expect(data, start_of_rest, stop, ber.IP_ADDRESS)
    agent = ber.value(ber.IP_ADDRESS, data[address:at])
    generic, at = ber.integer(data, at, stop)
    specific, at = ber.integer(data, at, stop)
    ticks, after = ber.expect(data, at, stop, ber.TICKS)
    bindings, _ = _bindings(data, after, stop)
    if not 0 <= generic <= ENTERPRISE_SPECIFIC or specific < 0:
        raise Malformed("a trap of no kind")
    is_standard = generic < ENTERPRISE_SPECIFIC
    trap = f"{STANDARD_TRAPS}.{generic + 1}" if is_standard else f"{enterprise}.0.{specific}"
    uptime = ber.whole(data[ticks:after], ber.TICKS)
    return Notice(V1, trap, uptime, bindings, agent if isinstance(agent, str) else None)


# --- what is sent ---


def packed_pdu(kind: Kind, request_id: int, bound: bytes, first: int = 0, second: int = 0) -> bytes:
    """Return a PDU; ``first`` and ``second`` are status and index, or what is repeated and how often."""
    numbers = map(ber.packed_integer, (request_id, first, second))
    return ber.packed(kind, *numbers, bound)


def packed_plain(version: int, community: bytes, said: bytes) -> bytes:
    """Return a message of version 1 or 2c."""
    return ber.packed(ber.SEQUENCE, ber.packed_integer(version), ber.packed(ber.OCTETS, community), said)


def packed_scoped(engine: bytes, said: bytes) -> bytes:
    """Return the inside of a message of version 3."""
    return ber.packed(ber.SEQUENCE, ber.packed(ber.OCTETS, engine), ber.packed(ber.OCTETS), said)


def packed_secured(header: Secured, data: bytes) -> bytes:
    """Return a message of version 3; ``data`` is its inside, as an element."""
    security = ber.packed(
        ber.SEQUENCE,
        ber.packed(ber.OCTETS, header.engine),
        ber.packed_integer(header.boots),
        ber.packed_integer(header.time),
        ber.packed(ber.OCTETS, header.user),
        ber.packed(ber.OCTETS, header.auth),
        ber.packed(ber.OCTETS, header.salt),
    )
    return ber.packed(
        ber.SEQUENCE,
        ber.packed_integer(V3),
        ber.packed(
            ber.SEQUENCE,
            ber.packed_integer(header.message_id),
            ber.packed_integer(MOST_SIZE),
            ber.packed(ber.OCTETS, bytes((header.flags,))),
            ber.packed_integer(USM),
        ),
        ber.packed(ber.OCTETS, security),
        data,
    )
