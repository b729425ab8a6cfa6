"""Nova and Neutron that are slow, fail, refuse, are gone or lie: owners are told at once, and what is marked is right.

What is asked of them goes through relays.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml

from doctor.testing.running import RunningDoctor
from tests.openstack.access import BUS_URL
from tests.openstack.cloud import STATE, Cloud, Doctor, Owner, run, until
from tests.openstack.conftest import driver
from tests.openstack.relay import CUT, Answer, Fault, Relay
from tests.openstack.test_marking import a_host_with_servers

TOLD_WITHIN = 1.0
TIMEOUT = 4.0  # of a request: to be slow need not take long, and a cloud on a busy machine is not slow yet
CROWD = 40
LISTS = ("servers", "services", "hypervisors", "aggregates", "server_groups")


class Site(NamedTuple):
    """A Doctor that reaches the cloud through relays."""

    running: RunningDoctor
    keystone: Relay
    nova: Relay
    neutron: Relay

    def having(self, bad: Callable[[Relay], AbstractContextManager[Any]]) -> ExitStack:
        """Give Nova and Neutron a bad day at once."""
        stack = ExitStack()
        for relay in (self.nova, self.neutron):
            stack.enter_context(bad(relay))
        return stack


def doctor_at(folder: Path, keystone: Relay, nova: Relay, neutron: Relay) -> RunningDoctor:
    clouds = yaml.safe_load((STATE / "clouds.yaml").read_text())
    entry = clouds["clouds"]["doctor"]
    entry["auth"]["auth_url"] = keystone.url
    entry |= {"compute_endpoint_override": nova.url, "network_endpoint_override": neutron.url}
    (folder / "clouds.yaml").write_text(yaml.safe_dump(clouds))
    (folder / "bus.url").write_text(BUS_URL)
    settings = driver(folder / "bus.url") | {"clouds_file": str(folder / "clouds.yaml"), "timeout": TIMEOUT}
    return RunningDoctor(folder / "doctor", controllers=[settings], log={"level": "debug"})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with (
        Relay("http://127.0.0.1:5000/v3") as keystone,
        Relay("http://127.0.0.1:8774/v2.1") as nova,
        Relay("http://127.0.0.1:9696") as neutron,
    ):
        site = Site(doctor_at(tmp_path, keystone, nova, neutron), keystone, nova, neutron)
        with site.running:
            yield site


class Stage(NamedTuple):
    """A host that fails while its owner listens."""

    site: Site
    cloud: Cloud
    asked: Doctor
    owner: Owner
    host: str

    async def fails(self) -> None:
        """Let the host fail, and its owner hear of it."""
        begun = await self.asked.report(self.host)
        told, _ = await self.owner.hears("fault")
        assert told - begun < TOLD_WITHIN

    async def is_pending(self) -> None:
        """Wait until it is said why nothing is marked."""

        async def said() -> bool:
            pending = await self.asked.marks("marking")
            return any(one["trouble"] for one in pending.values())

        await until(said)
        assert not await self.asked.marks("marked")

    async def is_marked(self) -> None:
        """Wait until all is marked, and see that the cloud has it."""
        await self.asked.all_marked()
        service = (await self.cloud.services())[self.host]
        assert (service["forced_down"], service["status"]) == (True, "disabled")
        assert set((await self.cloud.all_on(self.host)).values()) == {"error"}
        assert set((await self.cloud.ports_on(self.host)).values()) == {"DOWN"}

    async def is_whole(self) -> bool:
        """Tell whether the cloud has nothing marked of it."""
        service = (await self.cloud.services())[self.host]
        return (
            (service["forced_down"], service["status"]) == (False, "enabled")
            and set((await self.cloud.all_on(self.host)).values()) == {"active"}
            and "DOWN" not in (await self.cloud.ports_on(self.host)).values()
        )

    async def recovers(self) -> None:
        """Let it come back, and see that nothing is left."""
        await self.asked.report(self.host, "up")
        await self.asked.nothing_marked()
        assert await self.is_whole()
        assert [one["notification_type"] for _, one in self.owner.heard].count("fault") == 1


@pytest.fixture
async def stage(site: Site, cloud: Cloud, owner: Owner) -> AsyncIterator[Stage]:
    name, _ = await a_host_with_servers(cloud)
    async with Doctor.at(site.running) as asked, Cloud.login("tenant-a") as tenant:
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        yield Stage(site, cloud, asked, owner, name)


def always(answer: Answer) -> Fault:
    return lambda method: answer


def to_some(answer: Answer, *methods: str) -> Fault:
    return lambda method: answer if method in methods else None


LIE = Answer(200, b'{"service": {"id": "1", "host": "compute-1", "status": "enabled"}, "port": {"id": "1"}}')
# Each takes half a minute here: of those that Doctor's way to a cloud takes alike, which its own tests show for all
# of them, one is played for each change, and all of them where there is time.
PLAYS_ALL = bool(os.environ.get("DOCTOR_SOAK"))
LIKE_ANOTHER = frozenset({"no JSON", "refused"})

BAD: dict[str, Callable[[Relay], AbstractContextManager[Any]]] = {
    "500": lambda relay: relay.failing(always(Answer(500, b'{"computeFault": {"message": "oh"}}'))),
    "429": lambda relay: relay.failing(always(Answer(429, b"", {"Retry-After": "3"}))),
    "no JSON": lambda relay: relay.failing(always(Answer(200, b"<html>back at noon</html>"))),
    "cut": lambda relay: relay.failing(always(CUT)),
    "refused": lambda relay: relay.refusing(),
}


@pytest.mark.requirement("C1", "C12")
@pytest.mark.parametrize(
    "bad",
    [pytest.param(bad, id=name) for name, bad in BAD.items() if PLAYS_ALL or name not in LIKE_ANOTHER],
)
async def test_what_cannot_be_marked_is_pending_and_marked_once_when_it_can(
    bad: Callable[[Relay], AbstractContextManager[Any]], stage: Stage
) -> None:
    with stage.site.having(bad):
        await stage.fails()
        await stage.is_pending()
    await stage.is_marked()
    taken = Counter((*stage.site.nova.written, *stage.site.neutron.written))
    assert set(taken.values()) == {1}
    await stage.recovers()


@pytest.mark.requirement("C12")
async def test_an_api_that_says_it_has_done_what_it_has_not_is_not_believed(stage: Stage) -> None:
    with stage.site.having(lambda relay: relay.failing(to_some(LIE, "PUT"))):
        await stage.fails()

        async def is_said() -> bool:
            pending = await stage.asked.marks("marking")
            return (stage.host, "forced_down") in pending and "all the same" in str(
                pending[stage.host, "forced_down"]["trouble"]
            )

        await until(is_said)
    await stage.is_marked()
    await stage.recovers()


@pytest.mark.requirement("C12")
async def test_what_is_refused_until_it_is_over_is_never_marked(stage: Stage) -> None:
    busy = Answer(409, b'{"conflictingRequest": {"message": "busy", "code": 409}}')
    with stage.site.having(lambda relay: relay.failing(to_some(busy, "PUT", "POST"))):
        await stage.fails()
        await stage.is_pending()
        await stage.recovers()
    assert not stage.site.nova.written
    assert not stage.site.neutron.written


@pytest.mark.requirement("C12")
async def test_requests_that_come_through_when_it_is_over_leave_nothing_marked(stage: Stage) -> None:
    """Slow as a full queue is: nobody waits for them any more, and then they are done all the same."""
    with stage.site.nova.holding() as of_nova, stage.site.neutron.holding() as of_neutron:
        await stage.fails()
        await stage.is_pending()
        stage.site.nova.fault = stage.site.neutron.fault = None
        await stage.recovers()
        assert not [one for one in stage.site.nova.written if b"forced_down" in one[2] and b"true" in one[2]]
        of_nova.set()
        of_neutron.set()

        async def have_come() -> bool:
            return any(b"true" in body for _, _, body in stage.site.nova.written)

        await until(have_come)
        await asyncio.sleep(1)
        await until(stage.is_whole, every=0.5)
        await stage.asked.nothing_marked()
    assert [one["notification_type"] for _, one in stage.owner.heard].count("fault") == 1


@pytest.mark.requirement("C1", "C12")
@pytest.mark.parametrize(
    "answer",
    [
        *([pytest.param(Answer(200, b"<html>back at noon</html>"), id="no JSON")] if PLAYS_ALL else []),
        pytest.param(Answer(201, b'{"token": []}', {"X-Subject-Token": "x"}), id="no token"),
        pytest.param(None, id="slow"),
    ],
)
async def test_without_keystone_owners_are_told_and_marks_are_pending(
    answer: Answer | None, stage: Stage
) -> None:
    """A Doctor that starts then has no login yet: it tells from the map of before."""
    running, keystone = stage.site.running, stage.site.keystone
    running.stop()
    with keystone.holding() if answer is None else keystone.failing(always(answer)):
        running.start()
        await stage.fails()
        await stage.is_pending()
    await stage.is_marked()
    await stage.recovers()


@pytest.fixture
def crowd(cloud: Cloud) -> Iterator[None]:
    """So many servers that one does not think that all of them are gone."""
    run("crowd", str(CROWD))
    yield
    run("crowd", "0")


@pytest.mark.usefixtures("crowd")
async def test_a_cloud_that_lists_nothing_any_more_is_not_believed(stage: Stage) -> None:
    """As when a policy was changed: owners are told from what is known, and it is said that this is in doubt."""
    empty = Answer(200, msgspec.json.encode(dict.fromkeys(LISTS, ())))
    running = stage.site.running
    running.stop()
    with stage.site.nova.failing(to_some(empty, "GET")):
        running.start()

        async def is_in_doubt() -> bool:
            (one,) = await stage.asked.items("/v1/controllers")
            return "not believed" in (one["trouble"] or "")

        await until(is_in_doubt)
        await stage.fails()

        async def is_known() -> bool:
            pending = await stage.asked.marks("marking")
            return "not believed" in str(pending.get((stage.host, "forced_down")))

        await until(is_known)
    await stage.is_marked()
    await stage.recovers()
