"""How a host is cut off: which devices, in which order, and how many of them it takes."""

from enum import StrEnum

import msgspec

from doctor.model.fencing import Cut, Vantage

MANUAL = "manual"  # the kind of device that is a person


class Rule(StrEnum):
    """How many steps of a level it takes."""

    ALL_OF = "all_of"
    ANY_OF = "any_of"


class Step(msgspec.Struct, frozen=True):
    """One device and, where it has several, one of its plugs. ``identity`` is what it must call the host."""

    device: str
    plug: str = ""
    identity: str | None = None


class Level(msgspec.Struct, frozen=True):
    """Steps that are taken side by side."""

    rule: Rule
    steps: tuple[Step, ...]


class FencePlan(msgspec.Struct, frozen=True):
    """The levels of one host, the first to be tried first."""

    host: str
    levels: tuple[Level, ...]


class DeviceFacts(msgspec.Struct, frozen=True):
    """What is known of a device without asking it: see the port `Fence`."""

    kind: str
    cuts: Cut
    vantage: Vantage
    partial: bool
