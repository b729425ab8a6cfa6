"""What was done to hosts and machines, and what was kept and said of them, in order: for the judges."""

from dataclasses import dataclass, field
from typing import NamedTuple

from doctor.model.instruction import Command
from doctor.ports.store import Change


class Kept(NamedTuple):
    """A change is on the disk."""

    tick: int
    second: float
    change: Change


class Sent(NamedTuple):
    """A command is on its way to a device. ``victim`` is the host that is behind the plug in truth."""

    tick: int
    second: float
    process: str
    device: str
    plug: str
    victim: str
    is_on: bool


class Read(NamedTuple):
    """A device was read. ``is_true`` tells whether what it said of the host that it is for was so."""

    tick: int
    second: float
    device: str
    plug: str
    fresh: bool
    says_off: bool
    is_true: bool


class Taken(NamedTuple):
    """The cloud has taken a command, of which Doctor told it at ``told``; ``source`` is where the machine was in truth."""

    tick: int
    second: float
    told: "Moment"
    command: Command
    source: str | None


class Ended(NamedTuple):
    """A command that the cloud has taken is over."""

    tick: int
    second: float
    command: Command
    source: str | None
    is_done: bool


class Forced(NamedTuple):
    """The cloud was told at ``told`` to take a host for down, or for up again, and does."""

    tick: int
    second: float
    told: "Moment"
    host: str
    is_down: bool


class Truth(NamedTuple):
    """How a host is from now on."""

    tick: int
    second: float
    host: str
    is_off: bool
    is_well: bool
    was_unwell: bool


class Moment(NamedTuple):
    """A place in the trace."""

    tick: int
    second: float


Deed = Kept | Sent | Read | Taken | Ended | Forced | Truth


@dataclass
class Deeds:
    """All of it, in order."""

    rows: list[Deed] = field(default_factory=list)

    def note(self, deed: Deed) -> None:
        """Write it down."""
        self.rows.append(deed)
