"""Beside a cloud's map an operator adds what no cloud knows: what is cut off by a switch is told and marked too."""

import asyncio

import pytest

from doctor.flows.overlay import Content
from doctor.model.errors import StoreError
from doctor.model.map_news import MapDelta
from doctor.model.marking import Mark, MarkKind
from doctor.model.resource import PhysicalResource, Relation
from doctor.testing.scenario import Report
from tests.scenarios.cloud_site import CONTENT, Doctor, Site, machine

pytestmark = pytest.mark.looptime

SWITCH = PhysicalResource(id="switch-1", type="switch")
RACK = PhysicalResource(id="rack-1", type="rack")
UPLINK = Relation("switch-1", "connects", "compute-1")
PLACE = Relation("rack-1", "contains", "compute-1")
CUT_OFF = {
    Mark(MarkKind.DISABLED, "compute-1"): "disabled",
    Mark(MarkKind.SERVER_ERROR, "vm-1"): "error",
    Mark(MarkKind.SERVER_ERROR, "vm-2"): "error",
    Mark(MarkKind.PORT_DOWN, "port-1"): "down",
}


def switch(status: str) -> Report:
    return Report("network.switch.down", "switch-1", status=status)


async def put(doctor: Doctor, *physical: PhysicalResource, ties: tuple[Relation, ...] = ()) -> None:
    await doctor.overlay.put(Content(physical=physical, relations=ties), user="operator")


async def test_a_switch_that_was_added_cuts_off_the_hosts_of_a_cloud() -> None:
    site = Site()
    async with site.running() as doctor:
        await put(doctor, SWITCH, ties=(UPLINK,))
        await doctor.report(switch("down"))
        await asyncio.sleep(1)
        assert site.said() == CUT_OFF
        await doctor.report(switch("up"))
        await asyncio.sleep(1)
        assert set(site.said().values()) == {"enabled", "active"}


async def test_what_is_added_during_a_fault_counts_for_it() -> None:
    site = Site()
    async with site.running() as doctor:
        await put(doctor, SWITCH)
        await doctor.report(switch("down"))
        assert not doctor.situation.book.is_troubled("vm-1")
        await put(doctor, SWITCH, ties=(UPLINK,))
        await asyncio.sleep(1)
        assert site.said() == CUT_OFF
        await put(doctor, SWITCH)
        await asyncio.sleep(1)
        assert set(site.said().values()) == {"enabled", "active"}


async def test_a_host_that_the_cloud_tells_later_finds_its_place() -> None:
    """Also one that it has taken out meanwhile."""
    site = Site(content=None)
    async with site.running() as doctor:
        await put(doctor, SWITCH, RACK, ties=(UPLINK, PLACE))
        assert not doctor.situation.resources.suppliers("compute-1")
        site.cloud.say(CONTENT)
        await asyncio.sleep(0.1)
        assert {UPLINK, PLACE} == set(doctor.situation.resources.suppliers("compute-1"))
        site.cloud.say(MapDelta(gone=("compute-1",)))
        site.cloud.say(MapDelta(physical=CONTENT.physical, virtual=(machine("vm-1"),)))
        await asyncio.sleep(0.1)
        assert {UPLINK, PLACE} == set(doctor.situation.resources.suppliers("compute-1"))


@pytest.mark.parametrize("is_map_kept", [True, False])
async def test_it_is_there_after_a_restart(is_map_kept: bool) -> None:
    site = Site()
    async with site.running() as doctor:
        await put(doctor, SWITCH, RACK, ties=(UPLINK, PLACE))
        await put(doctor, SWITCH, ties=(UPLINK,))
        if is_map_kept:
            site.known = doctor.situation.resources
            site.known.apply(MapDelta(physical=(RACK,), related=(PLACE,)))  # as it was written down before
    async with site.running() as doctor:
        site.cloud.say(CONTENT)
        await asyncio.sleep(0.1)
        assert list(doctor.situation.resources.suppliers("compute-1")) == [UPLINK]
        assert "rack-1" not in doctor.situation.resources.physical


async def test_what_the_store_does_not_take_is_not_added() -> None:
    site = Site()
    async with site.running() as doctor:
        site.store.is_full = True
        with pytest.raises(StoreError):
            await put(doctor, SWITCH, ties=(UPLINK,))
        assert "switch-1" not in doctor.situation.resources.physical
