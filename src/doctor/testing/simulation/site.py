"""The machine hall of one run, drawn by chance: its hosts, what cuts them off and how that behaves, and within which limits."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from doctor.fencing.limits import Limits
from doctor.flows.scene import FencingRules
from doctor.model.fence_plan import FencePlan, Level, Rule, Step
from doctor.model.fencing import Cut
from doctor.model.recovery import RecoveryLimits
from doctor.ports.fence import Fence
from doctor.testing.fence import Mode
from doctor.testing.simulation.cloud import Moods, SimCloud
from doctor.testing.simulation.devices import Hall, SimFence
from doctor.testing.simulation.nfvi import Nfvi
from doctor.testing.simulation.plant import Plant
from doctor.testing.simulation.powered import Outfit
from doctor.testing.simulation.witnesses import PEERS, PING, STORAGE, Watcher, witnesses

PDU, PORTS, GRANTS = "pdu", "ports", "grants"
FEEDS = (0, 1)
WELL = (Mode.HONEST, Mode.HONEST, Mode.HONEST, Mode.SLOW, Mode.CONTRARY)
BROKEN = (Mode.STUCK, Mode.DEAF, Mode.LOCKED)

Chance = Callable[[str], random.Random]


@dataclass
class Site:
    """What there is. With ``deceives`` a device may lie, or be behind another machine with the name of the right one.

    ``odd`` are hosts whose devices are none of the usual ones.
    """

    nfvi: Nfvi
    plant: Plant
    cloud: SimCloud
    devices: dict[str, SimFence]
    plans: dict[str, FencePlan]
    watchers: dict[str, Watcher]
    limits: Limits
    deceives: bool
    odd: set[str] = field(default_factory=set)

    @property
    def outfit(self) -> Outfit:
        """Return what the settings of a Doctor here name."""
        devices: dict[str, Fence] = {**self.devices}
        rules = FencingRules(self.limits, witnesses(self.watchers))
        return Outfit(self.cloud, devices, self.plans, rules, RecoveryLimits())

    def devices_of(self, host: str) -> Iterator[tuple[SimFence, str]]:
        """Return the devices of a host, each with its plug."""
        for level in self.plans[host].levels:
            for step in level.steps:
                yield self.devices[step.device], step.plug

    def spoil(self, device: SimFence, rng: random.Random) -> None:
        """Let a device behave otherwise than before."""
        modes = (*WELL, *BROKEN, *((Mode.LYING,) * 8 if self.deceives else ()))
        device.mode = rng.choice(modes)

    def put_right(self, host: str) -> None:
        """Have the devices of a host repaired and wired as they should be."""
        for device, plug in self.devices_of(host):
            device.mode, device.is_fragile = Mode.HONEST, False
            feed = int(plug[-1]) if device.name == PDU else None
            device.wire(plug, host, host, feed)


def bmc_of(host: str) -> str:
    """Return the name of the BMC of a host."""
    return f"bmc-{host}"


def outlet(host: str, feed: int) -> str:
    """Return the plug of one of the two feeds of a host."""
    return f"{host}/{feed}"


def some_site(nfvi: Nfvi, hall: Hall, chance: Chance, on_told: Callable[[], None]) -> Site:
    """Draw what is around the hosts of an infrastructure."""
    rng = chance("hall")
    moods = Moods(
        refuses=rng.choice([0.0, 0.0, 0.1, 0.3]),
        loses_answers=rng.choice([0.0, 0.0, 0.2]),
        way=rng.choice([0.005, 0.05, 0.5]),
        move=rng.choice([0.5, 3.0, 10.0]),
    )
    cloud = SimCloud(nfvi, hall, chance("cloud"), moods, on_told)
    deceives = rng.random() < 0.35
    names = [PING, PEERS, *([STORAGE] if deceives or rng.random() < 0.6 else [])]
    site = Site(
        nfvi=nfvi,
        plant=hall.plant,
        cloud=cloud,
        devices=dict(_devices(nfvi, hall)),
        plans=_plans(nfvi, rng),
        watchers={name: Watcher(name) for name in names},
        limits=_limits(rng),
        deceives=deceives,
    )
    for host in nfvi.hosts:
        site.put_right(host)
    for device in site.devices.values():
        if rng.random() < 0.5:
            site.spoil(device, rng)
    if rng.random() < 0.4:
        one, other = rng.sample(nfvi.hosts, 2)
        # Two cables were mixed up; the one who did that has labelled what he saw, or what was planned.
        site.devices[bmc_of(one)].wire("", other, one if deceives else other)
        site.odd.add(one)
    if rng.random() < 0.4:
        one = rng.choice(nfvi.hosts)
        site.devices[bmc_of(one)].is_fragile = True
        site.odd.add(one)
    return site


def _devices(nfvi: Nfvi, hall: Hall) -> Iterator[tuple[str, SimFence]]:
    for host in nfvi.hosts:
        yield bmc_of(host), SimFence(bmc_of(host), hall)
    yield PDU, SimFence(PDU, hall, partial=True)
    yield PORTS, SimFence(PORTS, hall, Cut.NETWORK)
    yield GRANTS, SimFence(GRANTS, hall, Cut.STORAGE)


def _plans(nfvi: Nfvi, rng: random.Random) -> dict[str, FencePlan]:
    """Return how hosts are cut off: by the BMC, perhaps with the outlets beside it or behind it, or by what else they need."""
    has_pdu, has_ports, together = rng.random() < 0.7, rng.random() < 0.3, rng.random() < 0.2
    plans = {}
    for host in nfvi.hosts:
        bmc = Step(bmc_of(host), "", host)
        feeds = tuple(Step(PDU, outlet(host, feed), host) for feed in FEEDS)
        levels = [Level(Rule.ALL_OF, (bmc, *(feeds if has_pdu and together else ())))]
        if has_pdu and not together:
            levels.append(Level(Rule.ALL_OF, feeds))
        if has_ports:
            levels.append(Level(Rule.ALL_OF, (Step(PORTS, host, host), Step(GRANTS, host, host))))
        plans[host] = FencePlan(host, tuple(levels))
    return plans


def _limits(rng: random.Random) -> Limits:
    """Return limits that are as strict as those that ship, and of which the long ones are shorter."""
    return Limits(
        attempt=timedelta(seconds=rng.choice([3, 5])),
        confirm=timedelta(seconds=rng.choice([7, 10])),
        patience=timedelta(seconds=20),
        zone_share=0.3,
        zone_within=timedelta(seconds=rng.choice([20, 60])),
        site_every=timedelta(seconds=3),
        site_burst=rng.choice([1, 2]),
        at_once=rng.choice([1, 2]),
        storm_within=timedelta(seconds=4),
        storm_calm=timedelta(seconds=10),
        start_up=timedelta(seconds=rng.choice([0, 2, 8])),
        probation=timedelta(seconds=15),
        in_a_day=5,
        second_person=rng.random() < 0.5,
    )
