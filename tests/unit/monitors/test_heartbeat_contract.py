"""The heartbeat monitor keeps the contract of monitors, with agents that send real datagrams."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from doctor.agent.beating import Beating
from doctor.agent.identity import Identity
from doctor.agent.pace import Pace
from doctor.agent.settings import NetworkSettings
from doctor.drivers.monitors.heartbeat import make as make_heartbeat
from doctor.kit.beat import Key, derived
from doctor.kit.key_file import new_key, write_key
from doctor.model.resource import PhysicalResource
from doctor.ports.monitor import Counts, Monitor
from doctor.testing.contracts.monitor import FixedTargets, MonitorContract, MonitorRig
from doctor.testing.running import free_port

INTERVAL = 0.1


class HeartbeatRig(MonitorRig):
    """Hosts whose agents run in a thread of this process; those that are wrong fall silent without a word."""

    patience = 20.0
    flood = 20

    def __init__(self, folder: Path) -> None:
        self._master = new_key()
        file = folder / "m.key"
        write_key(file, self._master)
        self._address = f"127.0.0.1:{free_port()}"
        self._agents: dict[str, Beating] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.settings = {
            "listen": self._address,
            "master_key_file": str(file),
            "confirm": False,
            "peers": 0,
            "slowest": INTERVAL,
            "expect": ["host-*"],
            "start_grace": 1,
        }
        self._hosts = [f"host-{number}" for number in range(1, self.flood + 1)]
        self.targets = FixedTargets([PhysicalResource(id=host) for host in self._hosts])
        self.monitor = self.make(self.settings)
        self.put_wrong(0)

    def make(self, settings: Mapping[str, Any]) -> Monitor:
        return make_heartbeat(settings)

    def put_wrong(self, number: int) -> None:
        done = threading.Event()

        def change() -> None:
            for index, host in enumerate(self._hosts):
                agent = self._agents.pop(host, None) if index < number else None
                if agent is not None:
                    agent.end()
                elif index >= number and host not in self._agents:
                    self._agents[host] = self._begin(host)
            done.set()

        self._loop.call_soon_threadsafe(change)
        assert done.wait(10)

    def _begin(self, host: str) -> Beating:
        network = NetworkSettings(name="mgmt", to=(self._address,))
        agent = Beating(
            Identity.of(host), Key(derived(self._master, host)), [network], Pace(INTERVAL, INTERVAL)
        )
        agent.start()
        return agent

    def close(self) -> None:
        self.put_wrong(self.flood)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.mark.shows("monitor heartbeat", "contract", "lost", "flood")
class TestHeartbeat(MonitorContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[HeartbeatRig]:
        rig = HeartbeatRig(tmp_path)
        yield rig
        rig.close()

    def test_what_it_refuses_is_counted(self, rig: HeartbeatRig) -> None:
        assert isinstance(rig.monitor, Counts)
        assert rig.monitor.counts() == {"rejected": 0, "lost": 0}
