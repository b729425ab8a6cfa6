"""The monitors that ship keep their contract, and what is special about those that ask."""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from doctor.drivers.monitors.ping import make as make_ping
from doctor.model.errors import PermanentError
from doctor.model.resource import PhysicalResource
from doctor.ports.monitor import Counts, Monitor, Speaks
from doctor.ports.payload import Listing, Stated
from doctor.testing.contracts.monitor import AskingContract, FixedTargets, MonitorContract, MonitorRig
from tests.unit.monitors.sources import AlertmanagerRig, ZabbixRig, closing


class PingRig(MonitorRig):
    """Hosts on loopback that are asked by TCP."""

    patience = 20.0
    flood = 20

    def __init__(self) -> None:
        self._addresses = [f"127.7.9.{number}" for number in range(1, self.flood + 1)]
        first = socket.create_server((self._addresses[0], 0))
        self._port = first.getsockname()[1]
        self._hosts = {self._addresses[0]: first}
        self.put_wrong(0)
        self.settings = {
            "method": "tcp",
            "tcp_port": self._port,
            "tcp_refused": "down",
            "interval": 0.1,
            "misses": 3,
            "start_grace": 0.5,
        }
        self.targets = FixedTargets(
            [PhysicalResource(id=f"host-{one}", address=(one,)) for one in self._addresses]
        )
        self.monitor = self.make(self.settings)

    def make(self, settings: Mapping[str, Any]) -> Monitor:
        return make_ping(settings)

    def put_wrong(self, number: int) -> None:
        for index, address in enumerate(self._addresses):
            if index < number:
                host = self._hosts.pop(address, None)
                if host is not None:
                    host.close()
            elif address not in self._hosts:
                self._hosts[address] = socket.create_server((address, self._port))

    def close(self) -> None:
        self.put_wrong(self.flood)


@pytest.mark.shows("monitor ping", "contract", "lost", "flood")
class TestPing(MonitorContract):
    @pytest.fixture
    def rig(self) -> Iterator[PingRig]:
        rig = PingRig()
        yield rig
        rig.close()


@pytest.mark.shows("monitor alertmanager", "contract", "lost", "flood")
class TestAlertmanager(AskingContract):
    @pytest.fixture
    def rig(self) -> Iterator[AlertmanagerRig]:
        with closing(AlertmanagerRig()) as rig:
            yield rig


@pytest.mark.shows("monitor zabbix", "contract", "lost", "flood")
class TestZabbix(AskingContract):
    @pytest.fixture(params=["6.0.14", "7.0.3"])
    def rig(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ZabbixRig]:
        with closing(ZabbixRig(tmp_path, request.param)) as rig:
            yield rig


async def first(monitor: Monitor, seconds: float = 5) -> Listing:
    """Return the first list."""
    async with asyncio.timeout(seconds), aclosing(monitor.watch(FixedTargets())) as says:
        said = await anext(says)
    assert isinstance(said, Listing)
    return said


async def test_what_alertmanager_keeps_to_itself_is_no_news_and_not_over() -> None:
    with closing(AlertmanagerRig()) as rig:
        rig.more = [
            {"labels": {"alertname": "Quiet", "host": "h"}, "status": {"state": "suppressed"}},
            {"labels": {"host": "nameless"}, "status": {"state": "active"}},
        ]
        rig.put_wrong(1)
        listing = await first(rig.monitor)
        assert [len(listing.readings), len(listing.kept)] == [1, 1]
        assert isinstance(rig.monitor, Counts)
        assert rig.monitor.counts() == {"rejected": 1}
        (stated,) = listing.readings
        assert isinstance(stated, Stated)
        assert (stated.until, stated.event.status, stated.event.source) == (None, "down", "am")
        assert (listing.kind, listing.told.source) == ("alertmanager", "am")


async def test_alertmanager_is_asked_as_the_settings_say(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    with closing(AlertmanagerRig()) as rig:
        said = {"receiver": "doctor all", "token_file": str(tmp_path / "token"), "name": "am-a"}
        monitor = rig.make({**rig.settings, **said})
        await first(monitor)
        assert monitor.name == "am-a"
        assert rig.asked[0] == ("/api/v2/alerts?receiver=doctor+all", "Bearer abc")


def test_who_asks_is_missed_when_there_is_no_answer() -> None:
    with closing(AlertmanagerRig()) as rig:
        assert isinstance(rig.monitor, Speaks)
        assert rig.monitor.silent_after.total_seconds() == pytest.approx(3 * 0.1 + 1)


@pytest.mark.shows("monitor alertmanager", "bad input")
@pytest.mark.parametrize(
    ("status", "raw"),
    [
        pytest.param(500, b"[]", id="error"),
        pytest.param(302, b"[]", id="redirect"),
        pytest.param(200, b"<html>", id="no-json"),
        pytest.param(200, b"[" * 100_000, id="deep"),
        pytest.param(200, b"{}", id="no-list"),
        pytest.param(200, b'[{"labels": []}]', id="no-alerts"),
    ],
)
async def test_what_is_no_answer_is_the_end_of_nothing(status: int, raw: bytes) -> None:
    with closing(AlertmanagerRig()) as rig:
        rig.source.status, rig.source.raw = status, raw
        with pytest.raises(TimeoutError):
            await first(rig.monitor, 0.5)


@pytest.mark.shows("monitor zabbix", "bad input")
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"error": {"data": "no"}}', id="error"),
        pytest.param(b'{"error": 7}', id="odd-error"),
        pytest.param(b"[]", id="no-object"),
        pytest.param(b'{"result": {"a": 1}}', id="no-problems"),
        pytest.param(b'{"result": [{"eventid": "1"}]}', id="half-a-problem"),
    ],
)
async def test_what_zabbix_cannot_mean_is_no_answer(raw: bytes, tmp_path: Path) -> None:
    with closing(ZabbixRig(tmp_path)) as rig:
        rig.source.raw = raw
        with pytest.raises(TimeoutError):
            await first(rig.monitor, 0.5)


async def test_a_list_of_zabbix_that_may_not_be_whole_is_no_answer(tmp_path: Path) -> None:
    with closing(ZabbixRig(tmp_path)) as rig:
        rig.put_wrong(5000)
        with pytest.raises(TimeoutError):
            await first(rig.monitor, 3)


async def test_a_token_that_is_not_there_is_told_when_it_begins(tmp_path: Path) -> None:
    with closing(ZabbixRig(tmp_path)) as rig:
        monitor = rig.make({**rig.settings, "token_file": str(tmp_path / "none")})
        with pytest.raises(PermanentError, match="token_file"):
            await first(monitor)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        pytest.param({"url": "ftp://x"}, "url", id="url"),
        pytest.param({"every": 0}, "every", id="every"),
        pytest.param({"source": ""}, "source", id="source"),
        pytest.param({"token_file": None}, "token_file", id="token"),
    ],
)
def test_settings_that_cannot_be_are_told(said: dict[str, Any], place: str, tmp_path: Path) -> None:
    with closing(ZabbixRig(tmp_path)) as rig, pytest.raises(ValueError, match=f"^{place}: "):
        rig.make({**rig.settings, **said})
