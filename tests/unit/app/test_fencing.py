"""The settings of fencing: what is wrong is named by its path, before a host has to be cut off."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from doctor.app.fencing import FencingSettings, read_fencing
from doctor.app.settings import load_settings, parse_settings
from doctor.app.wiring import wire
from doctor.model.errors import RejectedError
from doctor.model.fence_plan import Level, Rule, Step

EXAMPLE = """
fencing:
  check_every: PT30M
  devices:
    bmc-1: {driver: ipmi, address: 192.0.2.1, user: doctor, password_file: secret, identity: guid-1}
    pdu-a: {driver: snmp_pdu, model: apc, address: 192.0.2.7, user: doctor, auth_file: secret, privacy_file: secret}
    pdu-b: {driver: snmp_pdu, model: apc, address: 192.0.2.8, user: doctor, auth_file: secret, privacy_file: secret}
    tor-1: {driver: switch_port, address: 192.0.2.9, user: doctor, auth_file: secret, privacy_file: secret}
    ceph: {driver: fence_agent, agent: fence_ceph, cuts: storage, needs_plug: true, secret_files: {password: secret}}
    kvm: {driver: libvirt, uri: "qemu+tls://kvm-1/system"}
    people: {driver: manual}
  hosts:
    compute-1:
      levels:
        - bmc-1
        - all_of: [{device: pdu-a, plug: 7}, {device: pdu-b, plug: 7, identity: compute-1}]
        - all_of: [{device: tor-1, plug: ge-0/0/7}, ceph]
        - people
    compute-2: {levels: [kvm, {any_of: [kvm, people]}]}
  zones:
    rack-1: {levels: [{device: pdu-a, plug: 1, identity: rack-1}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    secret = tmp_path / "secret"
    secret.write_text("correct-horse\n")
    secret.chmod(0o600)
    return tmp_path


def test_levels_are_read_in_their_order(folder: Path) -> None:
    """Files start where the settings are; a device without a plug gets the name of the host if it needs one."""
    file = folder / "doctor.yaml"
    file.write_text(EXAMPLE)
    found = read_fencing(load_settings(file).fencing)
    assert found.check_every.total_seconds() == 1800
    assert found.plans["compute-1"].levels == (
        Level(Rule.ALL_OF, (Step("bmc-1", "", "guid-1"),)),
        Level(Rule.ALL_OF, (Step("pdu-a", "7"), Step("pdu-b", "7", "compute-1"))),
        Level(Rule.ALL_OF, (Step("tor-1", "ge-0/0/7"), Step("ceph", "compute-1"))),
        Level(Rule.ALL_OF, (Step("people", "compute-1"),)),
    )
    assert found.plans["compute-2"].levels[1] == Level(
        Rule.ANY_OF, (Step("kvm", "compute-2"), Step("people", "compute-2"))
    )
    assert found.plans["rack-1"].levels == (Level(Rule.ALL_OF, (Step("pdu-a", "1", "rack-1"),)),)
    assert [device.kind for device in found.devices.values()][:3] == ["ipmi", "snmp_pdu", "snmp_pdu"]


def test_without_settings_there_is_nothing_to_fence_with() -> None:
    assert read_fencing(FencingSettings()).plans == {}


def test_they_are_checked_without_starting(folder: Path) -> None:
    """`doctor serve --check` makes all parts."""
    document = yaml.safe_load(EXAMPLE)
    document["fencing"]["hosts"]["compute-1"]["levels"][0] = "bmc-9"
    with pytest.raises(RejectedError) as refused:
        wire(parse_settings({**document, "data": str(folder)}, folder=folder))
    assert [flaw.pointer for flaw in refused.value.flaws] == ["fencing.hosts.compute-1.levels[0].device"]
    assert "did you mean 'bmc-1'" in refused.value.flaws[0].detail


def levels(*wanted: Any) -> dict[str, Any]:
    return {"hosts": {"compute-1": {"levels": list(wanted)}}}


HERE = "fencing.hosts.compute-1.levels"


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        pytest.param(levels(), HERE, "at least one", id="no-level"),
        pytest.param(levels("zeppelin"), f"{HERE}[0].device", "fencing.devices", id="nothing-like-it"),
        pytest.param(levels(7), f"{HERE}[0]", "name of a device", id="a-number"),
        pytest.param(levels({"plug": 1}), f"{HERE}[0]", "name of a device", id="a-plug-alone"),
        pytest.param(levels({"device": "pdu-a"}), f"{HERE}[0].plug", "which outlet", id="no-outlet"),
        pytest.param(
            levels({"device": "bmc-1", "plug": 1}), f"{HERE}[0].plug", "no plugs", id="a-plug-too-many"
        ),
        pytest.param(
            levels({"device": "bmc-1", "outlet": 1}), f"{HERE}[0].outlet", "plug", id="another-word"
        ),
        pytest.param(
            levels({"device": "bmc-1", "identity": 7}), f"{HERE}[0].identity", "quotes", id="a-number-as-name"
        ),
        pytest.param(levels({"all_of": []}), f"{HERE}[0].all_of", "list", id="all-of-nothing"),
        pytest.param(levels({"all_of": "bmc-1"}), f"{HERE}[0].all_of", "list", id="all-of-no-list"),
        pytest.param(
            levels({"all_of": ["bmc-1"], "any_of": ["bmc-1"]}), f"{HERE}[0]", "make levels", id="both-rules"
        ),
        pytest.param(levels({"any_of": ["bmc-1", "bmc-1"]}), f"{HERE}[0].any_of", "twice", id="twice"),
        pytest.param(
            levels({"device": "tor-1", "plug": "ge-0/0/7"}), f"{HERE}[0]", "storage", id="the-network-alone"
        ),
        pytest.param(
            levels({"any_of": [{"device": "pdu-a", "plug": 1}, {"device": "pdu-b", "plug": 1}]}),
            f"{HERE}[0].any_of",
            "all_of",
            id="one-feed-of-two",
        ),
        pytest.param(
            {"zones": {"rack-1": {"levels": []}}}, "fencing.zones.rack-1.levels", "at least one", id="no-way"
        ),
        pytest.param(
            {"zones": {"compute-1": {"levels": ["kvm"]}}},
            "fencing.zones.compute-1",
            "a host or a zone",
            id="a-host-as-zone",
        ),
        pytest.param({"check_every": 1}, "fencing.check_every", "at least 10", id="too-often"),
        pytest.param({"check_every": "P2D"}, "fencing.check_every", "at most a day", id="too-rarely"),
        pytest.param({"check_every": "often"}, "fencing.check_every", "no duration", id="no-duration"),
        pytest.param({"devices": {"x": {}}}, "fencing.devices.x.driver", "required", id="no-driver"),
        pytest.param(
            {"devices": {"x": {"driver": "ipm"}}}, "fencing.devices.x.driver", "'ipmi'", id="no-such-driver"
        ),
        pytest.param(
            {"devices": {"x": {"driver": "manual", "identity": ""}}},
            "fencing.devices.x.identity",
            "text",
            id="no-identity",
        ),
        pytest.param(
            {"devices": {"x": {"driver": "ipmi", "address": "a", "user": "u", "password": "p"}}},
            "fencing.devices.x",
            "password",
            id="a-secret-in-the-settings",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(
    folder: Path, change: dict[str, Any], path: str, words: str
) -> None:
    document = yaml.safe_load(EXAMPLE)["fencing"]
    document = {**document, **change, "devices": {**document["devices"], **change.get("devices", {})}}
    settings = parse_settings({"fencing": document}, folder=folder).fencing
    with pytest.raises(RejectedError) as refused:
        read_fencing(settings)
    assert path in [flaw.pointer for flaw in refused.value.flaws]
    assert any(words in flaw.detail for flaw in refused.value.flaws), refused.value.flaws


@pytest.mark.parametrize(
    ("document", "path"),
    [
        pytest.param({"racks": {}}, "fencing", id="an-unknown-setting"),
        pytest.param({"hosts": {"compute-1": {}}}, "fencing.hosts", id="no-levels"),
        pytest.param(
            {"hosts": {"compute-1": {"levels": "bmc-1"}}}, "fencing.hosts", id="levels-that-are-no-list"
        ),
        pytest.param({"devices": []}, "fencing.devices", id="devices-without-names"),
    ],
)
def test_what_is_no_fencing_is_refused_at_once(document: dict[str, Any], path: str) -> None:
    with pytest.raises(RejectedError) as refused:
        parse_settings({"fencing": document})
    assert refused.value.flaws[0].pointer.startswith(path)
