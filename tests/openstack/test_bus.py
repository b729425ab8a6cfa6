"""A real RabbitMQ: what Doctor says there is heard with OpenStack's own library."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
import urllib3

from doctor.testing.running import RunningDoctor, free_port
from tests.integration.relay import Relay
from tests.openstack.access import BUS, BUS_URL

LISTENER = Path(__file__).with_name("listener.py")
MAP = {
    "physical_resources": [{"id": "compute-1", "zone_id": "az1"}],
    "virtual_resources": [
        {"id": f"vm-{number}", "host": "compute-1", "owner": "red" if number % 2 else "blue"}
        for number in range(60)
    ],
}


@contextmanager
def listening(exchange: str) -> Iterator["Queue[dict[str, Any]]"]:
    """Hear what is said on an exchange, from now on."""
    line = [
        "/usr/bin/python3",
        str(LISTENER),
        BUS_URL.replace("amqp:", "rabbit:"),
        exchange,
        f"{exchange}-topic",
    ]
    heard: Queue[dict[str, Any]] = Queue()
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout

        def read() -> None:
            for one in lines:
                heard.put(json.loads(one))

        try:
            assert lines.readline() == "listening\n"
            Thread(target=read, daemon=True).start()
            yield heard
        finally:
            process.kill()


def report(doctor: RunningDoctor, status: str) -> None:
    event = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "type": "compute.host.down",
        "details": {"hostname": "compute-1", "status": status},
    }
    ask(doctor, "POST", "/v1/events", event)


def ask(doctor: RunningDoctor, method: str, path: str, body: Any) -> None:
    answer = urllib3.request(
        method, doctor.url + path, body=json.dumps(body).encode(), headers=doctor.headers, timeout=20
    )
    assert answer.status < 300, answer.data


def alarms(heard: "Queue[dict[str, Any]]", event_type: str, count: int) -> list[dict[str, Any]]:
    """Return the next messages of a kind."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        one = heard.get(timeout=30)
        if one["event_type"] == event_type:
            found.append(one)
    return found


@contextmanager
def speaking(folder: Path, url: str, exchange: str) -> Iterator[RunningDoctor]:
    """Run a Doctor that speaks on an exchange of the bus at this address."""
    file = folder / "bus.url"
    file.write_text(url)
    channel = {
        "driver": "oslo",
        "url_file": str(file),
        "exchange": exchange,
        "topic": f"{exchange}-topic",
        "publisher_id": "doctor.test",
        "timeout": 2,
    }
    with RunningDoctor(folder, channels=[channel]) as doctor:
        ask(doctor, "PUT", "/v1/resource-map", MAP)
        yield doctor


@pytest.fixture
def exchange() -> Iterator[str]:
    """Return the name of an exchange that is this test's alone, and is gone afterwards."""
    name = f"doctor-test-{uuid4().hex[:8]}"
    yield name
    asyncio.run(remove(name))


async def remove(exchange: str) -> None:
    async with await aio_pika.connect(BUS_URL) as connection:
        channel = await connection.channel()
        for name in (f"{exchange}-topic.info", f"{exchange}-topic"):
            await channel.queue_delete(name)
        await channel.exchange_delete(exchange)


@pytest.mark.requirement("B13")
def test_what_doctor_tells_is_heard_on_the_bus(tmp_path: Path, exchange: str) -> None:
    """Each alarm is a notification of oslo.messaging, with its owner; the end of it too."""
    with listening(exchange) as heard, speaking(tmp_path, BUS_URL, exchange) as doctor:
        report(doctor, "down")
        told = alarms(heard, "doctor.fault", 61)
        assert {one["publisher_id"] for one in told} == {"doctor.test"}
        assert len({one["message_id"] for one in told}) == 61
        host, *machines = sorted((one["payload"] for one in told), key=lambda one: str(one["resource_id"]))
        assert (host["resource_id"], host["resource_state"]) == ("compute-1", "down")
        owners = {one["resource_id"]: one["tenant_id"] for one in machines}
        assert owners == {one["id"]: one["owner"] for one in MAP["virtual_resources"]}
        assert {(one["resource_state"], one["host"]) for one in machines} == {("error", "compute-1")}
        time.sleep(1)
        report(doctor, "up")
        cleared = alarms(heard, "doctor.fault_cleared", 61)
        assert {one["payload"]["alarm_id"] for one in cleared} == {one["payload"]["alarm_id"] for one in told}


def test_a_bus_that_is_away_misses_nothing_and_holds_up_nobody(tmp_path: Path, exchange: str) -> None:
    """[F25] It is an alarm while it lasts, and afterwards everything comes."""
    port = free_port()
    with listening(exchange) as heard, speaking(tmp_path, through(port), exchange) as doctor:
        begun = time.monotonic()
        report(doctor, "down")
        time.sleep(1)
        report(doctor, "up")
        assert time.monotonic() - begun < 3
        wait_for(doctor, "consumer unreachable")
        with Relay(port, BUS):
            raised = alarms(heard, "doctor.fault", 61)
            cleared = alarms(heard, "doctor.fault_cleared", 61)
        assert {one["payload"]["fault_type"] for one in (*raised, *cleared)} == {"host down"}


def test_a_connection_that_breaks_is_made_anew(tmp_path: Path, exchange: str) -> None:
    """And nothing is heard twice."""
    port = free_port()
    with listening(exchange) as heard, Relay(port, BUS) as relay:
        with speaking(tmp_path, through(port), exchange) as doctor:
            report(doctor, "down")
            told = alarms(heard, "doctor.fault", 61)
            relay.cut()
            time.sleep(1)
            report(doctor, "up")
            cleared = alarms(heard, "doctor.fault_cleared", 61)
        messages = [one["message_id"] for one in (*told, *cleared)]
        assert len(set(messages)) == len(messages) == 122


def test_a_wrong_password_is_said_without_being_shown(tmp_path: Path, exchange: str) -> None:
    wrong = BUS_URL.replace(":testbed@", ":hush-hush@")
    with speaking(tmp_path, wrong, exchange) as doctor:
        report(doctor, "down")
        wait_for(doctor, "refuses the user or the password")
        assert "hush-hush" not in doctor.log.read_text()


def through(port: int) -> str:
    """Return the address of the bus by way of a relay."""
    return BUS_URL.replace(f"{BUS[0]}:{BUS[1]}", f"127.0.0.1:{port}")


def wait_for(doctor: RunningDoctor, words: str) -> None:
    """Wait until they are in the log."""
    deadline = time.monotonic() + 20
    while words not in doctor.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
