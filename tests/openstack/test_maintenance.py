"""Hosts of a real cloud are emptied as owners agree, in turns, although Doctor is killed meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import STATE, Cloud, Doctor, Json, Owner, until
from tests.openstack.conftest import driver
from tests.openstack.fenced import guests
from tests.openstack.test_marking import TOLD_WITHIN, a_host_with_servers
from tests.openstack.test_monitor import machines

SERVERS, ON_FULL = 20, 5
LEAST = 30.0  # seconds in which a host has to be empty; on a busy machine it takes as long as to boot servers
LOOK_EVERY = 0.3
MADE = "maintained"  # the name of what is made here
UNBINDABLE = STATE / "neutron" / "unbindable"
LIMITS = {"floor": 0.5, "per_host": 4, "retry_after": 1}


class Estate(NamedTuple):
    """Who is where: one host is empty, one is kept by a silent owner, two are full.

    tenant-a answers when it is asked. tenant-b has said beforehand what may be done (``agreed``), but for ``silent``, of which it
    says nothing. ``stopped`` are to be shut down for the work, ``cold`` to be migrated while it is off, ``off`` is off anyway,
    ``failing`` cannot be moved at first; all others may be live migrated.
    """

    empty: str
    kept: str
    full: tuple[str, str]
    asked: list[str]
    agreed: list[str]
    silent: str
    stopped: list[str]
    cold: str
    off: str
    failing: str

    @property
    def servers(self) -> list[str]:
        """Return all of them."""
        return [*self.asked, *self.agreed, self.silent]

    @property
    def movers(self) -> set[str]:
        """Return who is to be moved, once."""
        return {*self.asked, *self.agreed} - {*self.stopped, self.off}

    def wish(self, server: str) -> str:
        """Return what its owner wants to be done about a server."""
        return "stop" if server in self.stopped else "migrate" if server == self.cold else "live_migrate"


@asynccontextmanager
async def an_estate(cloud: Cloud, other: Cloud) -> AsyncIterator[Estate]:
    """Have twenty servers of two tenants on three hosts of four; what was made for it is taken away in the end.

    Few of them are to be moved: that is most of the work for a cloud.
    """
    await clear(other)
    places = {name: list(await cloud.all_on(name)) for name in await cloud.services()}
    empty, kept, first, last = sorted(places, key=lambda name: len(places[name]))
    there = [server for servers in places.values() for server in servers]
    goals = {server: (first, last)[number % 2] for number, server in enumerate(places[empty])}
    if len(places[first]) < 2:
        goals |= dict.fromkeys(places[last][:2], first)
    for server, goal in goals.items():
        await cloud.act(server, "os-migrateLive", {"host": goal, "block_migration": "auto"})
    try:
        made = await asyncio.gather(
            other.boot(MADE, host=kept),
            other.boot(MADE, max(SERVERS - len(there) - 1 - 2 * ON_FULL, 1), host=kept),
            other.boot(MADE, ON_FULL, host=first),
            other.boot(MADE, ON_FULL, host=last),
        )
        (silent,), stopped, here, beside = made
        off, failing = beside[:2]
        await other.act(off, "os-stop")

        async def is_arranged() -> bool:
            are = {name: set(servers) for name, servers in (await cloud.hosts_of(there)).items()}
            have_come = all(server in are.get(goal, ()) for server, goal in goals.items())
            return have_come and (await cloud.server(off))["status"] == "SHUTOFF"

        await until(is_arranged, every=0.5)
        port = (await cloud.ask("GET", "network", f"/v2.0/ports?device_id={failing}"))["ports"][0]["id"]
        UNBINDABLE.write_text(port)
        now = await cloud.hosts_of(there)
        spared = [*now.get(kept, ()), *now[first][3:], *now[last][3:]]
        yield Estate(
            empty,
            kept,
            (first, last),
            asked=there,
            agreed=[*stopped, *here, *beside],
            silent=silent,
            stopped=[*spared, *stopped, *here[1:], *beside[2:]],
            cold=now[first][0],
            off=off,
            failing=failing,
        )
    finally:
        UNBINDABLE.unlink(missing_ok=True)
        await clear(other)
        for server in there:
            if (await cloud.server(server))["status"] == "SHUTOFF":
                await cloud.act(server, "os-start")


async def clear(tenant: Cloud) -> None:
    """Delete what was made for this, now or by a test that was killed."""
    made = (await tenant.ask("GET", "compute", f"/servers?name={MADE}"))["servers"]
    await tenant.delete(*(one["id"] for one in made))


class Crew:
    """Everybody around a session: the operator, who works on empty hosts, and the owner who answers.

    Doctor may be away for a while: they try again.
    """

    def __init__(self, asked: Doctor, owner: Owner, session: str, answer: Callable[[str], str]) -> None:
        self._asked = asked
        self._owner = owner
        self._session = session
        self._answer = answer
        self.found: Json = {}

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._work())
            yield
            task.cancel()

    async def _work(self) -> None:
        path = f"/v1/maintenance/{self._session}"
        while True:
            try:
                self.found = await self._asked.ask("GET", path)
                await self._reply(path)
                for one in self.found["hosts"]:
                    if one["stage"] == "empty":
                        await self._asked.ask(
                            "POST",
                            "/v1/physical-resources/state",
                            state_of("normal", one["physical_resource_id"]),
                        )
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(LOOK_EVERY)

    async def _reply(self, path: str) -> None:
        for _, message in self._owner.heard:
            if message["notification_type"] == "maintenance" and message["maintenance"]["phase"] == "planned":
                asked = [
                    one["virtual_resource_id"]
                    for one in message["maintenance"]["machines"]
                    if one["state"] == "asked"
                ]
                waiting = {
                    one["virtual_resource_id"] for one in self.found["machines"] if one["state"] == "asked"
                }
                if actions := {one: self._answer(one) for one in asked if one in waiting}:
                    await self._asked.ask(
                        "POST", f"{path}/replies", {"reply": "ack", "actions": actions}, self._owner.token
                    )

    def stages(self) -> dict[str, str]:
        """Return how it is with the hosts."""
        return {one["physical_resource_id"]: one["stage"] for one in self.found.get("hosts", ())}

    def states(self, machines: Iterable[str]) -> Counter[str]:
        """Return how many machines are in which state."""
        return Counter(
            one["state"] for one in self.found.get("machines", ()) if one["virtual_resource_id"] in machines
        )


def state_of(state: str, *hosts: str) -> Json:
    """Return the request for a state of hosts."""
    return {
        "physical_resource_state": [
            {"physical_resource_id": one, "physical_resource_state": state} for one in hosts
        ]
    }


@asynccontextmanager
async def watched(cloud: Cloud) -> AsyncIterator[dict[str, list[tuple[str, str | None]]]]:
    """Note how the compute services stand, one after the other, each when it changes."""
    seen: dict[str, list[tuple[str, str | None]]] = {}

    async def look() -> None:
        for name, one in (await cloud.services()).items():
            stands = (one["status"], one["disabled_reason"])
            if seen.setdefault(name, [stands])[-1] != stands:
                seen[name].append(stands)

    async def watch() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await look()

    await look()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch())
        yield seen
        task.cancel()


async def deeds(cloud: Cloud, servers: Iterable[str]) -> dict[str, Counter[str]]:
    """Return what was done to servers, by Nova's own record."""
    found = {}
    for one in servers:
        actions = (await cloud.ask("GET", "compute", f"/servers/{one}/os-instance-actions"))[
            "instanceActions"
        ]
        found[one] = Counter(each["action"] for each in actions)
    return found


@pytest.mark.requirement("A3", "A18", "A19", "B30", "B31", "B32", "B33", "B34", "B35", "D36", "D37")
async def test_four_hosts_are_emptied_in_turns_and_no_server_moves_twice(
    cloud: Cloud, owner: Owner, tmp_path: Path, bus: Path
) -> None:
    """One owner answers, one has a policy, one says nothing; a migration fails; Doctor is killed in the middle."""
    settings = {"controllers": [driver(bus)], "maintenance": LIMITS}
    running = RunningDoctor(tmp_path / "doctor", **settings)
    office = Owner()
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(Cloud.login(name)) for name in ("tenant-a", "tenant-b")]
        began = time.monotonic()
        estate = await stack.enter_async_context(an_estate(cloud, other))
        timeout = max(LEAST, 1.5 * (time.monotonic() - began))
        stack.callback(running.stop)
        running.start()
        asked = await stack.enter_async_context(Doctor.at(running))
        await asked.map_is_current()
        await owner.subscribe(asked, one.project)
        await stack.enter_async_context(office.listening())
        for server in estate.agreed:
            path = f"/v1/maintenance-policies/machine:{server}?project={other.project}"
            await asked.ask("PUT", path, {"action": estate.wish(server)})
        before = await deeds(cloud, estate.servers)
        places = await cloud.hosts_of(estate.servers)
        seen = await stack.enter_async_context(watched(cloud))

        first, last = estate.full
        wish = state_of("maintenance", estate.empty, estate.kept, first, last)
        wish |= {"timeout": timeout, "at_once": 2, "reason": "firmware", "reply_to": office.url}
        print(f"arranged in {time.monotonic() - began:.1f} s, {timeout:.0f} s for each host")
        begun = time.monotonic()
        session = (await asked.ask("POST", "/v1/physical-resources/state", wish))["session_id"]
        crew = Crew(asked, owner, session, estate.wish)
        async with crew.at_work():

            async def is_half_empty() -> bool:
                states = crew.states(places[first])
                return crew.stages().get(first) == "emptying" and bool(states["away"] and states["moving"])

            await until(is_half_empty, every=0.02, within=timeout)
            running.kill()
            running.start()
            print(f"killed and started again after {time.monotonic() - begun:.1f} s")

            async def has_failed_to_move() -> bool:
                (found,) = [
                    one for one in crew.found["machines"] if one["virtual_resource_id"] == estate.failing
                ] or [{}]
                return len(found.get("instructions", ())) > 0 and found["state"] == "agreed"

            await until(has_failed_to_move, every=0.05, within=2 * timeout)
            UNBINDABLE.unlink()

            async def is_over() -> bool:
                return bool(crew.found.get("ended"))

            await until(is_over, within=2 * timeout)
        print(
            f"{len(estate.movers)} servers were moved, and the session over after {time.monotonic() - begun:.1f} s"
        )
        assert crew.stages() == {
            estate.empty: "returned",
            first: "returned",
            last: "returned",
            estate.kept: "failed",
        }

        # One answer, which says who is in the way, and of which host.
        _, response = await until_answered(office)
        assert len(office.heard) == 1
        assert (response["session_id"], response["result"]) == (session, "failed")
        assert response["reason"].startswith(
            f"{estate.kept}: not empty in time: {estate.silent}: its owner has not answered"
        )
        assert {one["maintenance_state"] for one in response["physical_resource_info"]} == {"enabled"}

        # What was shut down for the work runs again, on its host; who said nothing was left alone; who was off is off.
        async def run_again() -> bool:
            return {(await cloud.server(one))["status"] for one in estate.stopped} == {"ACTIVE"}

        await until(run_again, every=0.3)
        after = await deeds(cloud, estate.servers)
        done = {server: after[server] - before[server] for server in estate.servers}
        assert [done[one] for one in estate.stopped] == [{"stop": 1, "start": 1}] * len(estate.stopped)
        assert done[estate.silent] == done[estate.off] == {}
        assert (await cloud.server(estate.off))["status"] == "SHUTOFF"

        # Everybody else was moved once, to a host that had been worked on; one of them in two tries.
        now = await cloud.hosts_of(estate.servers)
        stay = {estate.silent, estate.off, *estate.stopped}
        assert {name: stay & {*servers} for name, servers in now.items()} == {
            name: stay & set(places.get(name, ())) for name in now
        }
        assert {*now[estate.empty], *now[first]} - stay == estate.movers
        assert set(places[first]) - stay <= set(now[estate.empty])
        usual = {"live-migration": 1}
        special = {estate.cold: {"migrate": 1, "confirmResize": 1}, estate.failing: {"live-migration": 2}}
        assert {one: done[one] for one in estate.movers} == dict.fromkeys(estate.movers, usual) | special
        for name, servers in now.items():
            assert guests(name) & {*estate.servers} == set(servers)
            for server in servers:
                mine = await asked.ask("GET", f"/v1/virtual-resources/{server}")
                assert (mine["location"]["physical_resource_id"], mine["virtual_resource_state"]) == (
                    name,
                    "normal",
                )
        assert {(await cloud.server(one))["status"] for one in estate.movers} == {"ACTIVE"}

        # Each host was disabled in Nova for that, once, and serves again.
        await asked.nothing_marked()
        await asyncio.sleep(2 * LOOK_EVERY)
        for name in (estate.kept, first, last):
            (_, none), (status, reason), (again, nothing) = seen[name]
            assert (none, status, again, nothing) == (None, "disabled", "enabled", None)
            assert reason is not None and session in reason


@pytest.mark.requirement("B5", "B34", "D37")
async def test_a_host_that_dies_while_it_is_emptied_is_a_fault_as_ever(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor
) -> None:
    """Its owner is told at once, and the operator that it came to nothing; who has not left is not told to any more."""
    name, servers = await a_host_with_servers(cloud)
    doctor.start()
    office = Owner()
    async with Doctor.at(doctor) as asked, Cloud.login("tenant-a") as tenant, office.listening():
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        wish = state_of("maintenance", name) | {"timeout": 300, "reply_to": office.url}
        session = (await asked.ask("POST", "/v1/physical-resources/state", wish))["session_id"]
        _, told = await owner.hears("maintenance")
        assert set(servers) <= {one["virtual_resource_id"] for one in told["maintenance"]["machines"]}
        leaver, *others = servers
        path = f"/v1/maintenance/{session}"
        reply = {"reply": "ack", "actions": {leaver: "live_migrate"}}
        await asked.ask("POST", f"{path}/replies", reply, owner.token)

        async def leaves() -> bool:
            return bool((await cloud.server(leaver))["OS-EXT-STS:task_state"])

        await until(leaves, every=0.05)
        try:
            died = await asked.report(name)
            heard, fault = await owner.hears("fault")
            assert heard - died < TOLD_WITHIN
            assert {machines(fault)[one][0] for one in others} == {"error"}
            _, response = await until_answered(office)
            assert (response["result"], response["reason"]) == ("failed", f"{name}: the host has failed")
            await asked.all_marked()
            service = (await cloud.services())[name]
            assert (service["forced_down"], service["status"]) == (True, "disabled")
            with pytest.raises(AssertionError, match="too late"):
                await asked.ask(
                    "POST", f"{path}/replies", {"reply": "ack", "actions": {others[0]: "stop"}}, owner.token
                )
        finally:
            await asked.report(name, "up")
        await owner.hears("fault_cleared")
        await asked.nothing_marked()

        async def is_settled() -> bool:
            return not await asked.items("/v1/instructions?state=open")

        await until(is_settled)
        service = (await cloud.services())[name]
        assert (service["forced_down"], service["status"]) == (False, "enabled")
        assert set(await cloud.all_on(name)) >= set(others)
        assert len(office.heard) == 1
        (tried,) = await asked.items("/v1/instructions")
        assert [one["virtual_resource_id"] for one in tried["resources"]] == [leaver]


async def test_a_host_that_is_disabled_for_a_planned_reason_is_emptied_until_it_is_enabled(
    cloud: Cloud, owner: Owner, tmp_path: Path, bus: Path
) -> None:
    """Its owner is asked as for any session; its cloud keeps the reason of who disabled it."""
    name, servers = await a_host_with_servers(cloud)
    meant = {"maintenance": LIMITS | {"open_on_disabled": "planned*"}}
    async with AsyncExitStack() as stack:
        running = stack.enter_context(RunningDoctor(tmp_path / "doctor", controllers=[driver(bus)], **meant))
        asked = await stack.enter_async_context(Doctor.at(running))
        tenant = await stack.enter_async_context(Cloud.login("tenant-a"))
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        everybody = list(await cloud.all_on(name))
        for one in {*everybody} - {*servers}:
            path = f"/v1/maintenance-policies/machine:{one}?project={(await cloud.server(one))['tenant_id']}"
            await asked.ask("PUT", path, {"action": "stop"})
        try:
            begun = await cloud.set_service(name, status="disabled", disabled_reason="planned: disks")
            told, message = await owner.hears("maintenance")
            print(f"asked {told - begun:.2f} s after the host was disabled")
            assert message["maintenance"]["phase"] == "planned"
            assert set(servers) <= {one["virtual_resource_id"] for one in message["maintenance"]["machines"]}
            (session,) = await asked.items("/v1/maintenance")
            assert session["reason"] == "planned: disks"
            path = f"/v1/maintenance/{session['session_id']}"
            reply = {"reply": "ack", "actions": dict.fromkeys(servers, "stop")}
            await asked.ask("POST", f"{path}/replies", reply, owner.token)

            async def stands() -> str:
                (found,) = (await asked.ask("GET", path))["hosts"]
                return str(found["stage"])

            async def is_empty() -> bool:
                return await stands() == "empty"

            await until(is_empty)
            assert {(await cloud.server(one))["status"] for one in everybody} == {"SHUTOFF"}
            service = (await cloud.services())[name]
            assert (service["status"], service["disabled_reason"]) == ("disabled", "planned: disks")
        finally:
            await cloud.set_service(name, status="enabled")

        async def is_as_before() -> bool:
            states = {(await cloud.server(one))["status"] for one in everybody}
            return await stands() == "returned" and states == {"ACTIVE"}

        await until(is_as_before)
        await asked.nothing_marked()
        assert (await cloud.services())[name]["status"] == "enabled"


async def until_answered(office: Owner) -> tuple[float, Json]:
    """Wait for the answer of a session."""

    async def answer() -> tuple[float, Json] | None:
        return office.heard[0] if office.heard else None

    found: tuple[float, Json] = await until(answer)
    return found
