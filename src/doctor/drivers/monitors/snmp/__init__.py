"""The SNMP monitor: what switches, power and storage say by traps and informs.

    datagrams -> receiver -> understanding -> facts -> what was said
                                 |              |
                        ber, message, usm    mapping.yaml

`ber`, `message`, `usm`, `understanding`, `mapping` and `facts` decide and know neither sockets nor clocks; `receiver` has the
sockets, `monitor` drives them.
"""

from doctor.drivers.monitors.snmp.monitor import SnmpMonitor, make
from doctor.drivers.monitors.snmp.settings import SnmpSettings

__all__ = ["SnmpMonitor", "SnmpSettings", "make"]
