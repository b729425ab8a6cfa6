"""Who watches the hosts, each from his own vantage: by what he sees, and on bad days by what he believes to see.

A witness reports what has changed and repeats it now and then, and insists until it is accepted, as any monitor. The
gossip reports too, but nobody has named it a witness: its word is a hint.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from doctor.fencing.evidence import Witness
from doctor.model.fencing import Vantage
from doctor.testing.simulation.plant import Iron
from doctor.testing.simulation.second import Said

HOST_DOWN = "compute.host.down"
PING, PEERS, STORAGE, GOSSIP = "ping", "peers", "storage", "gossip"
VANTAGES = {PING: Vantage.IN_BAND, PEERS: Vantage.PEER, STORAGE: Vantage.STORAGE}
EVERY = 1.0  # seconds between two looks: the heartbeat of the hosts
MISSES = 2
REPEATS_EVERY = 10.0


def witnesses(names: Iterable[str]) -> dict[str, Witness]:
    """Return them as the settings name them."""
    return {name: Witness(VANTAGES[name], fresh_for=None) for name in names}


@dataclass
class Watcher:
    """One witness. ``slanders`` are hosts that it takes for dead whatever is true; ``is_blind``: it sees nobody."""

    name: str
    slanders: set[str] = field(default_factory=set)
    is_blind: bool = False
    missed: dict[str, int] = field(default_factory=dict)
    said: dict[str, bool] = field(default_factory=dict)
    repeated: dict[str, float] = field(default_factory=dict)
    number: int = 0

    def sees(self, host: Iron) -> bool:
        """Tell whether it believes that a host lives."""
        if self.is_blind or host.name in self.slanders:
            return False
        reached = host.storage and host.grant if self.name == STORAGE else host.is_on_network
        return host.runs and reached

    def look(self, hosts: Iterable[Iron], now: float) -> list[Said]:
        """Look once; return what is to be reported."""
        news = []
        for host in hosts:
            is_seen = self.sees(host)
            self.missed[host.name] = 0 if is_seen else self.missed.get(host.name, 0) + 1
            if not is_seen and self.missed[host.name] < MISSES:
                continue
            is_due = now - self.repeated.get(host.name, -REPEATS_EVERY) >= REPEATS_EVERY
            if self.said.get(host.name) is not is_seen or (is_due and not is_seen):
                self.said[host.name] = is_seen
                self.repeated[host.name] = now
                self.number += 1
                news.append(
                    Said(HOST_DOWN, host.name, "up" if is_seen else "down", f"{self.name}/{self.number}")
                )
        return news
