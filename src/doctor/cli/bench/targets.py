"""What the figures should reach on an ordinary machine with two cores."""

import msgspec


class Target(msgspec.Struct, frozen=True):
    """A limit, and how many times the floor of the same run it may be at most."""

    limit: float
    times_floor: float | None = None


TARGETS: dict[str, Target] = {
    "single.per_core": Target(20_000),
    "single.durable": Target(10_000),
    "single.p99": Target(20),
    "bulk.per_core": Target(300_000),
    "latency.1000.p50": Target(3, times_floor=2),
    "latency.1000.p99": Target(10, times_floor=2),
    "latency.5000.p50": Target(3.5),
    "latency.5000.p99": Target(15),
    "storm.switch.last_p50": Target(20),
    "storm.switch.last_p99": Target(50),
    "growth.faults.told": Target(20, times_floor=2),
    "growth.faults.asked": Target(20, times_floor=2),
    "growth.subscriptions.told": Target(20, times_floor=2),
    "growth.subscriptions.asked": Target(20, times_floor=2),
    "maintenance.plan": Target(5),
    "maintenance.asked": Target(5),
    "maintenance.planning.p50": Target(50),
    "maintenance.planning.max": Target(250),
    "maintenance.emptying.p50": Target(20, times_floor=2),
    "maintenance.emptying.max": Target(250),
    "map.bytes_per_machine": Target(1100),
    "map.load": Target(15),
    "map.gc_pause": Target(5),
    "map.host": Target(15),
    "map.switch_4000": Target(400),
    "start.first": Target(0.6),
    "start.again": Target(0.6),
    "start.memory": Target(70),
}
