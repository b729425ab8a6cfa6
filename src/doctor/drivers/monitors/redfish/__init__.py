"""BMCs that speak Redfish: power, health, temperatures, fans, power supplies, and their logs.

`reading` makes findings of what they answer, and knows no socket; `service` asks one of them; `log` is their logs.
"""

from collections.abc import Mapping
from typing import Any

from doctor.drivers.monitors.bmc.watching import BmcMonitor
from doctor.drivers.monitors.redfish.service import RedfishBmc
from doctor.drivers.monitors.redfish.settings import RedfishMonitorSettings

DRIVER = "redfish"


def make(settings: Mapping[str, Any]) -> BmcMonitor:
    """Make the monitor from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = RedfishMonitorSettings.parse(settings)
    doors = read.doors()
    return BmcMonitor(
        DRIVER,
        read.name,
        lambda: [RedfishBmc(host, *door) for host, door in doors.items()],
        every=read.every,
        timeout=read.timeout,
    )
