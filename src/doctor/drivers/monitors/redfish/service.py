"""One BMC that speaks Redfish: what is asked of it, and in which order."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from doctor.devices.redfish import RedfishAccess, RedfishDevice
from doctor.devices.worker import Leash
from doctor.drivers.monitors.bmc.findings import Look
from doctor.drivers.monitors.redfish.log import LogReader, News, records
from doctor.drivers.monitors.redfish.reading import Answers, read
from doctor.drivers.monitors.redfish.subscription import Subscription
from doctor.kit.clock import SystemClock
from doctor.kit.deadline import Deadline
from doctor.kit.secret import Secret
from doctor.model.fencing import Doubt, Unknown

if TYPE_CHECKING:
    from doctor.devices.redfish_session import RedfishSession

MOST_CHASSIS = 8
MOST_MEMBERS = 64  # of one collection; more would take longer than a look may
MOST_LOGS = 4
MOST_PAGES = 20
PATIENCE_WITH_EXTRAS = 3.0  # seconds for the subscription, and for the logs
GOOD_BYE = 0.5

log = structlog.get_logger(__name__)


class RedfishBmc:
    """The BMC of one host."""

    def __init__(self, host: str, access: RedfishAccess, password: Secret, system: str) -> None:
        self.host = host
        self.bell = asyncio.Event()
        self._device = RedfishDevice(access, password)
        self._clock = SystemClock()
        self._system = system
        self._subscription: Subscription | None = None
        self._logs: dict[str, LogReader] = {}
        self._trouble: str | None = None

    def subscribe(self, destination: str, context: str) -> None:
        """Want its events, from the next look on."""
        self._subscription = Subscription(destination, context)

    @property
    def subscriptions(self) -> int:
        """Return how often it was subscribed to."""
        return self._subscription.made if self._subscription else 0

    async def look(self, deadline: Deadline) -> Look | Unknown:
        """Read all that it shows, or say why not."""
        said = await self._device.do(self._ask, deadline)
        if isinstance(said, Unknown):
            return said
        answers, news = said
        self._tell_subscription()
        look = read(answers)
        written = [record for one in news for record in records(one.entries)]
        return look._replace(records=written, lost=sum(one.lost for one in news))

    async def close(self) -> None:
        """Take the subscription back, and close the connections."""
        subscription = self._subscription
        if subscription is not None and subscription.made:
            await self._device.do(subscription.end, Deadline.after(GOOD_BYE, self._clock))
        await self._device.close()

    def _ask(self, session: "RedfishSession", leash: Leash) -> tuple[Answers, list[News]] | Unknown:
        """Ask, in the thread of this BMC."""
        path = session.path(self._system, leash)
        system = session.read(path, leash)
        if not isinstance(system, dict) or ("PowerState" not in system and "Status" not in system):
            return Unknown(Doubt.UNINTELLIGIBLE, "it answers something that is no system")
        if self._subscription is not None:
            # Before anything that changes is read: what happens between the two would be told by nobody.
            self._subscription.keep(session, leash.shortened(PATIENCE_WITH_EXTRAS))
        asking = _Asking(session, leash)
        chassis = [*asking.members(_links(system), "Chassis", MOST_CHASSIS)]
        found = Answers(path, system, chassis, [], [], [], [], [])
        for one in chassis:
            _gather(asking, one, found)
        return found, self._read_logs(system, session, leash)

    def _read_logs(self, system: Mapping[str, Any], session: "RedfishSession", leash: Leash) -> list[News]:
        """Read the logs. One that cannot be read, because it is too long or takes too long, hurts nothing else."""
        try:
            asking = _Asking(session, leash.shortened(PATIENCE_WITH_EXTRAS))
            managers = asking.members(_links(system), "ManagedBy", MOST_CHASSIS)
            return [
                self._logs.setdefault(path, LogReader()).read(entries)
                for one in (system, *managers)
                for service in asking.collection(one, "LogServices", MOST_LOGS)
                for path, entries in asking.entries(service)
            ]
        except Exception as error:
            log.debug("redfish.log_unread", host=self.host, error=type(error).__name__)
            return []

    def _tell_subscription(self) -> None:
        """Log a change: somebody who sends no events is only looked at."""
        trouble = self._subscription.trouble if self._subscription else None
        if trouble != self._trouble:
            self._trouble = trouble
            log.info("redfish.events", host=self.host, state=trouble or "subscribed")


def _links(system: Mapping[str, Any]) -> Mapping[str, Any]:
    links = system.get("Links")
    return links if isinstance(links, dict) else {}


def _gather(asking: "_Asking", chassis: Mapping[str, Any], found: Answers) -> None:
    """Read what a chassis has: in two documents, or in the newer way one for each part."""
    thermal, power = asking.linked(chassis, "Thermal"), asking.linked(chassis, "Power")
    _add(found.thermal, thermal)
    _add(found.power, power)
    if thermal is None:
        subsystem = asking.linked(chassis, "ThermalSubsystem") or {}
        _add(found.fans, *asking.collection(subsystem, "Fans"))
        _add(found.sensors, *asking.collection(chassis, "Sensors"))
    if power is None:
        subsystem = asking.linked(chassis, "PowerSubsystem") or {}
        _add(found.supplies, *asking.collection(subsystem, "PowerSupplies"))


def _add(documents: Any, *more: Mapping[str, Any] | None) -> None:
    documents.extend(one for one in more if one is not None)


class _Asking:
    """Follows links; what is not there, and what is no document, is left out."""

    def __init__(self, session: "RedfishSession", leash: Leash) -> None:
        self._session = session
        self._leash = leash

    def members(self, document: Mapping[str, Any], key: str, most: int) -> Iterator[Mapping[str, Any]]:
        """Return the documents to which a list of links leads."""
        links = document.get(key)
        for link in links[:most] if isinstance(links, list) else []:
            found = self._follow(link)
            if found is not None:
                yield found

    def collection(
        self, document: Mapping[str, Any], key: str, most: int = MOST_MEMBERS
    ) -> Iterator[Mapping[str, Any]]:
        """Return the members of a linked collection."""
        return self.members(self.linked(document, key) or {}, "Members", most)

    def entries(self, service: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
        """Return the path of a log and all that is in it, in so many pages as it has."""
        link = service.get("Entries")
        path = link.get("@odata.id") if isinstance(link, dict) else None
        if not isinstance(path, str):
            return
        found = list[Mapping[str, Any]]()
        page: object = path
        for _ in range(MOST_PAGES):
            document = self._session.read(page, self._leash) if isinstance(page, str) else None
            if not isinstance(document, dict):
                break
            members = document.get("Members")
            found += [one for one in members if isinstance(one, dict)] if isinstance(members, list) else []
            page = document.get("Members@odata.nextLink")
        yield path, found

    def linked(self, document: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
        """Return the document to which a link leads."""
        return self._follow(document.get(key))

    def _follow(self, link: object) -> Mapping[str, Any] | None:
        path = link.get("@odata.id") if isinstance(link, dict) else None
        found = self._session.read(path, self._leash) if isinstance(path, str) else None
        return found if isinstance(found, dict) else None
