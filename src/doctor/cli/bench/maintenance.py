"""Maintenance of a whole site: how long 1,000 hosts with 20,000 machines take to plan, and what that costs those who are told
of a fault meanwhile.

One Doctor, one host with 100 machines of 10 owners that fails and returns: by itself, while plans are made one after the
other, and while machines leave hosts of a session. The first figure is the floor of the others.
"""

import threading
import time
from typing import Any

from doctor.cli.bench import events
from doctor.cli.bench.percentiles import spread
from doctor.cli.bench.processes import Doctor, Helper
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import Stage, hosts_and_machines, put_map, subscribe
from doctor.cli.bench.storm import Played, Scene, play
from doctor.client import Client

ABOUT = "planning 1,000 hosts with 20,000 machines, and telling of another host meanwhile"
SECONDS = 60
MACHINES = 20
AT_ONCE = 50
SCENE = Scene("host", "host with 100 machines of 10 owners", 1, 100, 10, None, events.HOST_DOWN)
OTHERS = [f"tenant-{number}" for number in range(50)]
LEVEL = 2


def measure(stage: Stage) -> Measured:
    """Plan, then empty hosts, and play the same failure in all three states."""
    hosts = stage.choose(1_000, 20)
    owners = [f"owner-{number}" for number in range(SCENE.owners)]
    with stage.receiver(SCENE.owners) as receiver, stage.doctor() as doctor:
        put_map(doctor, _resources(owners, hosts))
        subscribe(doctor, owners, receiver.started["ports"])
        _agree(doctor)
        stage.tell("  nothing else to do")
        alone = play(stage, SCENE, doctor, receiver)
        stage.tell(f"  {hosts:,} hosts planned")
        request = _request(hosts, min(AT_ONCE, hosts // 4))
        beside, planned = _beside_plans(stage, doctor, receiver, request)
        stage.tell("  hosts being emptied")
        with doctor.client() as admin:
            began = time.perf_counter()
            made = admin.post("/v1/physical-resources/state", request)
            asked = time.perf_counter() - began
            emptying = play(stage, SCENE, doctor, receiver)
            moved = admin.get(f"/v1/maintenance/{made['session_id']}")
    rounds = [one for played in (alone, beside, emptying) for one in (*played.down, *played.up)]
    under_way = sum(one["stage"] != "waiting" for one in moved["hosts"])
    return Measured(
        figures=[
            Figure(
                name="maintenance.plan",
                title=f"{hosts:,} hosts with {hosts * MACHINES:,} machines, planned",
                value=round(min(one["seconds"] for one in planned), 3),
                unit="s",
            ),
            Figure(
                name="maintenance.asked",
                title=f"{hosts:,} hosts, the request answered",
                value=round(asked, 3),
                unit="s",
            ),
            *_told("planning", "while plans are made", beside, alone),
            *_told("emptying", "while hosts are emptied", emptying, alone),
        ],
        counts={
            "owners told": (len(rounds) * SCENE.owners, sum(one.told for one in rounds)),
            "hosts planned": (hosts * len(planned), sum(one["hosts"] for one in planned)),
            "hosts under way": (request["at_once"], under_way),
        },
        rounds={
            "alone": alone.as_json(),
            "planning": beside.as_json(),
            "emptying": emptying.as_json(),
            "plans": planned,
        },
    )


def _told(name: str, title: str, played: Played, alone: Played) -> list[Figure]:
    now, before = (spread((one.last for one in each.down), unit=1e6) for each in (played, alone))
    return [
        Figure(
            name=f"maintenance.{name}.{part}",
            title=f"{SCENE.title}, {title}: all told, {words}",
            value=getattr(now, part),
            unit="ms",
            floor=getattr(before, part),
        )
        for part, words in (("p50", "median"), ("max", "worst"))
    ]


def _resources(owners: list[str], hosts: int) -> dict[str, Any]:
    """Return the site: the host that fails, and those that are to be emptied, with their sizes."""
    document = hosts_and_machines(1, SCENE.machines, owners)
    document["physical_resources"] += [
        {"id": f"node-{host}", "zone_id": "az1", "metadata": {"vcpus": 32, "memory_mb": 65536}}
        for host in range(hosts)
    ]
    document["virtual_resources"] += [
        {
            "id": f"node-{host}-machine-{machine}",
            "host": f"node-{host}",
            "owner": OTHERS[(host * MACHINES + machine) % len(OTHERS)],
            "vcpus": 1,
            "memory_mb": 2048,
            "sal": LEVEL,
        }
        for host in range(hosts)
        for machine in range(MACHINES)
    ]
    return document


def _agree(doctor: Doctor) -> None:
    """Let the owners of the others say beforehand that their machines may leave."""
    with doctor.client() as admin:
        for owner in OTHERS:
            admin.put(f"/v1/maintenance-policies/sal:{LEVEL}?project={owner}", {"action": "live_migrate"})


def _request(hosts: int, at_once: int) -> dict[str, Any]:
    wanted = [
        {"physical_resource_id": f"node-{host}", "physical_resource_state": "maintenance"}
        for host in range(hosts)
    ]
    return {"physical_resource_state": wanted, "at_once": at_once, "timeout": "PT1H", "reason": "bench"}


def _beside_plans(
    stage: Stage, doctor: Doctor, receiver: Helper, request: dict[str, Any]
) -> tuple[Played, list[dict[str, Any]]]:
    """Play while somebody else makes one plan after the other; also return what those came to."""
    planned: list[dict[str, Any]] = []
    is_over = threading.Event()

    def make_plans(client: Client) -> None:
        while not (planned and is_over.is_set()):
            began = time.perf_counter()
            found = client.post("/v1/maintenance/plan", request)
            planned.append({"seconds": time.perf_counter() - began, "hosts": len(found["hosts"])})

    with doctor.client() as admin:
        planner = threading.Thread(target=make_plans, args=(admin,))
        planner.start()
        try:
            played = play(stage, SCENE, doctor, receiver)
        finally:
            is_over.set()
            planner.join()
    return played, planned
