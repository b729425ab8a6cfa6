"""What can cut a host off: BMCs, power distribution units, switch ports, agents, a person."""

from typing import Protocol

from doctor.kit.deadline import Deadline
from doctor.model.fencing import Cut, Identity, Reading, SwitchOutcome, Vantage


class Fence(Protocol):
    """One device, for one host or for many.

    ``plug`` says which of the things behind the device is meant: an outlet, a port, a virtual machine; it is empty for
    a device of one host. What every device promises:

    - Failures are values, never exceptions. Nothing lasts longer than the deadline, whatever the other side does, and
      a call may be cancelled. Then the outcome is unknown: the command may have gone out. After that nothing more is begun.
    - `off` cuts hard and at once. It never shuts down softly, never cycles and never switches on; on what is off
      already it changes nothing. `on` is the opposite. Both may be repeated.
    - The answer to a command counts for nothing. After it the device is read until it reads as it should, or the
      deadline is there: `Switched` says what was read, `NotSwitched` that it still reads otherwise, `Unknown` that
      it cannot be read. A device that refuses a command and does it all the same has `Switched`.
    - `status` only reads. With ``fresh`` it does so in a session of its own, so that it cannot be an echo of what was
      said before. ``Supply.OFF`` is said only of what is wholly off: what is on its way, or pauses, is on. A device
      that does not answer is `Unknown` and never off.
    - `identify` says what the device calls the machine behind the plug, so that the wrong one is never cut off.
    - Calls for one device may come at the same time; the device is not harmed by it, and one that hangs holds up no
      other device. Secrets are neither logged, nor part of a detail, nor of the arguments of a process.

    A device says what it ``cuts`` and from which ``vantage`` it sees, and whether that is ``partial``: one of several
    that a host may have, as an outlet or a port. What follows from that is decided elsewhere.
    """

    kind: str
    cuts: Cut
    vantage: Vantage
    partial: bool

    def check(self, plug: str) -> str | None:
        """Say why there can be no such plug, or None. It asks nobody."""
        ...

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Ask which machine is behind the plug."""
        ...

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read whether the host has what the device can take from it."""
        ...

    async def off(self, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Cut the host off."""
        ...

    async def on(self, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Give the host back what was cut."""
        ...

    async def close(self) -> None:
        """End sessions. Calls that come later are `Unknown`; it may be called again."""
        ...
