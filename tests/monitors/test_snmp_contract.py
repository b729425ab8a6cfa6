"""The SNMP monitor keeps the contract of monitors, with a real snmpd that is asked and sends traps."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from doctor.cli.demo.bmc import free_udp_port
from doctor.drivers.monitors.snmp import make
from doctor.model.resource import PhysicalResource
from doctor.ports.monitor import Monitor
from doctor.testing.contracts.monitor import AskedRig, AskingContract, FixedTargets
from tests.monitors.snmp_devices import USER, SnmpDevice, secrets
from tests.unit.monitors.snmp_traps import link

LEAF = "127.8.3.1"
UP, DOWN = 1, 2


class SwitchRig(AskedRig):
    """A switch whose ports the resource map knows."""

    patience = 20.0
    flood = 500

    def __init__(self, folder: Path, *, has_traps: bool) -> None:
        self._has_traps = has_traps
        self._wrong = 0
        self._is_away = False
        self.switch = SnmpDevice(folder, free_udp_port(), LEAF)
        self.switch.ports(*[UP] * self.flood)
        self.switch.start()
        port = free_udp_port()
        self._doctor = ("127.0.0.1", port)
        self.settings = {
            "listen": f"127.0.0.1:{port}",
            "communities": ["public"],
            "users": [{"name": USER, "auth": "sha", **secrets(folder)}],
            "poll": {"user": USER, "port": self.switch.port, "every": 0.5, "timeout": 0.3, "misses": 100},
        }
        ports = [
            PhysicalResource(id=f"card-{number}", type="nic", aliases=(f"leaf-1:Eth1/{number}",))
            for number in range(1, self.flood + 1)
        ]
        leaf = PhysicalResource(id="leaf-1", type="switch", address=(LEAF,))
        self.targets = FixedTargets([leaf, *ports])
        self.monitor = self.make(self.settings)

    def make(self, settings: Mapping[str, Any]) -> Monitor:
        return make(settings)

    def put_wrong(self, number: int) -> None:
        before, self._wrong = self._wrong, number
        self.switch.ports(*[DOWN] * number, *[UP] * (self.flood - number))
        if not self._has_traps or self._is_away:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((LEAF, 0))
            for one in range(min(before, number) + 1, max(before, number) + 1):
                sock.sendto(link(one, is_up=number < before), self._doctor)

    def vanish(self) -> None:
        self._is_away = True
        self.switch.stop()

    def appear(self) -> None:
        self._is_away = False
        self.switch.start()

    def close(self) -> None:
        self.switch.stop()


@pytest.mark.needs("snmpd")
@pytest.mark.shows("monitor snmp", "contract", "lost", "flood")
class TestSnmp(AskingContract):
    @pytest.fixture(params=[True, False], ids=["traps", "all-traps-lost"])
    def rig(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SwitchRig]:
        rig = SwitchRig(tmp_path, has_traps=request.param)
        yield rig
        rig.close()
