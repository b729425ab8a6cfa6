"""BMCs that speak Redfish: power, health, temperatures, fans, power supplies, their logs and events.

`reading` makes findings of what they answer, and `log` records of what is new in their logs: neither knows a socket.
`service` asks one of them, `subscription` has it send events, and `hints` is where those arrive.
"""

from doctor.drivers.monitors.redfish.monitor import RedfishMonitor, make

__all__ = ["RedfishMonitor", "make"]
