"""What can be set about the ping monitor, and how the settings are read."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

import msgspec

from doctor.kit.options import convert, mapping

# The durations, and the least that makes sense of each.
DURATIONS = {
    "interval": timedelta(milliseconds=10),
    "timeout": timedelta(milliseconds=1),
    "start_grace": timedelta(0),
}

Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class Method(StrEnum):
    """How a host is asked."""

    AUTO = "auto"
    RAW = "raw"
    DATAGRAM = "datagram"
    TCP = "tcp"


class Refused(StrEnum):
    """What a refused TCP connection says: there is a host that refuses, or the process we look for is gone."""

    ALIVE = "alive"
    DOWN = "down"


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is different for one host; what is not given is as for all.

    ``address`` takes the place of the addresses in the map. ``enabled: false`` leaves the host to others.
    """

    address: tuple[Text, ...] = ()
    interval: timedelta | None = None
    timeout: timedelta | None = None
    misses: Count | None = None
    enabled: bool = True

    @classmethod
    def parse(cls, settings: Mapping[str, Any], path: str = "") -> Self:
        """Read the settings of one host, where a single address may be written as text.

        Raises:
            ValueError: something is wrong; the message names the place.
        """
        address = settings.get("address", ())
        given = {**settings, "address": [address] if isinstance(address, str) else address}
        return convert(given, cls, path, durations=DURATIONS)


class PingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the ping monitor. A host is down when ``misses`` probes in a row had no answer.

    - ``interval`` (seconds or ISO 8601): shorter finds a failure sooner and costs more; at least 10 ms.
    - ``misses``: more forgives more loss, and takes an interval longer each.
    - ``recover``: so many answers in a row make a host up again; more keeps a flapping host down.
    - ``timeout``: how long a probe is waited for before it counts as missed; by default a quarter of the interval,
      within 10 ms and 1 s. A later answer still takes the miss back, but with a round trip longer than
      ``timeout`` plus ``misses - 1`` intervals a living host looks dead: then make it longer.
    - ``start_grace``: for so long after it came into the map, the silence of a host that never answered is no news.
    - ``method``: ``auto`` takes the best that is allowed here: raw ICMP, unprivileged ICMP, TCP.
    - ``tcp_port``, ``tcp_refused``: where a TCP probe knocks; with ``down`` a refusal is no answer, which turns a
      probe at a host into a probe at a process.
    - ``hosts``: what is different for single hosts, by their id in the map.
    - ``only``: patterns (``compute-*``) of the ids to watch; none means all.
    """

    interval: timedelta = timedelta(milliseconds=100)
    misses: Count = 3
    recover: Count = 2
    timeout: timedelta | None = None
    start_grace: timedelta = timedelta(seconds=1)
    method: Method = Method.AUTO
    tcp_port: Port = 22
    tcp_refused: Refused = Refused.ALIVE
    hosts: dict[str, HostSettings] = {}
    only: tuple[Text, ...] = ()

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Self:
        """Read the settings as they stand in the YAML file.

        Raises:
            ValueError: something is wrong; the message names the place (``hosts.compute-1.misses: ...``).
        """
        hosts = mapping(settings.get("hosts", {}), "hosts")
        parsed = {
            host: HostSettings.parse(mapping(given, f"hosts.{host}"), f"hosts.{host}.")
            for host, given in hosts.items()
        }
        return convert({**settings, "hosts": parsed}, cls, durations=DURATIONS)
