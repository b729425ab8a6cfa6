"""A killed Doctor loses nothing that it has confirmed, and tells everything once, in order [I-1, I-4, I-5, I-7]."""

import asyncio
import os
import random
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from doctor.testing.running import RunningDoctor
from doctor.testing.scenario import without_damping
from tests.figures import Figures

KILLS = 200 if os.environ.get("DOCTOR_SOAK") else 50
HOSTS = 20
OWNERS = 4
RATE = 200  # events per second in all
RESUMED_WITHIN = 2.0  # seconds after the start of the process [I-7]
USUAL_START = 0.8  # seconds from nothing to the first answer, on a machine with nothing else to do


class Consumer:
    """Every owner's endpoint: notes each delivery as it comes."""

    def __init__(self) -> None:
        self.first: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.bodies: dict[str, str] = {}
        self.repeats = 0
        self.last = 0.0

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.method == "POST":
            self.last = time.monotonic()
            message_id, digest = request.headers["webhook-id"], sha256(body).hexdigest()
            if message_id in self.bodies:
                self.repeats += 1
                assert self.bodies[message_id] == digest, "a repeat has other bytes"
            else:
                self.bodies[message_id] = digest
                message = await request.json()
                self.first[request.match_info["owner"]].append(message)
        return web.Response(status=204)


class Monitor:
    """Reports each host down and up in turn, each event until it is confirmed."""

    def __init__(
        self, doctor: RunningDoctor, session: aiohttp.ClientSession, headers: dict[str, str]
    ) -> None:
        self._url = f"{doctor.url}/v1/events"
        self._session = session
        self._headers = headers
        self.confirmed: dict[str, list[datetime]] = defaultdict(list)
        self.sent_again = 0
        self.last_answer = 0.0
        self.stopping = False

    async def watch(self, host: str) -> None:
        begun = datetime.now(UTC)
        number = 0
        while not (self.stopping and number % 2 == 0):
            number += 1
            observed = begun + timedelta(milliseconds=number)
            status = "down" if number % 2 else "up"
            await self._report(host, status, observed)
            self.confirmed[host].append(observed)
            await asyncio.sleep(HOSTS / RATE)

    async def _report(self, host: str, status: str, observed: datetime) -> None:
        details = {"hostname": host, "status": status, "source": "test"}
        event = {"time": observed.isoformat(), "type": "compute.host.down", "details": details}
        while True:
            try:
                async with self._session.post(
                    self._url, json={"event": event}, headers=self._headers
                ) as answer:
                    if answer.status == 202:
                        self.last_answer = time.monotonic()
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            self.sent_again += 1
            await asyncio.sleep(0.02)


def resource_map() -> dict[str, Any]:
    return {
        "physical_resources": [{"id": f"host-{n}"} for n in range(HOSTS)],
        "virtual_resources": [
            {"id": f"vm-{n}", "host": f"host-{n}", "owner": f"owner-{n % OWNERS}"} for n in range(HOSTS)
        ],
    }


async def test_kill_9_at_random_moments_loses_nothing(tmp_path: Path, figures: Figures) -> None:
    """50 kills under 200 events/s: every confirmed event is told once, in order, with the same id and bytes."""
    consumer = Consumer()
    runner = await _serve(consumer)
    port = runner.addresses[0][1]
    policy = tmp_path / "policy.yaml"
    policy.write_text(without_damping())
    doctor = RunningDoctor(tmp_path / "doctor", policy=str(policy))
    began = time.monotonic()
    await asyncio.to_thread(doctor.start)
    slowness = max(1.0, (time.monotonic() - began) / USUAL_START)  # of this machine, now
    resumed: list[float] = []
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            headers = doctor.headers
            await _prepare(session, doctor, headers, port)
            monitor = Monitor(doctor, session, headers)
            async with asyncio.TaskGroup() as tasks:
                for number in range(HOSTS):
                    tasks.create_task(monitor.watch(f"host-{number}"))
                for _ in range(KILLS):
                    await asyncio.sleep(random.uniform(0.1, 0.7))
                    await asyncio.to_thread(doctor.kill)
                    resumed.append(await _restart(doctor, consumer))
                monitor.stopping = True
            await _settled(consumer, sum(len(times) for times in monitor.confirmed.values()))
    finally:
        await asyncio.to_thread(doctor.stop)
        await runner.cleanup()
    _check(consumer, monitor)
    events = sum(len(times) for times in monitor.confirmed.values())
    figures(
        f"  {KILLS} kills, {events} events confirmed, 0 lost, {consumer.repeats} repeats (same id and bytes),"
        f" {monitor.sent_again} sent again; resumed after {sorted(resumed)[KILLS // 2]:.2f} s (median),"
        f" {max(resumed):.2f} s (worst)"
    )
    # Nine of ten, since the machine of a test has other things to do now and then.
    assert sorted(resumed)[KILLS * 9 // 10] < RESUMED_WITHIN * slowness


async def _serve(consumer: Consumer) -> web.AppRunner:
    application = web.Application()
    application.router.add_route("*", "/{owner}", consumer.receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def _prepare(
    session: aiohttp.ClientSession, doctor: RunningDoctor, headers: dict[str, str], port: int
) -> None:
    async with session.put(f"{doctor.url}/v1/resource-map", json=resource_map(), headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    for number in range(OWNERS):
        owner = f"owner-{number}"
        token = {"role": "consumer", "project": owner}
        async with session.post(f"{doctor.url}/v1/tokens", json=token, headers=headers) as answer:
            secret = (await answer.json())["token"]
        wish = {"endpoints": [{"url": f"http://127.0.0.1:{port}/{owner}"}]}
        own = {"Authorization": f"Bearer {secret}"}
        async with session.post(f"{doctor.url}/v1/subscriptions", json=wish, headers=own) as answer:
            assert answer.status == 201, await answer.text()


async def _restart(doctor: RunningDoctor, consumer: Consumer) -> float:
    """Start again, and return how long it took until somebody was told something."""
    begun = time.monotonic()
    await asyncio.to_thread(doctor.start)
    while consumer.last < begun:
        await asyncio.sleep(0.005)
        assert time.monotonic() - begun < 10, "nobody was told anything after the restart"
    return consumer.last - begun


async def _settled(consumer: Consumer, wanted: int) -> None:
    for _ in range(400):
        if len(consumer.bodies) >= wanted:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # one that is too many would come now


def _check(consumer: Consumer, monitor: Monitor) -> None:
    told: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for messages in consumer.first.values():
        assert [message["sequence"] for message in messages] == list(range(1, len(messages) + 1))
        for message in messages:
            (info,) = message["virtual_resource_info"]
            told[info["virtual_resource_id"]].append((message["notification_type"], message["event_time"]))
    for number in range(HOSTS):
        times = monitor.confirmed[f"host-{number}"]
        wanted = []
        for down in times[::2]:
            wanted += [("fault", down), ("fault_cleared", down)]
        got = [(kind, datetime.fromisoformat(time)) for kind, time in told[f"vm-{number}"]]
        assert got == wanted
