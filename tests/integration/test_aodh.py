"""A Consumer of Aodh at a running Doctor: it changes nothing but where it subscribes."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import urllib3

from doctor.testing.running import RunningDoctor
from tests.integration.receiver import receiving

MAP = {
    "physical_resources": [{"id": "compute-1"}],
    "virtual_resources": [
        {"id": "vm-red-1", "host": "compute-1", "owner": "red"},
        {"id": "vm-red-2", "host": "compute-1", "owner": "red"},
        {"id": "vm-blue", "host": "compute-1", "owner": "blue"},
    ],
}


@contextmanager
def failure_door() -> Iterator[tuple[str, "Queue[dict[str, Any]]"]]:
    """Serve `POST /failure` as the sample consumer of OPNFV does, and hand over what came."""
    came: Queue[dict[str, Any]] = Queue()

    with receiving(lambda path, alarm: came.put(alarm)) as address:
        yield f"{address}/failure", came


@pytest.mark.requirement("C1", "F2")
def test_a_consumer_of_aodh_hears_of_its_own_machines(tmp_path: Path) -> None:
    """One alarm each, of none but its own; with ``clear: false`` nothing when the host is back."""
    with failure_door() as (url, came), RunningDoctor(tmp_path) as doctor:

        def ask(method: str, path: str, body: Any, token: str = "") -> Any:
            headers = {**doctor.headers, **({"Authorization": f"Bearer {token}"} if token else {})}
            data = json.dumps(body).encode()
            answer = urllib3.request(method, doctor.url + path, body=data, headers=headers, timeout=20)
            assert answer.status < 300, answer.data
            return json.loads(answer.data)

        def report(status: str, second: int) -> None:
            details = {"hostname": "compute-1", "status": status}
            event = {"time": f"2026-03-04T05:06:0{second}Z", "type": "compute.host.down", "details": details}
            ask("POST", "/v1/events", event)

        ask("PUT", "/v1/resource-map", MAP)
        token = ask("POST", "/v1/tokens", {"role": "consumer", "project": "red"})["token"]
        wish = {"endpoints": [{"url": url, "format": "aodh"}], "policy": {"clear": False}}
        ask("POST", "/v1/subscriptions", wish, token)
        report("down", 1)
        told = [came.get(timeout=10) for _ in range(2)]
        traits = [{name: value for name, _, value in one["reason_data"]["event"]["traits"]} for one in told]
        assert {one["instance_id"] for one in traits} == {"vm-red-1", "vm-red-2"}
        assert {one["state"] for one in traits} == {"error"}
        assert {one["current"] for one in told} == {"alarm"}
        assert {one["reason_data"]["event"]["event_type"] for one in told} == {"compute.instance.update"}
        report("up", 2)
        report("down", 3)
        again = [came.get(timeout=10) for _ in range(2)]
        assert {(one["previous"], one["current"]) for one in again} == {("ok", "alarm")}
        time.sleep(0.2)
        assert came.empty()
