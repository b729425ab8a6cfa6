"""BMCs that speak IPMI 2.0: power, sensors, and the log of events (SEL).

`sensors` reads the descriptions of sensors and what they show, `sel` the records of the log: neither knows a socket.
`bmc` asks one of them.
"""

from collections.abc import Mapping
from typing import Any

from doctor.drivers.monitors.bmc.watching import BmcMonitor
from doctor.drivers.monitors.ipmi.bmc import IpmiBmc
from doctor.drivers.monitors.ipmi.settings import IpmiMonitorSettings

DRIVER = "ipmi"


def make(settings: Mapping[str, Any]) -> BmcMonitor:
    """Make the monitor from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = IpmiMonitorSettings.parse(settings)
    doors = read.doors()
    return BmcMonitor(
        DRIVER,
        read.name,
        lambda: [IpmiBmc(host, *door) for host, door in doors.items()],
        every=read.every,
        timeout=read.timeout,
    )
