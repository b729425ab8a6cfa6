"""A process that does one thing with a big resource map, so that its memory shows what the map costs.

`python -m doctor.cli.bench.map_process made HOSTS`, `written HOSTS FILE` or `loaded FILE`.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from sys import intern
from typing import Any
from uuid import UUID

import msgspec

from doctor.api.wire.resource_map import ResourceMapIn, resource_map_of
from doctor.cli.bench.machine import peak_bytes, resident_bytes
from doctor.cli.bench.orders import tell
from doctor.flows.policy import PolicyFlow
from doctor.flows.resource_map import settle_memory
from doctor.inspector import impact
from doctor.inspector.catalogue import default_catalogue
from doctor.kit.clock import SystemClock
from doctor.model.fault import ResourceState, Severity
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap

MACHINES = 100  # on each host
OWNERS = 500
SWITCHES = {"tor-4000": 40, "tor-12000": 120}  # with so many of the first hosts
DOWN = impact.Effect(ResourceState.DOWN, Severity.CRITICAL)


def host_name(number: int) -> str:
    """Return the name of a host, as long as such names are."""
    return f"compute-{number:05d}.dc1.example.net"


def machine(host: int, number: int) -> dict[str, Any]:
    """Return a machine with what Nova and an operator say of it."""
    serial = host * MACHINES + number
    owner = serial % OWNERS
    return {
        "id": str(UUID(int=0x5EED << 96 | 4 << 76 | 8 << 60 | serial)),
        "host": host_name(host),
        "owner": f"{owner:032x}",
        "group": f"vnf-{owner}-{serial // OWNERS % 20}",
        "role": "STBY" if serial % 2 else "ACT",
        "sal": serial % 3 + 1,
    }


def physical(hosts: int) -> Iterator[dict[str, Any]]:
    """Return the hosts and the switches."""
    for number in range(hosts):
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        yield {"id": host_name(number), "type": "host", "zone_id": f"az{number % 3}", "address": address}
    for switch in SWITCHES:
        yield {"id": switch, "type": "switch", "zone_id": "az0"}


def relations(hosts: int) -> Iterator[dict[str, Any]]:
    """Return which hosts hang on which switch; none on two, so that each loses all its ways."""
    first = 0
    for switch, count in SWITCHES.items():
        for number in range(first, min(first + count, hosts)):
            yield {"from": switch, "kind": "connects", "to": host_name(number)}
        first += count


def _interned(one: dict[str, Any]) -> dict[str, Any]:
    return {key: intern(value) if key in _SHARED else value for key, value in one.items()}


def made(hosts: int) -> dict[str, Any]:
    """Make the map from objects."""
    before = resident_bytes()
    start = time.perf_counter()
    resources = ResourceMap(
        (
            PhysicalResource(**{**one, "address": (one.get("address", ""),), "type": intern(one["type"])})
            for one in physical(hosts)
        ),
        (
            VirtualResource(**_interned(one))
            for host in range(hosts)
            for one in (machine(host, number) for number in range(MACHINES))
        ),
        (Relation(one["from"], one["kind"], one["to"]) for one in relations(hosts)),
    )
    took = time.perf_counter() - start
    gc.collect()
    return {
        "machines": len(resources.virtual),
        "bytes": round((resident_bytes() - before) / len(resources.virtual)),
        "index_s": round(took, 2),
    }


_SHARED = {"host", "owner", "group", "role"}


def written(hosts: int, file: Path) -> dict[str, Any]:
    """Write the document, piece by piece."""
    encode = msgspec.json.encode
    with file.open("wb") as out:
        for name, items in (
            ("physical_resources", physical(hosts)),
            (
                "virtual_resources",
                (machine(host, number) for host in range(hosts) for number in range(MACHINES)),
            ),
            ("relations", relations(hosts)),
        ):
            out.write(b'%b"%b":[' % (b"{" if name == "physical_resources" else b",", name.encode()))
            for index, item in enumerate(items):
                out.write((b",\n" if index else b"") + encode(item))
            out.write(b"]")
        out.write(b"}")
    return {"bytes": file.stat().st_size}


def loaded(file: Path) -> dict[str, Any]:
    """Load the document as Doctor does, look around in the map, and time it."""
    rules = PolicyFlow(default_catalogue(), SystemClock()).default().propagation
    before = resident_bytes()
    resources, decode_s, index_s = _load(file)
    settle_memory()
    after = resident_bytes()
    start = time.perf_counter()
    gc.collect()
    pause = time.perf_counter() - start

    def affected(name: str, kind: str) -> int:
        return len(impact.effects(name, kind, DOWN, resources, rules, lambda _: False))

    host = host_name(0)
    switches = {name: min(count * MACHINES, len(resources.virtual)) for name, count in SWITCHES.items()}
    reached = {name: len(list(resources.dependents(name))) for name in SWITCHES}
    found = [affected(host, "host") - 1]
    found += [affected(name, "switch") - 1 - reached[name] for name in SWITCHES]
    return {
        "machines": len(resources.virtual),
        "bytes": round((after - before) / len(resources.virtual)),
        "peak_bytes": round((peak_bytes() - before) / len(resources.virtual)),
        "document_bytes": file.stat().st_size,
        "decode_s": decode_s,
        "index_s": index_s,
        "gc_pause_ms": round(1000 * pause, 3),
        "listed_us": _best_us(lambda: list(resources.machines_on(host)), 1000),
        "host_us": _best_us(partial(affected, host, "host"), 200),
        "switch_us": {name: _best_us(partial(affected, name, "switch"), 5) for name in SWITCHES},
        "to_find": MACHINES + sum(min(reached[name] * MACHINES, wanted) for name, wanted in switches.items()),
        "found": sum(found),
    }


def _load(file: Path) -> tuple[ResourceMap, float, float]:
    body = file.read_bytes()
    start = time.perf_counter()
    document = msgspec.json.decode(body, type=ResourceMapIn)
    decoded = time.perf_counter()
    resources = resource_map_of(document, version=1)
    return resources, round(decoded - start, 2), round(time.perf_counter() - decoded, 2)


def _best_us(call: Callable[[], object], times: int) -> float:
    """Return the least that one call takes on average, of several series."""
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, time.perf_counter() - start)
    return round(1e6 * best / times, 3)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "made":
        tell(made(int(words[0])))
    elif what == "written":
        tell(written(int(words[0]), Path(words[1])))
    else:
        tell(loaded(Path(words[0])))
