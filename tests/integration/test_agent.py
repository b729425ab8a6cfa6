"""The agent on real hosts: heartbeats over real wires, links that are cut, a Doctor that goes away and comes back."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from doctor.agent.links import LinkBook, Links, is_hardware
from doctor.agent.report import Report, Reporter
from doctor.agent.settings import LinkSettings
from doctor.cli.demo.netns import Namespaces
from tests.figures import Figures
from tests.integration.agent_site import Site, cut, mend, site
from tests.integration.test_ping import busy_cores, run_in
from tests.waiting import until

pytestmark = [pytest.mark.needs("root", "netns", "raw_icmp")]

TIMES = 20 if os.environ.get("DOCTOR_SOAK") else 5
BUSY_SECONDS = 600 if os.environ.get("DOCTOR_SOAK") else 15
FAST = {"interval": 0.02}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), agent_grace=1) as made:
        for host in made.hosts:
            made.start(host)
        until(lambda: sees(made) == 2, 20)
        yield made


def sees(running: Site) -> int:
    (vantage,) = running.doctor.ask("GET", "/v1/vantages")["items"] or [{"seen_hosts": 0}]
    found: int = vantage["seen_hosts"]
    return found


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Begin when nothing is wrong, and nothing more is said of what was."""
    if "running" in request.fixturenames:
        be_quiet(request.getfixturevalue("running"))
    yield


def be_quiet(running: Site) -> None:
    told = -1
    while running.doctor.alarms() or sees(running) != len(running.hosts) or told != len(running.owner.told):
        told = len(running.owner.told)
        time.sleep(1.2)


@pytest.mark.requirement("A2", "B5", "G3")
def test_a_host_that_is_cut_off_is_dead_and_comes_back(running: Site) -> None:
    host = running.hosts["compute-1"]
    before = len(running.owner.told)
    begin = time.monotonic()
    host.cut()
    until(lambda: ("host down", "compute-1") in running.doctor.alarms(), 5)
    until(lambda: len(running.owner.told) > before, 5)
    assert running.owner.told[before][0] - begin < 1.0
    host.mend()
    until(lambda: running.doctor.alarms() == [], 10)


def test_an_agent_that_is_killed_is_no_dead_host(running: Site) -> None:
    before = len(running.owner.told)
    running.kill("compute-2")
    until(lambda: running.doctor.alarms(), 10)
    assert running.doctor.alarms() == [("monitor silent", "agent@compute-2")]
    running.start("compute-2")
    until(lambda: running.doctor.alarms() == [], 10)
    assert len(running.owner.told) == before, "it is nothing to the owners"


def test_an_agent_that_is_stopped_is_no_fault(running: Site) -> None:
    running.stop("compute-2")
    time.sleep(2.5)
    assert running.doctor.alarms() == []
    running.start("compute-2")
    until(lambda: sees(running) == 2, 10)


@pytest.mark.requirement("B5")
def test_the_owner_hears_of_a_link_that_is_cut(running: Site, figures: Figures) -> None:
    host, owner = running.hosts["compute-1"], running.owner
    took = []
    for _ in range(TIMES):
        before = len(owner.told)
        begin = cut(host, 1)
        until_more(owner.told, before)
        took.append(owner.told[before][0] - begin)
        info = owner.told[before][1]["virtual_resource_info"][0]
        assert (info["virtual_resource_id"], info["virtual_resource_state"]) == ("vm-compute-1", "error")
        mend(host, 1)
        be_quiet(running)
        time.sleep(2)  # one link may speak a few times at once, and then once a second
    figures(f"link cut to owner told: {spread(took)}")
    assert statistics.median(took) < 0.5


def test_what_a_host_has_seen_waits_for_doctor(running: Site) -> None:
    host = running.hosts["compute-2"]
    waiting = running.folder / "compute-2.state" / "events.jsonl"
    running.doctor.stop()
    cut(host, 1)
    until(lambda: waiting.exists() and b"network.port.down" in waiting.read_bytes(), 10)
    running.kill("compute-2")
    running.start("compute-2")
    running.doctor.start()
    until(lambda: ("port down", "compute-2:eth1") in running.doctor.alarms(), 30)
    mend(host, 1)
    until(lambda: running.doctor.alarms() == [], 15)
    until(lambda: not waiting.exists(), 10)
    until(lambda: sees(running) == 2, 20)


def test_a_link_that_flaps_is_no_flood(running: Site) -> None:
    host, told = running.hosts["compute-2"], len(running.owner.told)
    begin = time.monotonic()
    for _ in range(60):
        cut(host, 1)
        mend(host, 1)
    be_quiet(running)
    assert len(running.owner.told) - told <= 4 + (time.monotonic() - begin), (
        "a few at once, then one a second"
    )


def test_both_cores_busy_and_nobody_is_dead(running: Site, figures: Figures) -> None:
    before = len(running.owner.told)
    with busy_cores():
        end = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < end:
            time.sleep(1)
            assert running.doctor.alarms() == []
    assert len(running.owner.told) == before
    figures(f"both cores busy for {BUSY_SECONDS} s: no false alarm")


def test_it_says_what_it_sees_here(running: Site, tmp_path: Path) -> None:
    host = running.hosts["compute-1"]
    file = running.settings("compute-1")

    def checked(expected: int) -> dict[tuple[str, str], str]:
        environment = {**os.environ, "SSL_CERT_FILE": str(running.doctor.certificate)}
        words = (sys.executable, "-m", "doctor", "agent", "check", "--config", str(file), "--json")
        done = subprocess.run(host.command(*words), env=environment, capture_output=True, text=True)
        assert done.returncode == expected, done.stderr
        return {
            (one["part"], one["name"].split(" ")[0]): one["state"] for one in json.loads(done.stdout)["items"]
        }

    found = checked(0)
    off = {part: state for (part, name), state in found.items() if not name}
    assert off["disks"] == off["guests"] == "off"
    assert {
        key: state for key, state in found.items() if key[0] in ("host", "doctor", "heartbeat", "links")
    } == {
        ("host", "compute-1"): "fine",
        ("doctor", running.doctor.url): "fine",
        ("heartbeat", "net0"): "fine",
        ("links", "eth0"): "fine",
        ("links", "eth1"): "fine",
    }
    (tmp_path / "other.key").write_text("ab" * 32)
    (tmp_path / "other.key").chmod(0o600)
    running.settings(
        "compute-1", heartbeat={"key_file": str(tmp_path / "other.key")}, links={"watch": ["eth0"]}
    )
    found = checked(1)
    assert (found["heartbeat", "net0"], found["links", "eth1"]) == ("trouble", "off")
    running.settings("compute-1")


def test_it_is_light(running: Site, figures: Figures) -> None:
    process = (
        running.start("compute-2") if "compute-2" not in running._agents else running._agents["compute-2"]
    )
    status = Path(f"/proc/{process.pid}/status").read_text()
    (resident,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
    before, begin = used(process.pid), time.monotonic()
    time.sleep(3)
    share = (used(process.pid) - before) / (time.monotonic() - begin)
    figures(f"an agent takes {resident / 1024:.1f} MB and {100 * share:.2f} % of a core at 100 ms")
    assert resident < 40 * 1024
    assert share < 0.02


def used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_kernel_says_at_once_that_a_cable_is_out(figures: Figures) -> None:
    with Namespaces() as made:
        host = made.add("c9")
        heard: list[tuple[float, Report]] = []
        is_over = threading.Event()

        async def listen() -> None:
            book = LinkBook(Reporter("c9"), LinkSettings(watch=("eth*",)), is_hardware)
            links = Links(book, lambda report: heard.append((time.monotonic(), report)))
            links.start()
            await asyncio.to_thread(is_over.wait)
            links.close()

        thread = threading.Thread(target=run_in, args=(host, listen()))
        thread.start()
        until(lambda: len(heard) == 2, 5)
        took = []
        for _ in range(TIMES):
            heard.clear()
            begin = cut(host, 0)
            until_more(heard, 0)
            took.append(heard[0][0] - begin)
            assert heard[0][1].details["status"] == "down"
            heard.clear()
            mend(host, 0)
            until(lambda: heard, 5)
        is_over.set()
        thread.join()
    figures(f"link cut to agent: {spread(took)}")
    assert statistics.median(took) < 0.05


def test_heartbeats_of_20_ms_find_a_dead_host(tmp_path: Path, figures: Figures) -> None:
    with site(tmp_path, prefix="f", misses=3) as fast:
        for host in fast.hosts:
            fast.start(host, heartbeat=FAST)
        until(lambda: sees(fast) == 2, 20)
        dying, took = fast.hosts["compute-1"], []
        for _ in range(TIMES):
            time.sleep(0.5)
            before = len(fast.owner.told)
            begin = time.monotonic()
            dying.cut()
            until_more(fast.owner.told, before)
            took.append(detected(fast) - begin)
            dying.mend()
            be_quiet(fast)
        figures(f"host cut off to detected, 20 ms x 3, confirmed by ping: {spread(took)}")
        assert statistics.median(took) < 0.3


def detected(running: Site) -> float:
    """Return when the last dead host was detected, by the monotonic clock."""
    (alarm,) = [
        one
        for one in running.doctor.ask("GET", "/v1/alarms")["items"]
        if one["fault_type"] == "host down"
        and one["resource_id"] == "compute-1"
        and not one.get("cleared_time")
    ]
    age = (datetime.now(UTC) - datetime.fromisoformat(alarm["event_time"])).total_seconds()
    return time.monotonic() - age


def until_more(said: Sequence[object], than: int) -> None:
    """Wait closely until more is said."""
    end = time.monotonic() + 10
    while len(said) <= than:
        assert time.monotonic() < end, "nothing was said"
        time.sleep(0.0005)


def spread(took: list[float]) -> str:
    return f"median {1000 * statistics.median(took):.1f} ms, worst {1000 * max(took):.1f} ms of {len(took)}"
