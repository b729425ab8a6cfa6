"""Outlets and switch ports against a real SNMP agent."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from doctor.cli.demo.bmc import free_udp_port
from doctor.drivers.fences import snmp_pdu, switch_port
from doctor.drivers.fences.snmp import Credentials, SnmpSettings
from doctor.drivers.fences.snmp_pdu import MODELS, SnmpPduFence
from doctor.drivers.fences.switch_port import SwitchPortFence
from doctor.kit.secret import Secret
from doctor.model.fencing import Cut, Doubt, Seen, Supply, Switched, Unknown, Vantage
from doctor.testing.contracts.fence import FenceContract, soon
from tests.fences.rig import SimulatorRig
from tests.fences.snmp_agent import PASSWORD, PRIVACY, USER, SnmpAgent
from tests.fences.snmp_answers import ADMIN, LABEL, OUTLET, OUTLET_CONTROL, PORT

needs_snmpd = pytest.mark.needs("snmpd")

V3: Credentials = {
    "user": USER,
    "auth": "sha",
    "privacy": "aes",
    "auth_key": Secret(PASSWORD),
    "privacy_key": Secret(PRIVACY),
}


class SnmpRig(SimulatorRig):
    names = (LABEL,)
    secret = PASSWORD
    patience = 8.0
    short = 1.8
    harmless = frozenset({f"{OUTLET_CONTROL} 2", f"{ADMIN} 2"})
    fence: SnmpPduFence | SwitchPortFence


class PduRig(SnmpRig):
    plug = OUTLET
    wrong_plug = "seven"

    def __init__(self, agent: SnmpAgent, credentials: Credentials = V3) -> None:
        super().__init__(agent)
        self.fence = SnmpPduFence(
            SnmpSettings(address="127.0.0.1", port=agent.port), credentials, MODELS["apc"]
        )


class PortRig(SnmpRig):
    plug = PORT
    wrong_plug = ""

    def __init__(self, agent: SnmpAgent) -> None:
        super().__init__(agent)
        self.fence = SwitchPortFence(SnmpSettings(address="127.0.0.1", port=agent.port), V3)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnmpAgent]:
    with SnmpAgent(tmp_path_factory.mktemp("snmp"), free_udp_port()) as agent:
        yield agent


@pytest.fixture
def agent(running: SnmpAgent) -> SnmpAgent:
    running.reset()
    return running


@needs_snmpd
class TestSnmpPdu(FenceContract):
    @pytest.fixture
    async def rig(self, agent: SnmpAgent) -> AsyncIterator[PduRig]:
        made = PduRig(agent)
        yield made
        await made.fence.close()


@needs_snmpd
class TestSwitchPort(FenceContract):
    @pytest.fixture
    async def rig(self, agent: SnmpAgent) -> AsyncIterator[PortRig]:
        made = PortRig(agent)
        yield made
        await made.fence.close()


@needs_snmpd
async def test_an_outlet_that_is_not_there(agent: SnmpAgent) -> None:
    fence = PduRig(agent).fence
    for outcome in (await fence.status("8", soon(4)), await fence.off("8", soon(2))):
        assert isinstance(outcome, Unknown)
        assert outcome.doubt is Doubt.REFUSED
    await fence.close()


@needs_snmpd
async def test_a_port_that_is_not_there(agent: SnmpAgent) -> None:
    fence = PortRig(agent).fence
    outcome = await fence.status("ge-9/9/9", soon(4))
    await fence.close()
    assert isinstance(outcome, Unknown)
    assert outcome.doubt is Doubt.REFUSED


@needs_snmpd
async def test_version_2c_works_where_it_must(agent: SnmpAgent) -> None:
    fence = PduRig(agent, {"community": Secret("open-sesame")}).fence
    assert isinstance(await fence.off(OUTLET, soon(8)), Switched)
    reading = await fence.status(OUTLET, soon(8))
    await fence.close()
    assert isinstance(reading, Seen)
    assert reading.supply is Supply.OFF


def test_a_port_cuts_the_network_alone() -> None:
    """It proves nothing of the power, and sees from a place of its own."""
    assert (SwitchPortFence.cuts, SwitchPortFence.vantage) == (Cut.NETWORK, Vantage.SWITCH_PORT)
    assert (SnmpPduFence.cuts, SnmpPduFence.vantage) == (Cut.POWER, Vantage.OUT_OF_BAND)


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Any]:
    for name in ("auth", "privacy", "short"):
        (tmp_path / name).write_text("short" if name == "short" else f"{name}-is-long")
        (tmp_path / name).chmod(0o600)
    return {
        "address": "192.0.2.1",
        "user": "doctor",
        "auth_file": str(tmp_path / "auth"),
        "privacy_file": str(tmp_path / "privacy"),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"user": ""}, "user: required", id="no-user"),
        pytest.param({"auth_file": None}, "auth_file: required", id="no-authentication"),
        pytest.param({"privacy_file": None}, "privacy_file: required", id="no-privacy"),
        pytest.param({"auth_file": "short"}, "at least 8", id="a-key-that-is-too-short"),
        pytest.param({"version": "1"}, "version", id="version-1"),
        pytest.param({"version": "2c"}, "community_file: required", id="no-community"),
        pytest.param({"community_file": "/x"}, "community_file: is for", id="a-community-for-version-3"),
        pytest.param({"community": "public"}, "community", id="a-community-in-clear"),
        pytest.param({"auth": "md5"}, "auth", id="md5"),
    ],
)
def test_wrong_settings_are_named(
    tmp_path: Path, good: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    if change.get("auth_file") == "short":
        change = {"auth_file": str(tmp_path / "short")}
    switch_port.make(good)
    with pytest.raises(ValueError, match=words):
        switch_port.make({**good, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({}, "name a model", id="no-model"),
        pytest.param({"model": "abacus"}, "there are: apc", id="an-unknown-model"),
        pytest.param(
            {"model": "apc", "outlets": {"status": "1.2.3.4", "control": "1.2.3.4"}}, "not both", id="both"
        ),
        pytest.param(
            {"outlets": {"status": "outlet", "control": "1.2.3.4"}}, "outlets.status", id="no-object"
        ),
    ],
)
def test_a_unit_has_to_be_known(good: dict[str, Any], change: dict[str, Any], words: str) -> None:
    snmp_pdu.make({**good, "model": "apc"})
    snmp_pdu.make({**good, "outlets": {"status": "1.3.6.1.4.1.99999.1", "control": "1.3.6.1.4.1.99999.2"}})
    with pytest.raises(ValueError, match=words):
        snmp_pdu.make({**good, **change})
