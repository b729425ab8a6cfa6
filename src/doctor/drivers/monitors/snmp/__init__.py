"""The SNMP monitor: what switches, power and storage say by traps and informs, and what they answer when they are asked.

    datagrams -> receiver -> understanding -> facts -> what was said
                                 |              |
                        ber, message, usm    mapping.yaml
                                 |              |
    devices  <-  client  <-   polling   ->    looks -> what stands

`ber`, `message`, `usm`, `understanding`, `mapping`, `facts` and `looks` decide and know neither sockets nor clocks; `receiver`
and `client` have the sockets, `polling` and `monitor` drive them.
"""

from doctor.drivers.monitors.snmp.monitor import SnmpMonitor, make
from doctor.drivers.monitors.snmp.settings import SnmpSettings

__all__ = ["SnmpMonitor", "SnmpSettings", "make"]
