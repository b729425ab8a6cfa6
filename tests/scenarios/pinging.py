"""A network that can be cut anywhere, and Doctor's own ping monitor that looks at it, in virtual time."""

import asyncio
from collections.abc import Iterable

import msgspec

from doctor.drivers.monitors.ping import PingSettings
from doctor.drivers.monitors.ping.monitor import Watching
from doctor.flows.fault import Reported
from doctor.kit import retry
from doctor.model.errors import StoreError
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.testing.scenario import Scenario
from tests.unit.monitors.test_ping_monitor import Hosts

CANARIES = ("192.0.2.1", "192.0.2.2")


def address_of(host: str) -> str:
    return f"198.18.0.{host.rpartition('-')[2]}"


def racks(*, hosts: int = 6, behind: bool = True) -> ResourceMap:
    """Return hosts that hang by twos on a switch of their own, each with a machine of another owner; or on nothing."""
    names = [f"compute-{number}" for number in range(1, hosts + 1)]
    switches = [f"switch-{number}" for number in range(1, hosts // 2 + 1)] if behind else []
    return ResourceMap(
        [
            *(PhysicalResource(id=name, address=(address_of(name),)) for name in names),
            *(PhysicalResource(id=name, type="switch") for name in switches),
        ],
        [
            VirtualResource(id=f"vm-{number}", host=name, owner="red" if number % 2 else "blue")
            for number, name in enumerate(names, 1)
        ],
        [Relation(switches[number // 2], "connects", name) for number, name in enumerate(names) if switches],
    )


class Network:
    """What the monitor of a story can reach: everything, until it is cut."""

    def __init__(self, story: Scenario, **settings: object) -> None:
        self.story = story
        self.prober = Hosts()
        self.settings = PingSettings.parse(settings)

    @property
    def version(self) -> int:
        return self.story.resources.version

    def hosts(self) -> Iterable[PhysicalResource]:
        return list(self.story.resources.hosts())

    def watch(self, second: float) -> None:
        """Let the monitor begin with the Doctor that runs then, and end with it."""

        async def begin() -> None:
            story = self.story
            assert story._tasks is not None
            story.doctor.do(story._tasks, self._run())

        self.story.note(second, begin)

    async def _run(self) -> None:
        doctor, clock = self.story.doctor, self.story.clock
        watching = Watching(self, self.settings, clock, self.prober)
        watching.start()
        try:
            while True:
                event = await watching.next_event()
                report = Reported([event], "ping", msgspec.json.encode(event), clock.now())
                for attempt in range(1, 100):
                    try:
                        await doctor.faults.accept([report])
                    except StoreError:
                        await asyncio.sleep(retry.delay_before(attempt + 1))
                    else:
                        break
        finally:
            await watching.stop()

    def cut(self, second: float, *names: str) -> None:
        """Cut off hosts and canaries."""
        self.story.at(second).do(lambda: self.prober.dead.update(map(reach, names)))

    def mend(self, second: float, *names: str) -> None:
        """Mend them again."""
        self.story.at(second).do(lambda: self.prober.dead.difference_update(map(reach, names)))


def reach(name: str) -> str:
    return address_of(name) if name.startswith("compute") else name
