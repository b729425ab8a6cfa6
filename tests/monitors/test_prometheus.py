"""Prometheus, Alertmanager and amtool as they are, with Doctor in the place of an Alertmanager or behind one."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor.testing.running import RunningDoctor, free_port
from tests.monitors.programs import Alertmanager, Exporter, Prometheus
from tests.monitors.site import Site
from tests.waiting import until

UP_1, UP_2 = 'node_up{host="compute-1"}', 'node_up{host="compute-2"}'
HOST_DOWN = {
    "alert": "HostDown",
    "expr": "node_up == 0",
    "labels": {"severity": "critical", "doctor_type": "compute.host.down"},
    "annotations": {"summary": 'host "{{ $labels.host }}" does not answer'},
}
WATCHDOG = {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none"}}
DEAD = ("compute-1", "host down")
SILENT = ("prometheus-a", "monitor silent")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One for each test: faults that come and go often are told less often."""
    with RunningDoctor(tmp_path / "doctor") as doctor:
        yield Site(doctor)


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter() as exporter:
        exporter.figures.update({UP_1: 1, UP_2: 1})
        yield exporter


@pytest.mark.shows("payload alertmanager", "real", "restart")
@pytest.mark.needs("prometheus")
@pytest.mark.requirement("A8", "C4", "E20")
def test_prometheus_takes_doctor_for_an_alertmanager(site: Site, exporter: Exporter, tmp_path: Path) -> None:
    """What fires is told once however often it is sent, ends when it is resolved, or not said any more by one who speaks."""
    subscription = site.subscribed()
    address = site.doctor.url.removeprefix("http://")
    prometheus = Prometheus(tmp_path, exporter.port, address, site.token("prometheus-a"))
    prometheus.rules(HOST_DOWN, WATCHDOG)
    with prometheus:
        until(lambda: site.source("prometheus-a").get("state") == "speaks")
        assert site.source("prometheus-a")["silent_after"] == pytest.approx(4, abs=1.5)  # as Watchdog says
        exporter.figures[UP_1] = 0
        until(lambda: DEAD in site.alarms())
        alarm = site.alarm("compute-1")
        assert alarm["perceived_severity"] == "critical"
        assert alarm["fault_details"]["cause"] == 'host "compute-1" does not answer'
        assert alarm["fault_details"]["labels"]["alertname"] == "HostDown"
        until(lambda: site.source("prometheus-a")["duplicates"] >= 3)
        known = site.source("prometheus-a")
        assert (known["kind"], known["standing"], known["rejected"]) == ("alertmanager", 1, 0)
        assert 0 < known["lag_ms"] < 5000
        exporter.figures[UP_1] = 1
        until(lambda: DEAD not in site.alarms())
        assert [kind for kind, _ in site.door.told(subscription)] == ["fault", "fault_cleared"]

        # Prometheus dies: that is a fault, and the host is as it was.
        exporter.figures[UP_1] = 0
        until(lambda: DEAD in site.alarms())
        prometheus.stop()
        until(lambda: SILENT in site.alarms())
        assert DEAD in site.alarms()
        assert site.source("prometheus-a")["state"] == "silent"
        prometheus.start()
        until(lambda: SILENT not in site.alarms())
        assert DEAD in site.alarms()

        # A rule is taken out: Prometheus says no more of its alerts, and they are over.
        prometheus.rules(WATCHDOG)
        until(lambda: DEAD not in site.alarms(), seconds=60)
        assert site.source("prometheus-a")["standing"] == 0


@pytest.mark.needs("prometheus", "alertmanager")
def test_the_webhook_of_an_alertmanager_says_the_same(site: Site, exporter: Exporter, tmp_path: Path) -> None:
    """It repeats what stands, and nobody is told again."""
    subscription = site.subscribed()
    url = f"{site.doctor.url}/v1/monitors/alertmanager"
    with Alertmanager(tmp_path / "am", url, site.token("alertmanager-a")) as alertmanager:
        prometheus = Prometheus(tmp_path / "prometheus", exporter.port, f"127.0.0.1:{alertmanager.port}")
        prometheus.rules(HOST_DOWN)
        with prometheus:
            exporter.figures[UP_1] = 0
            until(lambda: DEAD in site.alarms())
            until(lambda: site.source("alertmanager-a")["duplicates"] >= 2)
            exporter.figures[UP_1] = 1
            until(lambda: DEAD not in site.alarms())
    assert [kind for kind, _ in site.door.told(subscription)] == ["fault", "fault_cleared"]


@pytest.mark.shows("payload alertmanager", "lost")
@pytest.mark.shows("monitor alertmanager", "real", "restart")
@pytest.mark.needs("prometheus", "alertmanager")
@pytest.mark.requirement("E20")
def test_what_the_webhook_has_lost_is_found_by_asking(exporter: Exporter, tmp_path: Path) -> None:
    """Not one message arrives; what begins and ends is told all the same, also while Doctor was away."""
    nowhere = f"http://127.0.0.1:{free_port()}/"
    with Alertmanager(tmp_path / "am", nowhere, "") as alertmanager:
        asking = {
            "driver": "alertmanager",
            "url": f"http://127.0.0.1:{alertmanager.port}",
            "source": "alertmanager-a",
            "every": 0.5,
            "timeout": 0.5,
        }
        prometheus = Prometheus(tmp_path / "prometheus", exporter.port, f"127.0.0.1:{alertmanager.port}")
        prometheus.rules(HOST_DOWN)
        doctor = RunningDoctor(tmp_path / "doctor", monitors=[asking])
        with prometheus, doctor:
            site = Site(doctor)
            exporter.figures[UP_1] = 0
            until(lambda: DEAD in site.alarms())
            assert site.alarm("compute-1")["fault_details"]["source"] == "alertmanager-a"
            exporter.figures[UP_1] = 1
            until(lambda: DEAD not in site.alarms())
            exporter.figures[UP_1] = 0
            until(lambda: DEAD in site.alarms())
            doctor.kill()
            exporter.figures[UP_1] = 1
            until(lambda: not alertmanager.alerts())
            doctor.start()
            until(lambda: DEAD not in site.alarms())
            alertmanager.stop()
            until(lambda: site.alarms() == {("alertmanager", "monitor silent")})
            alertmanager.start()
            until(lambda: not site.alarms())


@pytest.mark.needs("amtool")
def test_amtool_adds_and_shows_alerts(site: Site, tmp_path: Path) -> None:
    """With a token in its file, as with any Alertmanager."""
    (tmp_path / "http.yml").write_text(f"authorization: {{credentials: {site.token('amtool')}}}")

    def amtool(*words: str) -> str:
        command = (
            "amtool",
            f"--alertmanager.url={site.doctor.url}",
            f"--http.config.file={tmp_path / 'http.yml'}",
        )
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    amtool("alert", "add", "HostDown", "doctor_type=compute.host.down", "host=compute-2", "severity=critical")
    assert ("compute-2", "host down") in site.alarms()
    (shown,) = json.loads(amtool("-o", "json", "alert", "query", "host=compute-2"))
    assert shown["labels"]["doctor_type"] == "compute.host.down"
    assert shown["status"]["state"] == "active"
    assert json.loads(amtool("-o", "json", "alert", "query", "host=compute-7")) == []
    over = ("--start=2026-01-01T00:00:00Z", "--end=2026-01-02T00:00:00Z")
    amtool(
        "alert",
        "add",
        "HostDown",
        "doctor_type=compute.host.down",
        "host=compute-2",
        "severity=critical",
        *over,
    )
    assert ("compute-2", "host down") not in site.alarms()
    assert json.loads(amtool("-o", "json", "alert", "query", "host=compute-2")) == []
