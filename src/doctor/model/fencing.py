"""The words of fencing: what a device said, what it means for the host behind it, and what nobody knows.

A command's answer is a claim and never counts. What counts is what is read back, and `Fenced` takes two readings of
independent sessions; even then it says only what the device sees, from its one vantage point. Whether the host is
isolated is decided from several of those.
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class Cut(StrEnum):
    """What a device takes from a host."""

    POWER = "power"
    NETWORK = "network"
    STORAGE = "storage"


class Vantage(StrEnum):
    """From where something is seen. Two readings of one class are one opinion."""

    IN_BAND = "in_band"  # an agent or heartbeat of the host itself
    PEER = "peer"  # other hosts
    OUT_OF_BAND = "out_of_band"  # BMC, PDU, the hypervisor under a virtual host
    STORAGE = "storage"
    SWITCH_PORT = "switch_port"
    HUMAN = "human"


class Supply(StrEnum):
    """Whether the host has what the device can take from it: power, its ports, its storage."""

    ON = "on"
    OFF = "off"


class Doubt(StrEnum):
    """Why something is not known or was not done."""

    UNREACHABLE = "unreachable"
    LATE = "late"  # no answer, or no end, before the deadline
    LOGIN = "login refused"
    REFUSED = "refused"  # it answers, and does not do it
    UNINTELLIGIBLE = "unintelligible"  # it answers what nobody can make sense of
    WRONG_MACHINE = "wrong machine"
    NOT_OFFERED = "not offered"  # such a device cannot tell
    NOT_INSTALLED = "not installed"  # a library or program is missing where Doctor runs
    UNCONFIRMED = "unconfirmed"  # nobody has said so yet
    CLOSED = "closed"  # Doctor is ending


class Unknown(msgspec.Struct, frozen=True):
    """Nobody can say. The reason is for people; it holds no secret."""

    doubt: Doubt
    detail: str


class Seen(msgspec.Struct, frozen=True):
    """What a device read. ``fresh``: in a session that was opened for it; ``by``: the person who said so."""

    supply: Supply
    time: datetime
    fresh: bool = True
    by: str = ""


class Identified(msgspec.Struct, frozen=True):
    """What a device calls the machine behind it: every name it has for it (GUID, serial number, label of the outlet)."""

    names: tuple[str, ...]

    def is_machine(self, name: str) -> bool:
        """Tell whether that is the machine of this name. Case, dashes and colons do not count."""
        return _bare(name) in {_bare(one) for one in self.names}


class Switched(msgspec.Struct, frozen=True):
    """After the command the device reads as it should. That is one reading, and no proof yet."""

    reading: Seen


class NotSwitched(msgspec.Struct, frozen=True):
    """The device reads as before although it was told, or did not take the command."""

    doubt: Doubt
    detail: str


class Fenced(msgspec.Struct, frozen=True):
    """What the devices cut is off, read twice, each time anew. ``vantages`` are the classes that saw it."""

    readings: tuple[Seen, ...]
    vantages: frozenset[Vantage]


class NotFenced(msgspec.Struct, frozen=True):
    """The host has what should have been cut, or it is not known to be the right host."""

    doubt: Doubt
    detail: str


Reading = Seen | Unknown
Identity = Identified | Unknown
SwitchOutcome = Switched | NotSwitched | Unknown
FenceOutcome = Fenced | NotFenced | Unknown


def _bare(name: str) -> str:
    return name.replace("-", "").replace(":", "").strip().casefold()
