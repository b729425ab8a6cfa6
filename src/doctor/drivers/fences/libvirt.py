"""Hosts that are virtual machines themselves: a laboratory, or a cloud in a cloud. Asked with libvirt's `virsh`.

A program rather than the library, for a call to a dead libvirtd can hang, and a program can be killed. The way to the
hypervisor is in the URI (`qemu+tls://`, `qemu+ssh://` with a key), so there is no password.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from doctor.drivers.fences.switching import SwitchingFence
from doctor.kit import program
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.kit.options import convert
from doctor.model.fencing import Cut, Doubt, Identified, Identity, Reading, Seen, Supply, Unknown, Vantage

VIRSH = "virsh"
DOMAIN = re.compile(r"[A-Za-z0-9_.+:@][A-Za-z0-9_.+:@-]{0,254}")
URI = re.compile(r"[a-z]+(\+[a-z]+)?://[!-~]*")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OFF = "shut off"
STATES = {"running", "idle", "blocked", "paused", "in shutdown", "crashed", "pmsuspended", "dying", OFF}
ACTIONS = {Supply.OFF: "destroy", Supply.ON: "start"}


class LibvirtSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``uri`` is that of the hypervisor, as for `virsh --connect`."""

    uri: str


class LibvirtFence(SwitchingFence):
    """The machines of one hypervisor. A plug is the name or UUID of a machine, by default that of the host.

    They should be persistent: one that vanishes when it is destroyed cannot be read as off afterwards.
    """

    kind = "libvirt"
    cuts = Cut.POWER
    vantage = Vantage.OUT_OF_BAND
    partial = False
    poll_every = 0.05
    least = program.LEAST

    def __init__(self, settings: LibvirtSettings, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._uri = settings.uri
        self._closed = False

    def check(self, plug: str) -> str | None:
        """Say what is wrong with the name of a machine."""
        return None if DOMAIN.fullmatch(plug) else "which machine of the hypervisor? write its name or UUID"

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Ask for the UUID, which is also that of the machine's firmware."""
        said = await self._ask("domuuid", plug, deadline)
        if isinstance(said, Unknown):
            return said
        if not UUID.fullmatch(said):
            return Unknown(Doubt.UNINTELLIGIBLE, f"{said[:50]!r} is no UUID")
        return Identified((said,))

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read the state; each call is a session of its own. Only "shut off" is off: a crashed machine still is one."""
        said = await self._ask("domstate", plug, deadline)
        if isinstance(said, Unknown):
            return said
        if said not in STATES:
            return Unknown(Doubt.UNINTELLIGIBLE, f"{said[:50]!r} is no state of a machine")
        return Seen(Supply.OFF if said == OFF else Supply.ON, self._clock.now())

    async def close(self) -> None:
        """Ask nothing more."""
        self._closed = True

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        said = await self._ask(ACTIONS[wanted], plug, deadline)
        return said if isinstance(said, Unknown) else None

    async def _ask(self, command: str, plug: str, deadline: Deadline) -> str | Unknown:
        """Return what virsh says, or why it says nothing."""
        if self._closed:
            return Unknown(Doubt.CLOSED, "the device is closed")
        if complaint := self.check(plug):
            return Unknown(Doubt.REFUSED, complaint)
        virsh = program.find(VIRSH)
        if virsh is None:
            return Unknown(Doubt.NOT_INSTALLED, "virsh is missing: install libvirt-clients")
        try:
            finished = await program.run(
                [virsh, "--quiet", "--connect", self._uri, command, "--domain", plug], deadline
            )
        except TimeoutError:
            return Unknown(Doubt.LATE, f"virsh had not ended its {command} in time")
        except OSError as error:
            return Unknown(Doubt.NOT_INSTALLED, f"virsh cannot be started: {error.strerror or error}")
        if finished.code:
            return _complaint(finished.errors)
        return finished.output.strip()


def _complaint(errors: str) -> Unknown:
    lines = errors.strip().splitlines() or ["virsh failed and said nothing"]
    said = lines[-1].removeprefix("error: ")[:200]
    if "failed to connect" in errors or "Cannot recv data" in errors:
        return Unknown(Doubt.LOGIN if "uthentication" in errors else Doubt.UNREACHABLE, said)
    return Unknown(Doubt.REFUSED, said)


def make(settings: Mapping[str, Any]) -> LibvirtFence:
    """Make the device from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = convert(settings, LibvirtSettings)
    if not URI.fullmatch(read.uri):
        raise ValueError("uri: is no URI of a hypervisor: write qemu+tls://kvm-1.example/system")
    if re.search(r"//[^/@]*:[^/@]*@", read.uri):
        raise ValueError("uri: has a password in it, which anybody can read: use a key or a certificate")
    return LibvirtFence(read)
