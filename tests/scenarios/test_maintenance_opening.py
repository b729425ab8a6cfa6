"""A host that somebody disables in its cloud for a reason that the settings name is emptied, and serves when it is enabled again."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from doctor.flows.fault import Reported
from doctor.model.event import RawEvent
from doctor.model.maintenance import Deed, GuestState, HostStage, MaintenanceLimits, SessionState
from doctor.model.map_news import MapDelta
from tests.scenarios.maintenance_site import Maintained, maintained
from tests.scenarios.recovery_site import World

pytestmark = pytest.mark.looptime

D, G, S = Deed, GuestState, HostStage
MEANT: dict[str, Any] = {"open_on_disabled": "planned*"}


async def say(one: Maintained, state: str, reason: str = "", *, is_heard: bool = True) -> None:
    """Let the cloud say how the first host is, as a map and as a monitor."""
    host = one.situation.resources.physical["compute-1"]
    metadata = {**host.metadata, "disabled_reason": reason}
    await one.faults.change_map(MapDelta(physical=(replace(host, vim_state=state, metadata=metadata),)))
    if is_heard:
        details: dict[str, Any] = {"vim_event": "vim.host.disabled", "cause": reason}
        event = RawEvent(
            time=one.clock.now(),
            type="vim.host.disabled",
            resource="compute-1",
            source="nova",
            status="down" if "disabled" in state else "up",
            raw_details=msgspec.json.encode(details),
        )
        await one.faults.accept([Reported([event], "nova", b"{}", one.clock.now())])


async def test_a_host_that_is_disabled_is_emptied_and_given_back_when_it_is_enabled() -> None:
    async with maintained(**MEANT) as one:
        await one.agree_beforehand(D.MIGRATE)
        await say(one, "disabled up", "planned: disks")
        await one.until_so(lambda: one.situation.maintenance.hosts)
        assert one.clock.monotonic() < 2
        (session,) = one.situation.maintenance
        assert (session.reason, session.user) == ("planned: disks", "who disabled it in its cloud")
        await one.stands(S.EMPTY)
        await asyncio.sleep(30)
        assert len(one.situation.maintenance) == 1
        await say(one, "enabled up")
        await one.stands(S.RETURNED)
        await one.until_so(lambda: not one.session(session).holds)
        await say(one, "disabled up", "planned: more disks")
        await one.until_so(lambda: len(one.situation.maintenance) == 2)


async def test_it_is_called_off_when_the_host_is_enabled_before_it_is_empty() -> None:
    async with maintained(**MEANT) as one:
        await say(one, "disabled up", "planned: disks")
        await one.until_so(lambda: one.situation.maintenance.hosts)
        await one.machine_is(G.ASKED)
        await say(one, "enabled up")
        work = await one.stands(S.ABORTED)
        assert work.reason == "called off by who enabled it in its cloud: it is enabled again"
        assert one.host_of() == "compute-1"


@pytest.mark.parametrize(
    ("reason", "more"),
    [
        pytest.param("broken disks", MEANT, id="another-reason"),
        pytest.param("planned: disks", {}, id="not-in-the-settings"),
        pytest.param("doctor: maintenance (5e55)", {"open_on_disabled": "*"}, id="by-doctor"),
        pytest.param("", {"open_on_disabled": "*"}, id="no-reason"),
    ],
)
async def test_other_hosts_that_are_disabled_are_left_alone(reason: str, more: dict[str, Any]) -> None:
    async with maintained(**more) as one:
        await say(one, "disabled up", reason)
        await asyncio.sleep(30)
        assert len(one.situation.maintenance) == 0


async def test_one_that_cannot_be_emptied_is_not_tried_over_and_over() -> None:
    limits = MaintenanceLimits(usual=timedelta(seconds=20))
    async with maintained(limits=limits, **MEANT) as one:
        await say(one, "disabled up", "planned: disks")
        await one.until_so(lambda: one.situation.maintenance.hosts)
        await one.stands(S.FAILED)
        await asyncio.sleep(60)
        (session,) = one.situation.maintenance
        assert session.state is SessionState.FAILED
        assert await one.emptying.forget(one.clock.now()) == 0
        await say(one, "enabled up")
        await one.until_so(lambda: not one.session(session).holds)
        assert await one.emptying.forget(one.clock.now()) == 1


async def test_what_a_guard_is_against_is_asked_for_again() -> None:
    limits = MaintenanceLimits(floor=1.0)
    async with maintained(limits=limits, **MEANT) as one:
        await say(one, "disabled up", "planned: disks")
        await asyncio.sleep(30)
        assert len(one.situation.maintenance) == 0
        one.maintenance._weighing._limits = MaintenanceLimits()
        await one.until_so(lambda: one.situation.maintenance.hosts)


async def test_what_is_not_heard_of_is_seen() -> None:
    """By a policy that makes no fault of it, or while Doctor was away."""
    world = World()
    running = Maintained(world, **MEANT)
    await running.start()
    await running.agree_beforehand(D.MIGRATE)
    await say(running, "disabled up", "planned: disks", is_heard=False)
    await running.until_so(lambda: running.situation.maintenance.hosts)
    await running.stands(S.EMPTY)
    running = await running.crash(world, **MEANT)  # the map that it starts with has the host enabled
    await running.stands(S.RETURNED)
    await running.die()
