"""One run with power: beside the bad week of `world` hosts freeze, die and are cut off, and Doctor isolates and recovers.

Witnesses see hosts from their vantages, or believe to; BMCs do what they like; the Administrator arms zones, pulls the hold
switch, vouches for hosts and has them given back; owners instruct, or have said beforehand what is to be done. Doctor
also pauses, for longer than a deadline perhaps. In the end everything is mended, and every host comes back.
"""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec

from doctor.flows.instruction import Order
from doctor.flows.overlay import Content
from doctor.flows.situation import Situation
from doctor.model.errors import RejectedError
from doctor.model.fence_job import FenceJob, FenceState, ZoneMode
from doctor.model.fencing import Cut
from doctor.model.identity import Identity, Role
from doctor.model.instruction import Action
from doctor.model.recovery import Handler, RecoveryPolicy, RecoveryStep
from doctor.model.resource import PhysicalResource, Relation
from doctor.model.scope import Scope, ScopeKind
from doctor.ports.store import Change
from doctor.testing.simulation import oracles
from doctor.testing.simulation.deeds import Deeds, Kept
from doctor.testing.simulation.devices import Hall
from doctor.testing.simulation.loop import SimLoop, StuckError
from doctor.testing.simulation.nfvi import OWNERS, Nfvi, hall_nfvi, owner_of
from doctor.testing.simulation.plant import Plant
from doctor.testing.simulation.powered import PoweredDoctor
from doctor.testing.simulation.process import Doctor, Work
from doctor.testing.simulation.second import Said
from doctor.testing.simulation.site import FEEDS, some_site
from doctor.testing.simulation.witnesses import EVERY, GOSSIP, HOST_DOWN, PEERS, PING, Watcher
from doctor.testing.simulation.world import Changing, World

SHARE = 0.25  # of the seeds that have power
TO_MEND = 400.0
UNDER_WAY = frozenset(
    (FenceState.AUTHORISED, FenceState.ATTEMPT, FenceState.CONFIRMING, FenceState.UNFENCING)
)
AT_REST = frozenset((FenceState.CANCELLED, FenceState.OBSERVED, FenceState.NORMAL))
ADMIN = "alice"


def has_power(seed: int) -> bool:
    """Tell whether the world of a seed has power."""
    return random.Random(f"{seed}/power").random() < SHARE


@dataclass
class Logbook:
    """What the people of the hall remember."""

    asked: dict[str, int] = field(default_factory=dict)  # instructions, by the tick at which it was answered
    crashes_in_isolation: int = 0
    pauses: int = 0


class PoweredWorld(World):
    """Everything around Doctor, the machine hall too, and Doctor."""

    def __init__(self, seed: int, loop: SimLoop) -> None:
        super().__init__(seed, loop)
        rng = self.chance("bad days of the hall")
        self.length = rng.choice([40.0, 70.0, 110.0])
        self.crash_every = rng.choice([0.0, 12.0, 25.0, 60.0])
        self.crash_in_step = rng.choice([0.0, 0.005, 0.02])
        self.paces = [3.0, 8.0]
        self.is_stormy = False
        self.mishap_every = rng.choice([6.0, 12.0, 20.0])
        self.pause_every = rng.choice([0.0, 15.0, 40.0])
        self.arms = rng.random() < 0.9
        self.gossips = rng.random() < 0.2
        self.nfvi = hall_nfvi(self.chance("nfvi"))
        self.deeds = Deeds()
        self.logbook = Logbook()
        plant = Plant(self.nfvi.hosts, loop, self.trace, self.deeds)
        hall = Hall(plant, self.chance("devices"), loop, self.clock, self.trace, self.deeds, self.may_crash)
        self.site = some_site(self.nfvi, hall, self.chance, self.may_crash)
        slanders = not self.site.deceives and rng.random() < 0.6
        self.slanderer = rng.choice(list(self.site.watchers)) if slanders else None
        self.plant, self.cloud = self.site.plant, self.site.cloud
        self.cloud.on_moved = self._note_machines
        self.store.on_kept = self._note_kept

    # --- what the judges know ---

    def _note_kept(self, tick: int, change: Change) -> None:
        self.deeds.note(Kept(tick, self.loop.time(), change))

    def _note_machines(self) -> None:
        """Write down where the machines are; Doctor hears of it, and may go back to an older map when it starts."""
        here = self.cloud.machines
        if self.books.maps and here != self.books.maps[-1].value.machines:
            self.books.maps.append(Changing(replace(self.nfvi, machines=here), self.trace.tick))

    @property
    def machines(self) -> dict[str, str]:
        """Return all machines with their hosts, as the cloud has them."""
        return self.cloud.machines

    def maps_between(self, start: int, end: int) -> list[Nfvi]:
        """Return a map with the machines that never moved until then: of the others Doctor may know the one or the other."""
        stayed = dict(self.nfvi.machines)
        for changed in self.books.maps:
            if changed.begun <= end:
                there = changed.value.machines
                stayed = {one: host for one, host in stayed.items() if there.get(one) == host}
        return [replace(self.nfvi, machines=stayed)]

    @property
    def maps_kept(self) -> list[tuple[int, list[str]]]:
        """Return nothing: the cloud keeps the map, and nothing is reported of machines here."""
        return []

    def wrong_settings(self, situation: Situation) -> Iterable[str]:
        """Say which settings in force are not those that are kept."""
        return oracles.policy_in_force(situation, self.store)

    def jobs(self) -> dict[str, FenceJob]:
        """Return the jobs that are kept, by host."""
        return self.store._fence_jobs

    def crash(self) -> None:
        """Let Doctor die at once."""
        if self.doctors[-1].process.is_alive and any(job.state in UNDER_WAY for job in self.jobs().values()):
            self.logbook.crashes_in_isolation += 1
        super().crash()

    # --- the story ---

    def make_doctor(self, name: str) -> Doctor:
        """Make another process of Doctor."""
        return PoweredDoctor(name, self.loop, self.store, self.channel, self.clock, self.site.outfit)

    async def set_up(self) -> None:
        """Let Doctor have the policy, and what the cloud does not know; the rest of the map comes from there."""
        self.books.maps.append(Changing(self.nfvi, self.trace.note("cloud", "is there")))
        await self.apply_policy("warning")
        content = Content(
            physical=(
                *(PhysicalResource(id=rack, type="rack") for rack in self.nfvi.racks),
                *(PhysicalResource(id=switch, type="switch") for switch in self.nfvi.switches),
            ),
            relations=tuple(
                Relation(supplier, kind, host)
                for kind, groups in (("contains", self.nfvi.racks), ("connects", self.nfvi.switches))
                for supplier, hosts in groups.items()
                for host in hosts
            ),
        )
        await self.insist(ADMIN, "overlay", lambda doctor: _powered(doctor).overlay.put(content, user=ADMIN))
        # What is said of hosts that Doctor has never heard of is not about hosts to him.
        while not self.store.maps:  # noqa: ASYNC110 - that the map is kept is no event: a crash may undo it
            await asyncio.sleep(0.1)

    def cast(self) -> "list[asyncio.Task[None]]":
        """Let everybody begin who has a part in the bad week."""
        rng = self.chance("cast")
        actors = [self._act(f"monitor-{number}", self.monitor) for number in range(rng.randint(0, 1))]
        actors += [self._act(f"vnfm-{number}", self.consumer) for number in range(rng.randint(0, 1))]
        actors.append(asyncio.create_task(self.consumer("vnfm-loyal", stays=True)))
        actors.append(asyncio.create_task(self.policies()))
        actors += [self._act(f"owner-{owner}", self.owner) for owner in OWNERS]
        actors.append(asyncio.create_task(self.administrator()))
        if self.gossips:
            actors.append(asyncio.create_task(self.gossip()))
        for watcher in self.site.watchers.values():
            self._background(self.watch(watcher))
        self._background(self.mishaps())
        self._background(self.pauses())
        return actors

    def subjects(self) -> list[tuple[str, str]]:
        """Return what breaks beside the hosts, by a report and no more than that."""
        found = [(host, "compute.disk.crash") for host in self.nfvi.hosts]
        found += [(host, "compute.memory.failure") for host in self.nfvi.hosts[:1]]
        found += [(switch, "network.switch.down") for switch in list(self.nfvi.switches)[:1]]
        return found + [(rack, "compute.power.failure") for rack in list(self.nfvi.racks)[:1]]

    async def policies(self) -> None:
        """Apply another policy now and then."""
        rng = self.chance("operator")
        while not self.is_calm:
            await asyncio.sleep(rng.expovariate(1 / 30.0))
            await self.apply_policy(rng.choice(["warning", "major", "minor"]))

    async def _settle_settings(self) -> None:
        """Have nothing to ask for once more."""

    # --- what happens in the hall ---

    async def watch(self, watcher: Watcher) -> None:
        """Look at all hosts again and again, and report."""
        rng = self.chance(watcher.name)
        hosts = list(self.plant.hosts.values())
        while True:
            await asyncio.sleep(EVERY * rng.uniform(0.8, 1.0))
            news = watcher.look(hosts, self.loop.time())
            if news:
                await self.push(watcher.name, *news, reporter=watcher.name)

    async def gossip(self) -> None:
        """Say of hosts what nobody has seen, in the name of those who would see it."""
        rng = self.chance(GOSSIP)
        number = 0
        while not self.is_calm:
            await asyncio.sleep(rng.expovariate(1 / 12.0))
            host, status = rng.choice(self.nfvi.hosts), rng.choice(["down", "up"])
            for name in self.site.watchers:
                number += 1
                said = Said(HOST_DOWN, host, status, f"{GOSSIP}/{number}")
                await self.push(GOSSIP, said, reporter=GOSSIP, source=name)

    async def mishaps(self) -> None:
        """Let hosts, devices and witnesses have their bad days."""
        rng = self.chance("mishaps")
        await asyncio.sleep(rng.uniform(1.0, 8.0))
        while not self.is_calm:
            self._mishap(rng)
            await asyncio.sleep(rng.expovariate(1 / self.mishap_every))

    def _mishap(self, rng: random.Random) -> None:
        odd = sorted(self.site.odd)
        host = rng.choice(odd if odd and rng.random() < 0.3 else self.nfvi.hosts)
        sick = [one for one in self.plant.hosts.values() if not one.is_well]
        may_fail = len(sick) < len(self.nfvi.hosts) // 3
        weights = {
            "freezes": 5 * may_fail,
            "dies": 3 * may_fail,
            "loses its network": 3 * may_fail,
            "loses power": 2 * may_fail,
            "rack": 1 * may_fail,
            "device": 3,
            "blind": 1,
            "dark": 1,
            "far": 5 * (may_fail and len(self.zones) > 1 and not self.site.deceives),
            "slander": 3 if self.slanderer else 0,
        }
        what = rng.choices(list(weights), list(weights.values()))[0]
        match what:
            case "freezes":
                self._freeze(host, rng)
            case "dies":
                self.plant.kill(host)
            case "loses its network":
                self.plant.attach(host, network=False)
                self.loop.outside(rng.choice([2.0, 10.0, 40.0, 300.0]), self._reattach, host)
            case "loses power":
                self.plant.switch(host, Cut.POWER, False)
            case "rack":
                for one in rng.choice(list(self.nfvi.racks.values())):
                    self._freeze(one, rng)
            case "device":
                self.site.spoil(rng.choice(list(self.site.devices.values())), rng)
            case "blind":
                self._blind(rng.choice([3.0, 15.0]), rng.choice(list(self.site.watchers)))
            case "dark":
                self._blind(rng.choice([3.0, 15.0]), PING, PEERS)
            case "far":
                self._lose_sight(rng)
            case _:
                assert self.slanderer is not None
                self._slander(self.site.watchers[self.slanderer], {host}, rng.choice([5.0, 30.0]))

    def _freeze(self, host: str, rng: random.Random) -> None:
        self.plant.freeze(host)
        seconds = rng.choice([1.0, 3.0, 6.0, 20.0, 60.0, 0.0])
        if seconds:
            self.loop.outside(seconds * rng.uniform(0.7, 1.3), self.plant.thaw, host)

    def _lose_sight(self, rng: random.Random) -> None:
        """Let a witness see one zone only, the smallest one; and one of the hosts there freeze when all is calm again."""
        here = self.zones[-1]
        watcher = self.site.watchers[rng.choice(list(self.site.watchers))]
        self._slander(watcher, {one for one, zone in self.nfvi.zones.items() if zone != here}, 35.0)
        host = rng.choice([one for one, zone in self.nfvi.zones.items() if zone == here])
        self.loop.outside(rng.uniform(14.0, 17.0), self.plant.freeze, host)
        self.loop.outside(rng.uniform(32.0, 60.0), self.plant.thaw, host)

    def _slander(self, watcher: Watcher, hosts: set[str], seconds: float) -> None:
        """Let a witness take hosts for dead for a while, whatever is true."""
        self.trace.note(watcher.name, "takes for dead", *sorted(hosts))
        watcher.slanders = hosts
        self.loop.outside(seconds, hosts.clear)

    def _reattach(self, host: str) -> None:
        self.plant.attach(host, network=True)

    def _blind(self, seconds: float, *names: str) -> None:
        for name in names:
            self.trace.note(name, "sees nothing any more")
            watcher = self.site.watchers[name]
            watcher.is_blind = True
            self.loop.outside(seconds, setattr, watcher, "is_blind", False)

    async def pauses(self) -> None:
        """Let Doctor hang now and then, as if its machine was suspended."""
        rng = self.chance("pauses")
        while self.pause_every and not self.is_calm:
            await asyncio.sleep(rng.expovariate(1 / self.pause_every))
            process = self.doctors[-1].process
            if process.is_alive:
                self.logbook.pauses += 1
                self.trace.note(process.name, "pauses")
                process.is_paused = True
                await asyncio.sleep(rng.choice([0.3, 2.0, 7.0, 20.0]))
                self.trace.note(process.name, "goes on")
                self.loop.wake(process)

    # --- the Administrator ---

    async def try_once(self, who: str, what: str, work: Work) -> Any:
        """Ask until there is an answer, and take a refusal for one; None is that."""
        try:
            return await self.insist(who, what, work, refusals=(RejectedError,))
        except RejectedError as refusal:
            self.trace.note(who, f"{what}: refused", str(refusal))
            return None

    async def administrator(self) -> None:
        """Arm the zones, hold what is going too fast, and look after hosts that need somebody."""
        rng = self.chance(ADMIN)
        if self.arms:
            await self._arm()
        while not self.is_calm:
            await asyncio.sleep(rng.expovariate(1 / 8.0))
            what = rng.random()
            if what < 0.07:
                await self._hold(True)
                await asyncio.sleep(rng.choice([1.0, 6.0]))
                await self._hold(False)
            elif what < 0.11:
                await self._set_zone(rng.choice(self.zones), rng.choice([ZoneMode.HOLD, ZoneMode.ADVISE]))
                await asyncio.sleep(rng.choice([1.0, 6.0]))
                await self._arm()
            elif what < 0.7:
                concerned = [host for host in self.nfvi.hosts if not self.plant.hosts[host].is_well]
                if concerned:
                    await self.look_after(rng.choice(concerned), rng)

    @property
    def zones(self) -> list[str]:
        """Return the zones of the hosts."""
        return sorted(set(self.nfvi.zones.values()))

    async def _arm(self) -> None:
        for zone in self.zones:
            await self._set_zone(zone, ZoneMode.ARMED)

    async def _set_zone(self, zone: str, mode: ZoneMode) -> None:
        await self.insist(
            ADMIN,
            f"{mode} {zone}",
            lambda doctor: _powered(doctor).desk.set_zone(zone, mode, user=ADMIN, reason="simulated"),
        )

    async def _hold(self, is_on: bool) -> None:
        await self.insist(
            ADMIN,
            "hold" if is_on else "release",
            lambda doctor: _powered(doctor).desk.set_hold(is_on, user=ADMIN, reason="simulated"),
        )

    async def look_after(self, host: str, rng: random.Random) -> None:
        """Go to a host, and do what there is to be done."""
        job = self.jobs().get(host)
        state = FenceState.NORMAL if job is None else job.state
        self.trace.note(ADMIN, "looks after", host, state)
        match state:
            case FenceState.FENCED:
                self._repair(host)
                await self._give_back(host)
            case FenceState.NEEDS_HUMAN:
                await self._help(host, rng)
            case FenceState.OBSERVED | FenceState.NORMAL | FenceState.CANCELLED | FenceState.SUSPECT:
                self._cycle(host)
            case _:
                pass  # Doctor is at it

    async def _help(self, host: str, rng: random.Random) -> None:
        what = rng.random()
        if what < 0.3:
            self._repair(host, power=False)
            await self.try_once(
                ADMIN,
                f"retry {host}",
                lambda doctor: _powered(doctor).desk.retry(host, user=ADMIN, reason=""),
            )
        elif what < 0.6:
            self._pull_the_plugs(host)
            for name in (ADMIN, "bob"):
                await self._vouch(host, name)
        else:
            self._repair(host)
            await self._give_back(host)

    async def _vouch(self, host: str, name: str) -> None:
        await self.try_once(
            name,
            f"{host} is off",
            lambda doctor: _powered(doctor).desk.vouch(
                host, typed=host, by=name, account=name, reason="seen"
            ),
        )

    def _pull_the_plugs(self, host: str) -> None:
        for feed in FEEDS:
            self.plant.switch(host, Cut.POWER, False, feed)

    def _plug_in(self, host: str) -> None:
        for feed in FEEDS:
            self.plant.switch(host, Cut.POWER, True, feed)

    def _repair(self, host: str, *, power: bool = True) -> None:
        """Put right what is wrong with a host; it is switched off by hand then, and Doctor gives it back."""
        self.site.put_right(host)
        if power:
            self.plant.switch(host, Cut.POWER, False)
            self._plug_in(host)
            self.plant.attach(host, network=True, storage=True)

    async def _give_back(self, host: str) -> None:
        await self.try_once(
            ADMIN,
            f"return {host}",
            lambda doctor: _powered(doctor).desk.give_back(host, user=ADMIN, reason="repaired"),
        )

    def _cycle(self, host: str) -> None:
        """Switch a host off and on by hand, which nobody else has cut off."""
        if not self.plant.hosts[host].is_well:
            self._repair(host)
            self.plant.switch(host, Cut.POWER, True)

    # --- owners ---

    async def owner(self, who: str) -> None:
        """Say something beforehand of some machines, and of others when one is told that they are out."""
        rng = self.chance(who)
        project = who.removeprefix("owner-")
        identity = Identity(name=who, role=Role.CONSUMER, project=project)
        held = await self._subscribe(who, rng, identity, 1, "all")
        for machine in [one for one in self.nfvi.machines if owner_of(one) == project]:
            if rng.random() < 0.3:
                await self._say_beforehand(who, project, machine, rng)
        endpoint_id = held.subscription.endpoints[0].endpoint_id
        read = 0
        known: set[tuple[str, str]] = set()
        while not self.is_calm:
            await asyncio.sleep(rng.uniform(0.2, 2.0))
            received = self.channel.ledger.received[endpoint_id]
            fresh, read = received[read:], len(received)
            for receipt in fresh:
                for machine, alarm_id, isolation in _out(receipt.notification.body):
                    if (alarm_id, isolation) not in known:
                        known.add((alarm_id, isolation))
                        await self._answer(who, identity, machine, alarm_id, isolation, rng)

    async def _say_beforehand(self, who: str, project: str, machine: str, rng: random.Random) -> None:
        actions = rng.choice([[Action.EVACUATE], [Action.REBOOT, Action.EVACUATE], [Action.LEAVE]])
        policy = RecoveryPolicy(
            project=project,
            scope=Scope(ScopeKind.MACHINE, machine),
            steps=tuple(RecoveryStep(action=one, timeout=timedelta(seconds=25)) for one in actions),
            handled_by=Handler.DOCTOR,
            after=timedelta(seconds=rng.choice([0, 4])),
            start_on_return=rng.random() < 0.5,
        )
        await self.insist(
            who, "policy", lambda doctor: _powered(doctor).recovery_policies.put(policy, user=who)
        )

    async def _answer(
        self, who: str, identity: Identity, machine: str, alarm_id: str, isolation: str, rng: random.Random
    ) -> None:
        """Instruct, or not."""
        actions = [Action.EVACUATE] * 5 + [Action.LEAVE, Action.SWITCHED_OVER, Action.REBUILD, Action.REBOOT]
        actions += [Action.TERMINATE] if rng.random() < 0.3 else []
        if rng.random() < 0.4:
            return
        order = Order(
            rng.choice(actions),
            (machine,),
            {},
            deadline=timedelta(seconds=rng.choice([5, 20, 50])),
            idempotency_key=f"{alarm_id} {isolation}",
        )
        made = await self.try_once(
            who,
            f"{order.action} {machine}",
            lambda doctor: _powered(doctor).instructions.create(identity, order),
        )
        if made is not None:
            tick = self.trace.note(who, "has instructed", order.action, machine)
            self.logbook.asked[made.instruction_id] = tick

    # --- the end ---

    def calm_down(self) -> None:
        """Let nothing go wrong any more."""
        super().calm_down()
        for watcher in self.site.watchers.values():
            watcher.is_blind = False
            watcher.slanders = set()
        self.cloud.moods = self.cloud.moods._replace(refuses=0.0, loses_answers=0.0)

    async def mend(self) -> None:
        """Let everything be repaired and come back."""
        rng = self.chance("mending")
        await super().mend()
        await self._hold(False)
        await self._arm()
        until = self.loop.time() + TO_MEND
        while concerned := [host for host in self.nfvi.hosts if not self._is_fine(host)]:
            if self.loop.time() > until:
                job = self.jobs().get(concerned[0])
                raise StuckError(f"{concerned[0]} never came back: {job}")
            for host in concerned:
                if self.jobs().get(host) is not None or not self.plant.hosts[host].is_well:
                    await self.look_after(host, rng)
            await asyncio.sleep(5.0)
        for host in self.nfvi.hosts:
            await self.push("monitor-final", Said(HOST_DOWN, host, "up", "quiet"))

    def _is_fine(self, host: str) -> bool:
        job = self.jobs().get(host)
        return self.plant.hosts[host].is_well and (job is None or job.state in AT_REST)


def _powered(doctor: Doctor) -> PoweredDoctor:
    assert isinstance(doctor, PoweredDoctor)
    return doctor


def _out(body: bytes) -> Iterable[tuple[str, str, str]]:
    """Return the machines that are told to be out, each with its alarm and how its isolation stands."""
    message = msgspec.json.decode(body)
    for info in message.get("virtual_resource_info", ()):
        for alarm in info["faults"]:
            if alarm["alarm_state"] != "cleared" and info["virtual_resource_state"] in ("error", "down"):
                yield info["virtual_resource_id"], alarm["alarm_id"], info["isolation"]
