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

TCP = "tcp://"

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


class CanarySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody outside of what is monitored who is asked as well, to know whether we hear anybody at all.

    With a ``port`` it is asked by TCP, once a second unless ``interval`` says otherwise, else as the hosts are. Any of
    several addresses will do. ``misses`` and ``timeout`` are as for hosts.
    """

    address: tuple[Text, ...]
    port: Port | None = None
    interval: timedelta | None = None
    timeout: timedelta | None = None
    misses: Count | None = None

    @property
    def name(self) -> str:
        """Return what it is called: as one would write it."""
        written = ", ".join(self.address)
        return written if self.port is None else f"tcp://{written}:{self.port}"

    @classmethod
    def parse(cls, given: Any, path: str) -> Self:
        """Read a canary: an address, ``tcp://address:port``, or a mapping.

        Raises:
            ValueError: something is wrong; the message begins with the path.
        """
        if isinstance(given, str):
            given = _tcp_target(given, path) if given.startswith(TCP) else {"address": given}
        settings = mapping(given, path)
        address = settings.get("address", ())
        if not address:
            raise ValueError(f"{path}.address: required: whom to ask")
        return convert(
            {**settings, "address": [address] if isinstance(address, str) else address},
            cls,
            f"{path}.",
            durations=DURATIONS,
        )


def _tcp_target(text: str, path: str) -> dict[str, Any]:
    address, _, port = text.removeprefix(TCP).rpartition(":")
    if not address or not port.isdigit():
        raise ValueError(f"{path}: write tcp://192.0.2.1:443")
    return {"address": address.removeprefix("[").removesuffix("]"), "port": int(port)}


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
    - ``canaries``: whom to ask outside of what is monitored. When they fall silent with the hosts, it is us.
    - ``vantage``: what this place to look from is called; two ping monitors need two names.
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
    canaries: tuple[CanarySettings, ...] = ()
    vantage: Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[ -~]+$")] = "ping"

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
        canaries = settings.get("canaries", [])
        if not isinstance(canaries, list | tuple):
            raise ValueError(f"canaries: expected a list, got {type(canaries).__name__}")
        listed = [CanarySettings.parse(one, f"canaries[{index}]") for index, one in enumerate(canaries)]
        names = [canary.name for canary in listed]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"canaries[{index}]: {name} is there twice")
        return convert({**settings, "hosts": parsed, "canaries": listed}, cls, durations=DURATIONS)
