"""Four hosts with what belongs to them, which episodes share one after the other: starting all of it takes its time.

Hosts are network namespaces with machines that write to a shared storage. Two BMCs are ipmi_sim, one is the emulator of
Redfish; which host each of them switches, an episode says.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from doctor.cli.demo.bmc import PASSWORD, USER
from doctor.cli.demo.netns import HostNamespace, Namespaces
from doctor.cli.demo.powered_host import PoweredHost
from doctor.cli.demo.storage import SharedStorage
from doctor.testing.fence import Mode
from tests.fences.bmc import Bmc
from tests.fences.redfish_emulator import UUID as REDFISH_UUID
from tests.fences.redfish_emulator import RedfishEmulator
from tests.fleet.plan import IPMI, REDFISH

HOSTS = ("compute-1", "compute-2", "compute-3", "compute-4")
VICTIM, NEIGHBOUR = HOSTS[:2]  # whom episodes strike, and who has a BMC and must never be struck
SPARE = "spare"  # the BMC of the neighbour
PORT = 4000
SOMEBODY_ELSE = UUID("00000000-89ab-cdef-a123-456789abcdef")
STANDS_STILL = 1.2  # seconds after which no slow device is still about to switch


class Rack:
    """The hosts and their BMCs."""

    def __init__(self, folder: Path, namespaces: Namespaces, number: int) -> None:
        self.folder = folder
        self.storage = SharedStorage(folder / "storage")
        self.links: dict[str, HostNamespace] = {}
        self.hosts: dict[str, PoweredHost] = {}
        for name in HOSTS:
            link = self.links[name] = namespaces.add(f"{number}-{name[-1]}")
            place = (link.addresses[0], PORT)
            self.hosts[name] = PoweredHost(folder / name, name, place, self.storage, link.command())
        self.bmcs: dict[str, Bmc | RedfishEmulator] = {
            IPMI: Bmc(folder / IPMI),
            SPARE: Bmc(folder / SPARE),
            REDFISH: RedfishEmulator(folder / REDFISH),
        }
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name, device in self.bmcs.items():
                host = self.hosts[NEIGHBOUR if name == SPARE else VICTIM]
                (device.folder / "switched").symlink_to(host.switch)
                (device.folder / "lied").symlink_to(host.wake)
                stack.enter_context(device)
            for host in self.hosts.values():
                stack.callback(host.put, on=False)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return the fence devices as they are when all is well."""
        secret = folder / "bmc.secret"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        common = {"user": USER, "password_file": str(secret)}
        devices: dict[str, Any] = {
            name: common
            | {"driver": "ipmi", "address": "127.0.0.1", "port": device.port, "identity": str(device.guid)}
            for name, device in self.bmcs.items()
            if isinstance(device, Bmc)
        }
        emulator = self.bmcs[REDFISH]
        assert isinstance(emulator, RedfishEmulator)
        devices[REDFISH] = common | {
            "driver": "redfish",
            "url": emulator.url,
            "ca_file": str(emulator.certificate),
            "identity": REDFISH_UUID,
        }
        return devices

    def make_well(self) -> None:
        """Have all as it was in the beginning, with no machine placed."""
        time.sleep(STANDS_STILL)
        for name, device in self.bmcs.items():
            self.mend(name)
            (device.folder / "commands").write_text("")
            device.put(on=True)
        self.storage.place({})
        for name, host in self.hosts.items():
            self.links[name].mend()
            host.thaw()
            if not host.has_power:
                host.put(on=True)
        end = time.monotonic() + 60
        while any(self.storage.silent_for(name) > 0.5 for name in HOSTS):
            if time.monotonic() > end:
                raise RuntimeError("the hosts do not come back")
            time.sleep(0.05)
        for disk in (self.storage.folder / "machines").iterdir():
            disk.unlink()

    def was_cut(self, device: str) -> bool:
        """Tell whether a BMC was ever told to cut the power since all was well."""
        return any(command in ("power 0", "ForceOff") for command in self.bmcs[device].commands)

    def lies(self, device: str) -> bool:
        """Tell whether a BMC reads other than it is."""
        return self._lie_of(device).exists()

    def mend(self, device: str) -> None:
        """Let a BMC be honest from now on."""
        self.bmcs[device].behave(Mode.HONEST)
        self._lie_of(device).unlink(missing_ok=True)

    def _lie_of(self, device: str) -> Path:
        return self.bmcs[device].folder / "lie"
