"""The settings of the agent: what is wrong is said with its place."""

from pathlib import Path
from typing import Any

import pytest

from doctor.agent.settings import LinkSettings, load_settings, parse_settings

NETWORK = {"name": "mgmt", "to": ["192.0.2.1:12346"]}
LEAST: dict[str, Any] = {"host": "compute-1", "heartbeat": {"key_file": "c1.key", "networks": [NETWORK]}}


def test_what_ships() -> None:
    read = parse_settings(LEAST, folder=Path("/etc/doctor"))
    assert read.heartbeat is not None
    assert read.heartbeat.key_file == Path("/etc/doctor/c1.key")
    assert read.heartbeat.interval.total_seconds() == 0.1
    assert read.links == LinkSettings()
    assert read.doctor is None


def test_the_name_of_the_machine_is_the_name_of_the_host() -> None:
    assert parse_settings({**LEAST, "host": "x"}).host == "x"
    assert parse_settings({"heartbeat": LEAST["heartbeat"]}).host


def test_a_file_with_everything(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("""
host: compute-1
state: waiting
doctor: {url: "https://doctor.example", token_file: agent.token, timeout: PT2S, keep: 500}
heartbeat:
  key_file: /etc/doctor/compute-1.key
  interval: 0.05
  networks:
    - {name: mgmt, to: "192.0.2.1:12346", source: 192.0.2.21}
    - {name: storage, to: ["[2001:db8::1]:12346", "198.51.100.1:12346"], device: eth1}
links: {watch: [eth*], resources: {eth0: nic-7}}
""")
    read = load_settings(file)
    assert read.state == tmp_path / "waiting"
    assert read.doctor is not None
    assert read.doctor.token_file == tmp_path / "agent.token"
    assert read.heartbeat is not None
    assert read.heartbeat.networks[1].addresses == [("2001:db8::1", 12346), ("198.51.100.1", 12346)]
    assert read.links is not None
    assert read.links.is_watched("eth3", is_hardware=False)
    assert not read.links.is_watched("wlan0", is_hardware=True)


def test_links_may_be_left_alone() -> None:
    assert parse_settings({**LEAST, "links": False}).links is None
    assert parse_settings({**LEAST, "links": True}).links == LinkSettings()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(
            {**LEAST, "processes": {}}, "processes: expected a list", id="processes that are no list"
        ),
        pytest.param({**LEAST, "processes": [{"name": "x"}]}, r"processes\[0\]: .*pattern", id="no pattern"),
        pytest.param(
            {**LEAST, "processes": [{"name": "x", "pattern": "("}]},
            r"processes\[0\].pattern: ",
            id="no regular expression",
        ),
        pytest.param(
            {**LEAST, "processes": [{"name": "x", "pattern": "x"}] * 2},
            r"processes\[1\].name: x is there twice",
            id="a process twice",
        ),
        pytest.param({**LEAST, "disks": {"every": 0}}, "disks.every: must be at least", id="too often"),
        pytest.param({**LEAST, "raid": {"every": "x"}}, "raid.every: ", id="no duration"),
        pytest.param({**LEAST, "guests": {"url": "x"}}, "guests: .*unknown field `url`", id="a mistyped uri"),
        pytest.param([], "the settings: expected a mapping", id="no mapping"),
        pytest.param({"host": "c1"}, "heartbeat: required, or doctor", id="nobody to tell"),
        pytest.param({"hosst": "c1", **LEAST}, ".*unknown field `hosst`", id="a mistyped name"),
        pytest.param({**LEAST, "host": "two words"}, "host: ", id="a host with a space"),
        pytest.param({**LEAST, "state": 5}, "state: expected the name of a file", id="no folder"),
        pytest.param({**LEAST, "links": {"watch": "eth0"}}, "links.watch: ", id="patterns that are text"),
        pytest.param({**LEAST, "links": 5}, "links: expected a mapping", id="links that are a number"),
        pytest.param({**LEAST, "doctor": {}}, "doctor: Object missing required field `url`", id="no url"),
        pytest.param(
            {**LEAST, "doctor": {"url": "http://d", "timeout": 0}},
            "doctor.timeout: must be at least",
            id="no time",
        ),
        pytest.param({"heartbeat": {"key_file": "k"}}, "heartbeat.networks: required", id="no networks"),
        pytest.param({"heartbeat": {"networks": [NETWORK]}}, "heartbeat: .*key_file", id="no key"),
        pytest.param(
            {"heartbeat": {"key_file": "k", "networks": [NETWORK, NETWORK]}},
            r"heartbeat.networks\[1\].name: mgmt is there twice",
            id="a network twice",
        ),
        pytest.param(
            {"heartbeat": {"key_file": "k", "networks": [NETWORK], "interval": 0.001}},
            "heartbeat.interval: must be at least 0.01 s",
            id="too fast",
        ),
        pytest.param(
            {"heartbeat": {"key_file": "k", "networks": [{"name": "m", "to": "doctor:1"}]}},
            r"heartbeat.networks\[0\].to\[0\]: 'doctor:1' is no address and port",
            id="a name for an address",
        ),
        pytest.param(
            {"heartbeat": {"key_file": "k", "networks": [{"name": "m", "to": []}]}},
            r"heartbeat.networks\[0\].to: required",
            id="nowhere to send",
        ),
        pytest.param(
            {"heartbeat": {"key_file": "k", "networks": [{**NETWORK, "source": "eth0"}]}},
            r"heartbeat.networks\[0\].source: 'eth0' is no IP address",
            id="a device for an address",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_settings(document)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_settings(tmp_path / "bad.yaml")
