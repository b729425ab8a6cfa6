"""What `doctor monitor` prints, and what it makes in Zabbix."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import FakeDoctor
from tests.unit.monitors.sources import Source

MONITOR = {
    "name": "prometheus-a",
    "kind": "alertmanager",
    "state": "silent",
    "counted_since": "2026-03-04T05:00:00Z",
    "last_heard_time": "2026-03-04T05:06:07Z",
    "last_event_time": "2026-03-04T05:06:06Z",
    "last_test_time": None,
    "lag_ms": 640.1,
    "events": 1204,
    "events_per_minute": 61.3,
    "duplicates": 1201,
    "rejected": 2,
    "lost": 0,
    "standing": 3,
    "silent_after": 240.0,
    "alarm_id": "a1",
}


def test_a_line_says_how_it_stands_with_a_source(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/monitors", [MONITOR])
    _, line = run("monitor", "list").stdout.splitlines()
    for part in ("prometheus-a", "silent", "1204", "61.3", "640.1", "1201"):
        assert part in line.split()
    assert json.loads(run("monitor", "list", "--json").stdout)["items"] == [MONITOR]


def test_that_nobody_reports_is_said(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/monitors", [])
    result = run("monitor", "list")
    assert (result.stdout, result.exit_code) == ("", 0)
    assert "nobody has reported" in result.stderr


@pytest.mark.parametrize("source", ["prometheus", "alertmanager", "collectd"])
def test_what_goes_into_a_file_names_doctor_and_the_token(run: Run, source: str) -> None:
    printed = run(
        "monitor", "setup", source, "--url", "https://doctor.example", "--token-file", "/etc/the.token"
    )
    assert printed.exit_code == 0
    assert "/etc/the.token" in printed.stdout
    assert "doctor.example:443" in printed.stdout or "https://doctor.example/v1/monitors/" in printed.stdout


def test_what_devices_of_snmp_are_told_names_doctor(run: Run) -> None:
    printed = run("monitor", "setup", "snmp", "--url", "https://doctor.example:12345")
    assert printed.exit_code == 0
    assert "-l authPriv doctor.example:162" in printed.stdout
    assert "snmp-server host doctor.example version 3 priv doctor" in printed.stdout
    assert 'listen: "doctor.example:162"' in printed.stdout


def test_the_script_for_zabbix_is_printed_with_its_parameters(run: Run) -> None:
    printed = run("monitor", "setup", "zabbix", "--url", "https://doctor.example")
    assert "/v1/monitors/zabbix" in printed.stdout
    assert "{EVENT.NSEVERITY}" in printed.stderr
    assert "https://doctor.example" in printed.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("prometheus", "--api", "http://x"), "--api is for zabbix", id="api-of-another"),
        pytest.param(("zabbix", "--api", "http://x"), "--token-file", id="no-token"),
        pytest.param(("nagios",), "nagios", id="unknown"),
    ],
)
def test_what_cannot_be_set_up_is_told(run: Run, words: tuple[str, ...], said: str) -> None:
    result = run("monitor", "setup", *words)
    assert result.exit_code == 2
    assert said in result.stderr


class FakeZabbix:
    """What is made in Zabbix, by its API; the real one is in the long round."""

    def __init__(self) -> None:
        self.made: dict[str, list[dict[str, Any]]] = {}
        self.calls: list[str] = []
        self.refuses = ""
        self.source = Source(self._answer)
        self.url = f"http://127.0.0.1:{self.source.port}"

    def _answer(self, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        method, params = body["method"], body["params"]
        self.calls.append(method)
        if method == self.refuses:
            return {"error": {"message": "Invalid params.", "data": "No permissions."}}
        kind, _, what = method.partition(".")
        return {"result": self._result(kind, what, params)}

    def _result(self, kind: str, what: str, params: Any) -> Any:
        if (kind, what) == ("apiinfo", "version"):
            return "6.0.14"
        if (kind, what) == ("user", "login"):
            return "session"
        name = {"usermacro": "globalmacroid", "usergroup": "usrgrpid", "hostgroup": "groupid"}.get(
            kind, f"{kind}id"
        )
        there = self.made.setdefault(kind, [])
        if what == "get":
            wanted = params.get("filter", {})
            return [one for one in there if all(one.get(key) == value for key, value in wanted.items())]
        if what.startswith("create"):
            there.append({**params, name: str(len(there) + 1)})
            return {f"{name}s": [str(len(there))]}
        (one,) = (one for one in there if one[name] == params[name])
        one.update(params)
        return {f"{name}s": [params[name]]}


@pytest.fixture
def zabbix() -> Iterator[FakeZabbix]:
    fake = FakeZabbix()
    yield fake
    fake.source.vanish()


def set_up(run: Run, zabbix: FakeZabbix, folder: Path) -> Any:
    for name in ("token", "password"):
        (folder / name).write_text(f"the-{name}\n")
    files = ("--token-file", str(folder / "token"), "--password-file", str(folder / "password"))
    return run("monitor", "setup", "zabbix", "--url", "https://doctor.example", "--api", zabbix.url, *files)


def test_zabbix_is_made_to_report_and_again_changes_nothing(
    run: Run, zabbix: FakeZabbix, tmp_path: Path
) -> None:
    assert set_up(run, zabbix, tmp_path).exit_code == 0
    first = json.dumps(zabbix.made, sort_keys=True)
    assert set_up(run, zabbix, tmp_path).exit_code == 0
    assert json.dumps(zabbix.made, sort_keys=True) == first
    (macro,) = zabbix.made["usermacro"]
    assert (macro["macro"], macro["value"], macro["type"]) == ("{$DOCTOR_TOKEN}", "the-token", 1)
    (media,) = zabbix.made["mediatype"]
    parameters = {one["name"]: one["value"] for one in media["parameters"]}
    assert (parameters["url"], parameters["token"]) == ("https://doctor.example", "{$DOCTOR_TOKEN}")
    assert "the-token" not in json.dumps(media)
    assert len(zabbix.made["action"]) == 2


def test_what_zabbix_refuses_is_told_without_secrets(run: Run, zabbix: FakeZabbix, tmp_path: Path) -> None:
    zabbix.refuses = "mediatype.create"
    result = set_up(run, zabbix, tmp_path)
    assert result.exit_code == 1
    assert "mediatype.create: No permissions." in result.stderr
    assert "the-" not in result.stderr
    zabbix.source.raw = b"<html>"
    assert "is this Zabbix?" in set_up(run, zabbix, tmp_path).stderr
    zabbix.source.vanish()
    assert set_up(run, zabbix, tmp_path).exit_code == 1
