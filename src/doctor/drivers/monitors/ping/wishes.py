"""Which hosts are to be watched, where and how closely: the map and the settings put together."""

from collections.abc import Iterable
from datetime import timedelta
from fnmatch import fnmatchcase

import msgspec

from doctor.drivers.monitors.ping.judging import Rule
from doctor.drivers.monitors.ping.settings import CanarySettings, HostSettings, PingSettings
from doctor.model.resource import PhysicalResource

NOTHING_SPECIAL = HostSettings()
SHORTEST_TIMEOUT = 0.01
TCP_INTERVAL = timedelta(seconds=1)  # of a canary: services do not like ten connections a second
LONGEST_TIMEOUT = 1.0


class Wish(msgspec.Struct, frozen=True):
    """How one host is to be watched; the addresses are as written, some may be names."""

    rule: Rule
    addresses: tuple[str, ...]


def wishes(hosts: Iterable[PhysicalResource], settings: PingSettings) -> dict[str, Wish]:
    """Return the hosts to be watched. One without any address cannot be."""
    wanted: dict[str, Wish] = {}
    for host in hosts:
        special = settings.hosts.get(host.id, NOTHING_SPECIAL)
        addresses = special.address or host.address
        if addresses and special.enabled and is_chosen(host.id, settings.only):
            wanted[host.id] = Wish(rule_for(special, settings), tuple(dict.fromkeys(addresses)))
    return wanted


def canaries(settings: PingSettings) -> dict[str, tuple[int | None, Wish]]:
    """Return how the canaries are to be watched, by name, each with its port if it is asked by TCP."""
    return {
        canary.name: (canary.port, Wish(_rule_for_canary(canary, settings), canary.address))
        for canary in settings.canaries
    }


def _rule_for_canary(canary: CanarySettings, settings: PingSettings) -> Rule:
    usual = settings.interval if canary.port is None else max(settings.interval, TCP_INTERVAL)
    special = HostSettings(interval=canary.interval or usual, timeout=canary.timeout, misses=canary.misses)
    return rule_for(special, settings)


def is_chosen(host_id: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a pattern fits the host; without patterns all are chosen."""
    return not patterns or any(fnmatchcase(host_id, pattern) for pattern in patterns)


def rule_for(special: HostSettings, settings: PingSettings) -> Rule:
    """Return the rule of a host: what is special about it, and what goes for all."""
    interval = (special.interval or settings.interval).total_seconds()
    return Rule(
        interval=interval,
        timeout=timeout_for(interval, special.timeout or settings.timeout),
        misses=special.misses or settings.misses,
        recover=settings.recover,
        start_grace=settings.start_grace.total_seconds(),
    )


def timeout_for(interval: float, timeout: timedelta | None) -> float:
    """Return the seconds that a probe is waited for."""
    if timeout is not None:
        return timeout.total_seconds()
    return min(max(interval / 4, SHORTEST_TIMEOUT), LONGEST_TIMEOUT)
