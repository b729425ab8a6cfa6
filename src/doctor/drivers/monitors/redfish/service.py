"""One BMC that speaks Redfish: what is asked of it, and in which order."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from doctor.devices.redfish import RedfishAccess, RedfishDevice
from doctor.devices.worker import Leash
from doctor.drivers.monitors.bmc.findings import Look
from doctor.drivers.monitors.redfish.reading import Answers, read
from doctor.kit.deadline import Deadline
from doctor.kit.secret import Secret
from doctor.model.fencing import Doubt, Unknown

if TYPE_CHECKING:
    from doctor.devices.redfish_session import RedfishSession

MOST_CHASSIS = 8
MOST_MEMBERS = 64  # of one collection; more would take longer than a look may


class RedfishBmc:
    """The BMC of one host."""

    def __init__(self, host: str, access: RedfishAccess, password: Secret, system: str) -> None:
        self.host = host
        self.bell = asyncio.Event()
        self._device = RedfishDevice(access, password)
        self._system = system

    async def look(self, deadline: Deadline) -> Look | Unknown:
        """Read all that it shows, or say why not."""
        answers = await self._device.do(self._ask, deadline)
        return answers if isinstance(answers, Unknown) else read(answers)

    async def close(self) -> None:
        """Close the connections."""
        await self._device.close()

    def _ask(self, session: "RedfishSession", leash: Leash) -> Answers | Unknown:
        """Ask, in the thread of this BMC."""
        path = session.path(self._system, leash)
        system = session.read(path, leash)
        if not isinstance(system, dict) or ("PowerState" not in system and "Status" not in system):
            return Unknown(Doubt.UNINTELLIGIBLE, "it answers something that is no system")
        asking = _Asking(session, leash)
        links = system.get("Links")
        chassis = [*asking.members(links if isinstance(links, dict) else {}, "Chassis", MOST_CHASSIS)]
        found = Answers(path, system, chassis, [], [], [], [], [])
        for one in chassis:
            _gather(asking, one, found)
        return found


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

    def collection(self, document: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
        """Return the members of a linked collection."""
        return self.members(self.linked(document, key) or {}, "Members", MOST_MEMBERS)

    def linked(self, document: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
        """Return the document to which a link leads."""
        return self._follow(document.get(key))

    def _follow(self, link: object) -> Mapping[str, Any] | None:
        path = link.get("@odata.id") if isinstance(link, dict) else None
        found = self._session.read(path, self._leash) if isinstance(path, str) else None
        return found if isinstance(found, dict) else None
