"""A fence before a simulator, as the contract suite wants it."""

from doctor.testing.contracts.fence import FenceRig
from doctor.testing.fence import Mode
from tests.fences.simulator import Simulator


class SimulatorRig(FenceRig):
    """``harmless`` are the commands that switch nothing on."""

    harmless: frozenset[str]

    def __init__(self, device: Simulator) -> None:
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
