"""The ping monitor: asks every host for an echo several times a second, and says when one falls silent.

    settings + map -> wishes -> rounds -> changes -> RawEvents
                                 |  ^
                         probes  v  |  answers
                                prober

`judging` and `schedule` decide and know neither sockets nor clocks; `echo` and `tcp` are the sockets; `rounds` lets
them work together; `monitor` drives the rounds with the event loop and turns what they find into raw events.
"""

from collections.abc import Mapping
from typing import Any

from doctor.drivers.monitors.ping.monitor import PingMonitor
from doctor.drivers.monitors.ping.settings import PingSettings

__all__ = ["PingMonitor", "PingSettings", "make"]


def make(settings: Mapping[str, Any]) -> PingMonitor:
    """Make the monitor from its part of the settings.

    Raises:
        ValueError: something is wrong; the message names the place.
    """
    return PingMonitor(PingSettings.parse(settings))
