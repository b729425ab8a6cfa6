"""The heartbeat monitor: the agents of the hosts say several times a second that they are there.

    datagrams -> receiver -> expectations -> verdicts -> RawEvents
                    |             |             ^
                freshness      ping.judging     | answers to pings, of hosts that miss a heartbeat

`freshness`, `expectations` and `verdicts` decide and know neither sockets nor clocks; `receiver` has the sockets; `monitor`
drives them as the ping monitor drives its rounds, and has its canaries and its doubts about itself.
"""

from collections.abc import Mapping
from typing import Any

from doctor.drivers.monitors.heartbeat.keyring import Keyring
from doctor.drivers.monitors.heartbeat.monitor import HeartbeatMonitor
from doctor.drivers.monitors.heartbeat.settings import HeartbeatSettings

__all__ = ["HeartbeatMonitor", "HeartbeatSettings", "make"]


def make(settings: Mapping[str, Any]) -> HeartbeatMonitor:
    """Make the monitor from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    read = HeartbeatSettings.parse(settings)
    return HeartbeatMonitor(read, Keyring(read.master_key_file, read.keys_file))
