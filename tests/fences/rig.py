"""A fence before a simulator, as the contract suite wants it."""

from typing import Protocol

from doctor.testing.contracts.fence import FenceRig
from doctor.testing.fence import Mode


class Device(Protocol):
    """A simulator that has bad days."""

    def behave(self, mode: Mode) -> None: ...

    @property
    def is_on(self) -> bool: ...

    def put(self, *, on: bool) -> None: ...

    @property
    def commands(self) -> list[str]: ...

    def restart(self) -> None: ...


class SimulatorRig(FenceRig):
    """``harmless`` are the commands that switch nothing on."""

    device: Device
    harmless: frozenset[str]

    def __init__(self, device: Device) -> None:
        self.device = device

    def is_on(self) -> bool:
        return self.device.is_on

    def put(self, *, on: bool) -> None:
        self.device.put(on=on)

    def behave(self, mode: Mode) -> None:
        self.device.behave(mode)

    def was_switched_on(self) -> bool:
        return not self.harmless.issuperset(self.device.commands)

    def restart(self) -> None:
        self.device.restart()
