"""A cloud is a Monitor too: what others do there is told, what Doctor has done there itself is not [D 3.3.1]."""

import asyncio

import pytest

from doctor.model.errors import TransientError
from doctor.model.map_news import MapDelta, MapStatus, Phase
from doctor.model.marking import Mark, MarkKind, Standing
from doctor.model.resource import HostStatus, PhysicalResource
from doctor.testing.scenario import host_down, host_up
from tests.scenarios.cloud_site import Doctor, Site, machine

pytestmark = pytest.mark.looptime

DOWN = Mark(MarkKind.FORCED_DOWN, "compute-1")
DISABLED = Mark(MarkKind.DISABLED, "compute-1")
VM_1 = Mark(MarkKind.SERVER_ERROR, "vm-1")


def host(state: str, reason: str | None = None) -> MapDelta:
    metadata = {"disabled_reason": reason} if reason else {}
    return MapDelta(
        physical=(PhysicalResource(id="compute-1", cloud="cloud", vim_state=state, metadata=metadata),)
    )


def open_faults(doctor: Doctor) -> set[tuple[str, str]]:
    return {(record.fault.resource_id, record.fault.fault_type) for record in doctor.situation.book}


def status_of_host(doctor: Doctor) -> HostStatus:
    return doctor.situation.describer("red").outlook("compute-1").host_status


async def say(site: Site, news: MapDelta) -> None:
    site.cloud.say(news)
    await asyncio.sleep(0.01)


async def test_owners_on_a_host_that_somebody_disables_read_maintenance() -> None:
    site = Site()
    async with site.running() as doctor:
        await say(site, host("disabled up", "new disks"))
        assert open_faults(doctor) == {("compute-1", "host disabled")}
        (record,) = doctor.situation.book
        assert record.fault.details["cause"] == "new disks"
        assert {"vm-1", "vm-2"} <= set(record.alarms)
        assert doctor.situation.book.state_of("vm-1") == "normal"
        assert status_of_host(doctor) is HostStatus.MAINTENANCE
        await asyncio.sleep(1)
        assert site.said() == {}
        await say(site, host("enabled up"))
        assert open_faults(doctor) == set()
        assert status_of_host(doctor) is HostStatus.UP


async def test_owners_on_a_host_that_somebody_forces_down_read_down() -> None:
    site = Site()
    async with site.running() as doctor:
        await say(site, host("enabled down"))
        assert open_faults(doctor) == {("compute-1", "host forced down")}
        assert status_of_host(doctor) is HostStatus.DOWN
        assert doctor.situation.book.state_of("vm-1") == "error"
        await asyncio.sleep(1)
        assert DOWN not in site.said()
        await say(site, host("enabled up"))
        assert open_faults(doctor) == set()


async def test_a_server_in_error_is_told_until_it_is_well_or_gone() -> None:
    site = Site()
    async with site.running() as doctor:
        await say(
            site, MapDelta(virtual=(machine("vm-1", vim_state="error"), machine("vm-2", vim_state="error")))
        )
        assert open_faults(doctor) == {("vm-1", "instance error"), ("vm-2", "instance error")}
        await say(site, MapDelta(virtual=(machine("vm-1"),), gone=("vm-2",)))
        assert open_faults(doctor) == set()


async def test_a_silent_compute_service_is_a_failure_of_the_vim_and_hits_no_machine() -> None:
    """[HA 5.2] The machines run on."""
    site = Site()
    async with site.running() as doctor:
        await say(site, host("enabled up silent"))
        assert open_faults(doctor) == {("compute-1", "VIM service failure")}
        assert doctor.situation.book.state_of("vm-1") == "normal"
        await say(site, host("enabled up"))
        assert open_faults(doctor) == set()


async def test_what_doctor_has_marked_is_no_news() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        reason = site.cloud.standings[DISABLED].reason
        await say(site, host("disabled down silent", reason))
        await say(site, MapDelta(virtual=(machine("vm-1", vim_state="error"),)))
        assert open_faults(doctor) == {("compute-1", "host down")}


async def test_a_late_word_of_a_mark_that_was_taken_back_is_not_believed() -> None:
    """The bus is slow: what Doctor wrote is heard when it has been taken back."""
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        reason = site.cloud.standings[DISABLED].reason
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(1)
        await say(site, host("disabled down", reason))
        await say(site, MapDelta(virtual=(machine("vm-1", vim_state="error"),)))
        await asyncio.sleep(1)
        assert open_faults(doctor) == set()


async def test_what_somebody_else_does_to_what_was_just_marked_is_asked_for_and_told() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(1)
        site.cloud.standings[DOWN] = Standing("down")
        site.cloud.fail(DOWN, TransientError("503"), TransientError("503"))
        await say(site, host("enabled down"))
        assert open_faults(doctor) == set()
        await asyncio.sleep(5)
        assert open_faults(doctor) == {("compute-1", "host forced down")}


async def test_a_reason_that_somebody_put_over_doctors_is_his_from_then_on() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        site.cloud.standings[DISABLED] = Standing("disabled", "new disks")
        await say(site, host("disabled down", "new disks"))
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(1)
        await say(site, host("disabled up", "new disks"))
        await asyncio.sleep(5)
        assert open_faults(doctor) == {("compute-1", "host disabled")}
        assert site.cloud.standings[DISABLED] == Standing("disabled", "new disks")


async def test_after_a_restart_the_same_is_no_news_and_what_ended_meanwhile_has_ended() -> None:
    site = Site()
    async with site.running() as doctor:
        await say(site, host("disabled up", "new disks"))
        await say(site, MapDelta(virtual=(machine("vm-1", vim_state="error"),)))
        before = {record.fault.fault_key for record in doctor.situation.book}
        assert len(before) == 2
        site.known = doctor.situation.resources
    async with site.running() as doctor:
        site.cloud.say(MapDelta(virtual=(machine("vm-1"),)))
        await say(site, host("disabled up", "new disks"))
        site.cloud.say(MapStatus(phase=Phase.LOADING))
        site.cloud.say(MapStatus(phase=Phase.CURRENT, reconciled=doctor.clock.now()))
        await asyncio.sleep(0.1)
        assert open_faults(doctor) == {("compute-1", "host disabled")}
        assert {record.fault.fault_key for record in doctor.situation.book} < before


async def test_a_full_disk_puts_it_off() -> None:
    site = Site()
    async with site.running() as doctor:
        site.store.is_full = True
        await say(site, host("enabled down"))
        site.store.is_full = False
        await asyncio.sleep(3)
        assert open_faults(doctor) == {("compute-1", "host forced down")}
