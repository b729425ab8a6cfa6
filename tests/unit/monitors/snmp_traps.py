"""Traps as devices send them: those that net-snmp has sent, and those that a test makes up."""

from pathlib import Path

from doctor.drivers.monitors.snmp import ber, message
from doctor.drivers.monitors.snmp.message import (
    AUTHENTICATED,
    ENCRYPTED,
    TRAP_OID,
    UPTIME,
    V2C,
    Kind,
    Secured,
)
from doctor.drivers.monitors.snmp.understanding import Understanding
from doctor.drivers.monitors.snmp.usm import Security, User
from doctor.kit.secret import Secret

SAMPLES = Path(__file__).parents[2] / "samples" / "snmp"
ENGINE = bytes.fromhex("8000000001020304")  # of the sample of version 3
OWN_ENGINE = bytes.fromhex("8000000005646f63746f72")
LINK_DOWN, LINK_UP = "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.6.3.1.1.5.4"
IF_INDEX = "1.3.6.1.2.1.2.2.1.1"
BOOTS = 7

# to make one takes some milliseconds
DOCTOR = User("doctor", "sha", "authpass12", "aes", "privpass12")


def sample(name: str) -> bytes:
    """Return a datagram that net-snmp has sent."""
    return bytes.fromhex((SAMPLES / f"{name}.ber.hex").read_text())


def understanding() -> Understanding:
    """Return one that knows the community and the user of the samples."""
    return Understanding([Secret("public"), Secret("more")], {"doctor": DOCTOR}, OWN_ENGINE, BOOTS, 0.0)


def binding(name: str, value: int | str | bytes) -> bytes:
    """Return a binding; a text is an object identifier."""
    match value:
        case int():
            packed = ber.packed_integer(value)
        case str():
            packed = ber.packed_oid(value)
        case _:
            packed = ber.packed(ber.OCTETS, value)
    return ber.packed(ber.SEQUENCE, ber.packed_oid(name), packed)


def told(kind: Kind, trap: str, *bindings: bytes, request: int = 1) -> bytes:
    """Return what is told, without what is around it."""
    ticks = ber.packed(ber.SEQUENCE, ber.packed_oid(UPTIME), ber.packed(ber.TICKS, b"\x01"))
    bound = ber.packed(ber.SEQUENCE, ticks, binding(TRAP_OID, trap), *bindings)
    return message.packed_pdu(kind, request, bound)


def trap(oid: str, *bindings: bytes, kind: Kind = Kind.TRAP, community: bytes = b"public") -> bytes:
    """Return a trap of version 2c."""
    return message.packed_plain(V2C, community, told(kind, oid, *bindings))


def link(number: int, *, is_up: bool = False, kind: Kind = Kind.TRAP) -> bytes:
    """Return that a port is down, or up."""
    index = binding(f"{IF_INDEX}.{number}", number)
    return trap(LINK_UP if is_up else LINK_DOWN, index, kind=kind)


def signed(
    oid: str = LINK_DOWN,
    *bindings: bytes,
    boots: int = 3,
    time: int = 100,
    engine: bytes = ENGINE,
    user: User = DOCTOR,
    kind: Kind = Kind.TRAP,
    flags: int = AUTHENTICATED | ENCRYPTED,
    context: bytes = ENGINE,
) -> bytes:
    """Return a trap of version 3."""
    header = Secured(1, flags, engine, boots, time, user.name.encode(), 0, b"", b"", 0, 0)
    bindings = bindings or (binding(f"{IF_INDEX}.7", 7),)
    scoped = message.packed_scoped(context, told(kind, oid, *bindings))
    return Security({user.name: user}).close(header, scoped)
