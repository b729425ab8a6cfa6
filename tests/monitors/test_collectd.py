"""collectd as it is: what it is told on its socket goes by write_http to Doctor."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor.cli.demo.simulator import Program
from doctor.testing.running import RunningDoctor
from tests.monitors.site import Site
from tests.waiting import until

CONFIGURATION = """\
Hostname "compute-1"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{folder}/socket"
</Plugin>
LoadPlugin write_http
<Plugin write_http>
  <Node "doctor">
    URL "{url}"
    Header "Authorization: Bearer {token}"
    Format JSON
    Metrics false
    Notifications true
  </Node>
</Plugin>
"""


class Collectd(Program):
    """One collectd."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        super().__init__(folder)
        text = CONFIGURATION.format(folder=folder, url=url, token=token)
        (folder / "collectd.conf").write_text(text)

    def start(self) -> None:
        self._launch("/usr/sbin/collectd", "-f", "-C", str(self.folder / "collectd.conf"))
        self._wait((self.folder / "socket").exists)

    def tell(self, message: str, **what: str) -> None:
        """Have a notification pass through it."""
        message = message.replace('"', '\\"')
        said = " ".join(f"{name}={value}" for name, value in what.items())
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.folder / "socket"))
            line.sendall(f'PUTNOTIF time={int(time.time())} {said} message="{message}"\n'.encode())
            assert line.recv(200).startswith(b"0"), "collectd did not take it"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with RunningDoctor(tmp_path_factory.mktemp("doctor")) as doctor:
        yield Site(doctor)


@pytest.mark.shows("payload collectd", "real")
@pytest.mark.needs("collectd")
@pytest.mark.requirement("A8", "C4")
def test_a_notification_of_collectd_is_a_fault_and_its_end(site: Site, tmp_path: Path) -> None:
    """The link of a host goes down and comes back; what no rule names is counted."""
    link = {
        "host": "compute-1",
        "plugin": "connectivity",
        "plugin_instance": "ens1f0",
        "type": "gauge",
        "type_instance": "interface_status",
    }
    url = f"{site.doctor.url}/v1/monitors/collectd"
    with Collectd(tmp_path, url, site.token("collectd-1")) as collectd:
        collectd.tell('interface "ens1f0" is down', severity="failure", **link)
        until(lambda: site.alarms() == {("compute-1", "network card failure")})
        details = site.alarm("compute-1")["fault_details"]
        assert (details["plugin"], details["plugin_instance"]) == ("connectivity", "ens1f0")
        collectd.tell("interface ens1f0 is up", severity="okay", **link)
        until(lambda: not site.alarms())
        collectd.tell("load is high", host="compute-1", plugin="load", type="load", severity="warning")
        until(lambda: site.source("collectd-1")["events"] == 3)
    unnamed = site.door.ask("GET", "/v1/failure-policies/unnamed-types")[1]
    assert "collectd_load" in str(unnamed)
