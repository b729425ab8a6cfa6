"""The testbed's cloud, asked without any of Doctor's code: what these tests compare Doctor with."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web

from doctor.testing.running import RunningDoctor

STATE = Path(os.environ.get("OPENSTACK_TESTBED", "/var/tmp/openstack-testbed"))
TESTBED = Path(__file__).parents[2] / "testbeds" / "openstack"
VERSION = {"OpenStack-API-Version": "compute 2.90"}
PATIENCE = 60.0
Json = Any


async def until(check: Callable[[], Awaitable[Any]], *, within: float = PATIENCE, every: float = 0.1) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + within
    while True:
        found = await check()
        if found:
            return found
        assert time.monotonic() < end, f"not so after {within} s: {check.__name__}"
        await asyncio.sleep(every)


def run(script: str, *words: str) -> None:
    """Run one of the testbed's scripts."""
    subprocess.run([TESTBED / script, *words], check=True, capture_output=True)


def host(verb: str, name: str) -> None:
    """Let a fake host fail, or come back."""
    run("host", verb, name)


@contextmanager
def stopped(service: str) -> Iterator[None]:
    """Stop a service of the control plane in the middle of whatever it does, for a while: it answers nobody."""
    pid = int((STATE / "run" / f"{service}.pid").read_text().split()[0])
    os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(pid, signal.SIGCONT)


_LOGINS: dict[str, tuple[str, Json]] = {}  # tokens are good for longer than the tests take


async def _log_in(session: aiohttp.ClientSession, user: str) -> tuple[str, Json]:
    """Return a token of a user of clouds.yaml, and what it is good for."""
    auth = yaml.safe_load((STATE / "clouds.yaml").read_text())["clouds"][user]["auth"]
    domain = {"name": "Default"}
    identity = {"name": auth["username"], "password": auth["password"], "domain": domain}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": identity}},
            "scope": {"project": {"name": auth["project_name"], "domain": domain}},
        }
    }
    async with session.post(f"{auth['auth_url']}/auth/tokens", json=body) as answer:
        return answer.headers["X-Subject-Token"], (await answer.json())["token"]


class Cloud:
    """The APIs as one user may use them."""

    def __init__(self, session: aiohttp.ClientSession, endpoints: dict[str, str], project: str) -> None:
        self._session = session
        self._endpoints = endpoints
        self.project = project
        self.servers: list[str] = []

    @classmethod
    @asynccontextmanager
    async def login(cls, user: str) -> AsyncIterator[Self]:
        """Log in as a user of clouds.yaml."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            if user not in _LOGINS:
                _LOGINS[user] = await _log_in(session, user)
            session.headers["X-Auth-Token"], token = _LOGINS[user]
            endpoints = {
                service["type"]: next(
                    one["url"] for one in service["endpoints"] if one["interface"] == "public"
                )
                for service in token["catalog"]
            }
            yield cls(session, endpoints, token["project"]["id"])

    async def ask(self, method: str, service: str, path: str, body: Json = None, *, ok: bool = True) -> Json:
        """Make one request."""
        url = self._endpoints[service] + path
        version = VERSION if service == "compute" else {}
        async with self._session.request(method, url, json=body, headers=version) as answer:
            text = await answer.text()
            assert not ok or answer.status < 400, f"{method} {url}: {answer.status} {text}"
            return await answer.json() if answer.content_type == "application/json" and text else None

    # --- hosts ---

    async def services(self) -> dict[str, Json]:
        """Return the compute services by host."""
        answer = await self.ask("GET", "compute", "/os-services?binary=nova-compute")
        return {one["host"]: one for one in answer["services"]}

    async def set_service(self, name: str, **values: Json) -> float:
        """Change a compute service, as an administrator by hand; returns when."""
        service = (await self.services())[name]
        begun = time.monotonic()
        await self.ask("PUT", "compute", f"/os-services/{service['id']}", values)
        return begun

    async def mend(self) -> None:
        """Let all be as after `up`: hosts run, up and enabled; servers active, with a data plane."""
        for name, state in _hosts().items():
            if state != "running":
                host("thaw" if state == "frozen" else "start", name)
        services, servers, ports = await asyncio.gather(
            self.services(),
            self.ask("GET", "compute", "/servers/detail?all_tenants=1&status=ERROR"),
            self.ask("GET", "network", "/v2.0/ports?fields=id&fields=data_plane_status"),
        )
        for name, service in services.items():
            if service["forced_down"]:
                await self._force_up(name)
            if service["status"] == "disabled":
                await self.set_service(name, status="enabled")

        async def all_up() -> bool:
            return all(one["state"] == "up" for one in (await self.services()).values())

        if not all(one["state"] == "up" and not one["forced_down"] for one in services.values()):
            await until(all_up, within=90, every=0.3)
        for server in servers["servers"]:
            await self.reset(server["id"], "active")
        for port in ports["ports"]:
            if port["data_plane_status"] == "DOWN":
                await self.set_port(port["id"], "ACTIVE")

    async def _force_up(self, name: str) -> None:
        """Force a host up; when machines were evacuated from it, it has to start anew first."""

        async def is_forced_up() -> bool:
            try:
                await self.set_service(name, forced_down=False)
            except AssertionError:
                return False
            return True

        if not await is_forced_up():
            host("restart", name)
            await until(is_forced_up, every=0.3)

    # --- servers and ports ---

    async def some_servers(self, count: int) -> list[str]:
        """Return the ids of this many active servers of ours, made where they are missing."""
        found = (await self.ask("GET", "compute", "/servers/detail?name=shared"))["servers"]
        good = [one["id"] for one in found if one["status"] == "ACTIVE"]
        if len(good) < count:
            good += await self.boot("shared", count - len(good))
        return good[:count]

    async def boot(self, name: str, count: int = 1, **more: Json) -> list[str]:
        """Make servers, and wait until they are active."""
        reservation = await self.order(name, min_count=count, return_reservation_id=True, **more)
        query = f"/servers/detail?reservation_id={reservation}"

        async def all_active() -> list[str] | None:
            servers = (await self.ask("GET", "compute", query))["servers"]
            assert not [one for one in servers if one["status"] == "ERROR"], servers
            return (
                [one["id"] for one in servers] if all(one["status"] == "ACTIVE" for one in servers) else None
            )

        found: list[str] = await until(all_active, within=180, every=0.5)
        return found

    async def order(self, name: str, **more: Json) -> str:
        """Ask for a server, and return its id (or of several, where that is wished, the reservation)."""
        flavors = (await self.ask("GET", "compute", "/flavors"))["flavors"]
        images = (await self.ask("GET", "image", "/v2/images"))["images"]
        networks = (await self.ask("GET", "network", "/v2.0/networks"))["networks"]
        wish = {
            "name": name,
            "flavorRef": next(one["id"] for one in flavors if one["name"] == "tiny"),
            "imageRef": next(one["id"] for one in images if one["name"] == "dummy"),
            "networks": [{"uuid": networks[0]["id"]}],
            **more,
        }
        made = await self.ask("POST", "compute", "/servers", {"server": wish})
        return str(made["reservation_id"] if "reservation_id" in made else made["server"]["id"])

    async def server(self, server_id: str) -> Json:
        """Return a server."""
        return (await self.ask("GET", "compute", f"/servers/{server_id}"))["server"]

    async def act(self, server_id: str, action: str, body: Json = None) -> None:
        """Do something to a server."""
        await self.ask("POST", "compute", f"/servers/{server_id}/action", {action: body})

    async def reset(self, server_id: str, state: str) -> None:
        """Set the state of a server, as an administrator by hand."""
        await self.act(server_id, "os-resetState", {"state": state})

    async def set_metadata(self, server_id: str, metadata: dict[str, str]) -> None:
        """Say something of a server."""
        await self.ask("POST", "compute", f"/servers/{server_id}/metadata", {"metadata": metadata})

    async def delete(self, *server_ids: str) -> None:
        """Delete servers, and wait until they are gone."""
        for server_id in server_ids:
            await self.ask("DELETE", "compute", f"/servers/{server_id}", ok=False)

        async def all_gone() -> bool:
            servers = (await self.ask("GET", "compute", "/servers"))["servers"]
            return not {one["id"] for one in servers} & set(server_ids)

        await until(all_gone, every=0.3)

    async def hosts_of(self, server_ids: list[str]) -> dict[str, list[str]]:
        """Return which of these servers are on which host."""
        found: dict[str, list[str]] = {}
        servers = (await self.ask("GET", "compute", "/servers/detail?all_tenants=1"))["servers"]
        for one in servers:
            if one["id"] in server_ids:
                found.setdefault(one["OS-EXT-SRV-ATTR:host"], []).append(one["id"])
        return found

    async def all_on(self, name: str) -> dict[str, str]:
        """Return the states of all servers on a host."""
        servers = (await self.ask("GET", "compute", f"/servers/detail?all_tenants=1&host={name}"))["servers"]
        return {one["id"]: one["OS-EXT-STS:vm_state"] for one in servers}

    async def ports_on(self, name: str) -> dict[str, str | None]:
        """Return the data plane status of the ports on a host."""
        ports = (await self.ask("GET", "network", f"/v2.0/ports?binding:host_id={name}"))["ports"]
        return {one["id"]: one["data_plane_status"] for one in ports}

    async def set_port(self, port_id: str, status: str) -> None:
        """Set the data plane status of a port, as an administrator by hand."""
        await self.ask("PUT", "network", f"/v2.0/ports/{port_id}", {"port": {"data_plane_status": status}})

    # --- images and volumes ---

    @asynccontextmanager
    async def image(self) -> AsyncIterator[str]:
        """Give an image that only this project sees, until it shares it."""
        wish = {"name": "own", "disk_format": "raw", "container_format": "bare", "visibility": "shared"}
        image: str = (await self.ask("POST", "image", "/v2/images", wish))["id"]
        url = f"{self._endpoints['image']}/v2/images/{image}"
        headers = {"Content-Type": "application/octet-stream"}
        try:
            async with self._session.put(f"{url}/file", data=bytes(1024), headers=headers) as answer:
                assert answer.status < 400, await answer.text()
            yield image
        finally:
            await self.ask("DELETE", "image", f"/v2/images/{image}")

    @asynccontextmanager
    async def volume(self, owner: "Cloud") -> AsyncIterator[str]:
        """Give a volume of this owner; nothing is behind it."""
        made = await owner.ask("POST", "volumev3", "/volumes", {"volume": {"size": 1, "name": "disk"}})
        volume_id: str = made["volume"]["id"]
        await self.set_volume(volume_id, "available")
        try:
            yield volume_id
        finally:
            await self.set_volume(volume_id, "available")
            await owner.ask("DELETE", "volumev3", f"/volumes/{volume_id}")

    async def set_volume(self, volume_id: str, status: str) -> None:
        """Set the status of a volume, as an administrator by hand."""
        body = {"os-reset_status": {"status": status}}
        await self.ask("POST", "volumev3", f"/volumes/{volume_id}/action", body)

    async def volume_status(self, volume_id: str) -> str:
        """Return the status of a volume."""
        return str((await self.ask("GET", "volumev3", f"/volumes/{volume_id}"))["volume"]["status"])


def _hosts() -> dict[str, str]:
    """Return how the fake hosts are: running, frozen or dead."""
    listed = subprocess.run([TESTBED / "host", "list"], check=True, capture_output=True, text=True).stdout
    return {name: state for name, state, *_ in map(str.split, listed.splitlines())}


class Doctor:
    """A running Doctor, asked by its Administrator."""

    def __init__(self, running: RunningDoctor, session: aiohttp.ClientSession) -> None:
        self._running = running
        self._session = session

    @classmethod
    @asynccontextmanager
    async def at(cls, running: RunningDoctor) -> AsyncIterator[Self]:
        """Ask this one; it must have been started, and may be started anew meanwhile."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            yield cls(running, session)

    async def ask(self, method: str, path: str, body: Json = None, token: str | None = None) -> Json:
        """Make one request."""
        headers = {"Authorization": f"Bearer {token or self._running.token}"}
        async with self._session.request(
            method, self._running.url + path, json=body, headers=headers
        ) as answer:
            assert answer.status < 400, await answer.text()
            return await answer.json()

    async def items(self, path: str) -> list[Json]:
        """Return the items of a list."""
        found: list[Json] = (await self.ask("GET", path))["items"]
        return found

    async def report(
        self,
        name: str,
        status: str = "down",
        event_type: str = "compute.host.down",
        token: str | None = None,
    ) -> float:
        """Report that a host (or, by another event, something else) is down, or up; returns when."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f"{now % 1:.6f}"[1:] + "Z"
        details = {"hostname": name, "status": status, "source": "test"}
        event = {"time": stamp, "type": event_type, "details": details}
        await self.ask("POST", "/v1/events", {"event": event}, token)
        return time.monotonic()

    async def map_is_current(self) -> Json:
        """Wait until the map is known, and is listened to."""

        async def current() -> Json:
            (one,) = await self.items("/v1/controllers")
            return one if one["phase"] == "current" and one["listening"] else None

        return await until(current)

    async def marks(self, *states: str) -> dict[tuple[str, str], Json]:
        """Return what is marked, by resource and kind."""
        query = "&".join(f"state={state}" for state in states)
        rows = await self.items(f"/v1/marks?limit=1000&{query}")
        return {(one["resource_id"], one["kind"]): one for one in rows}

    async def all_marked(self) -> dict[tuple[str, str], Json]:
        """Wait until something is marked and nothing is pending."""

        async def done() -> Json:
            return (await self.marks("marked")) if not await self.marks("marking", "unmarking") else None

        found: dict[tuple[str, str], Json] = await until(done)
        return found

    async def nothing_marked(self) -> None:
        """Wait until every mark is taken back."""

        async def clean() -> bool:
            return not await self.marks("marking", "marked", "unmarking")

        await until(clean)


class Owner:
    """The owner of a project: a web server that notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, Json]] = []
        self.url = ""
        self.token = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on a port of loopback."""

        async def take(request: web.Request) -> web.Response:
            if request.method == "POST":
                self.heard.append((time.monotonic(), await request.json()))
            return web.Response(status=204)

        app = web.Application()
        app.router.add_route("*", "/", take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert runner.addresses
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield
        finally:
            await runner.cleanup()

    async def subscribe(self, doctor: Doctor, project: str) -> None:
        """Subscribe to all that is this project's."""
        wish = {"role": "consumer", "project": project, "name": f"owner of {project}"}
        self.token = (await doctor.ask("POST", "/v1/tokens", wish))["token"]
        body = {"subscribe_filter": {}, "endpoints": [{"url": self.url}]}
        await doctor.ask("POST", "/v1/subscriptions", body, token=self.token)

    async def hears(
        self, kind: str, check: Callable[[Json], bool] = lambda message: True, *, within: float = 10.0
    ) -> tuple[float, Json]:
        """Wait for the first notification of a kind that is as it should be."""

        async def found() -> tuple[float, Json] | None:
            return next(
                (one for one in self.heard if one[1]["notification_type"] == kind and check(one[1])), None
            )

        heard: tuple[float, Json] = await until(found, within=within, every=0.01)
        return heard
