"""What `doctor vantage` prints."""

import json

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import FakeDoctor

VANTAGE = {
    "name": "ping",
    "state": "isolated",
    "since": "2026-03-04T05:06:07Z",
    "seen_hosts": 0,
    "dead_hosts": 1,
    "waiting_hosts": ["compute-1", "compute-2"],
    "canaries": [{"name": "192.0.2.1", "seen": False}, {"name": "tcp://192.0.2.2:53", "seen": True}],
    "alarm_id": "a1",
}


def test_a_line_says_what_a_monitor_sees(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/vantages", [VANTAGE])
    _, line = run("vantage", "list").stdout.splitlines()
    for part in ("isolated", "2026-03-04 05:06:07Z", "192.0.2.1 silent, tcp://192.0.2.2:53 seen", "a1"):
        assert part in line
    assert json.loads(run("vantage", "list", "--json").stdout)["items"] == [VANTAGE]


def test_without_monitors_that_is_said(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/vantages", [])
    result = run("vantage", "list")
    assert (result.stdout, result.exit_code) == ("", 0)
    assert "no monitor" in result.stderr
