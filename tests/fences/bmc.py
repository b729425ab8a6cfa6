"""The BMC of the demonstration, as the contract suite wants it."""

from doctor.cli.demo import bmc
from doctor.cli.demo.bmc import PASSWORD
from doctor.testing.fence import Mode
from tests.fences.rig import SimulatorRig


class Bmc(bmc.Bmc):
    """One that has bad days."""

    def behave(self, mode: Mode) -> None:
        """Behave like this from now on."""
        self.thaw()
        (self.folder / "mode").write_text(mode.name.lower())
        if mode is Mode.DEAF:
            self.freeze()
        elif mode is Mode.LOCKED:
            self.set_password("somebody-elses")
            self.restart()


class BmcRig(SimulatorRig):
    """What asks a BMC, in whatever way."""

    device: Bmc
    secret = PASSWORD
    harmless = frozenset({"power 0"})
