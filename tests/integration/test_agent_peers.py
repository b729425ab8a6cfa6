"""Agents that vouch for each other on real wires: where they reach each other, and where they do not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_site import Site, site
from tests.integration.test_agent import be_quiet, sees
from tests.waiting import until

pytestmark = [pytest.mark.needs("root", "netns", "raw_icmp")]

OF_PEERS = "heartbeat.peers"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three hosts that reach Doctor's machine; each other they reach while that forwards."""
    with site(tmp_path_factory.mktemp("peers"), hosts=3, prefix="p", agent_grace=1) as made:
        for host in made.hosts:
            made.start(host)
        until(lambda: sees(made) == 3, 20)
        yield made


def connect(running: Site, *, is_open: bool) -> None:
    """Let the hosts reach each other, or not."""
    for host in running.hosts.values():
        for wire in host.wires:
            Path(f"/proc/sys/net/ipv4/conf/{wire.interface}/forwarding").write_text(str(int(is_open)))


def said(running: Site) -> int:
    """Return how much was said by peers."""
    sources = running.doctor.ask("GET", "/v1/monitors")["items"]
    return sum(one["events"] for one in sources if one["name"] == OF_PEERS)


def cut_off(running: Site, name: str) -> None:
    """Cut a host off, and connect it again when that was seen."""
    host = running.hosts[name]
    host.cut()
    until(lambda: ("host down", name) in running.doctor.alarms(), 5)
    time.sleep(0.5)
    host.mend()
    host.run("ip", "route", "replace", "default", "via", host.wires[0].local)
    be_quiet(running)


@pytest.mark.requirement("E30")
def test_peers_say_that_a_host_is_dead_if_they_could_hear_it(running: Site) -> None:
    connect(running, is_open=True)
    end = time.monotonic() + 60
    while not said(running):  # it takes seconds until it is known who can hear whom
        assert time.monotonic() < end, "its peers never said anything"
        cut_off(running, "compute-1")
    assert said(running) == 2, "that it is dead, and that it is heard"


@pytest.mark.requirement("E30")
def test_an_agent_that_dies_is_no_dead_host_where_peers_cannot_reach_it(running: Site) -> None:
    """By nobody: not if they never could reach it, and not if the way was lost a moment ago."""
    owner, before = len(running.owner.told), said(running)
    for was_open in (True, False):
        connect(running, is_open=was_open)
        time.sleep(3)
        connect(running, is_open=False)
        running.kill("compute-2")
        until(lambda: running.doctor.alarms(), 10)
        time.sleep(6)  # they are asked anew meanwhile
        assert running.doctor.alarms() == [("monitor silent", "agent@compute-2")]
        running.start("compute-2")
        be_quiet(running)
    assert (len(running.owner.told), said(running)) == (owner, before)
