"""What can be set about the IPMI monitor, and how the settings are read."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, NamedTuple, Self

import msgspec

from doctor.devices.ipmi import IpmiAccess
from doctor.drivers.monitors.bmc.doors import hosts_of, passwords_of
from doctor.kit.options import convert
from doctor.kit.secret import Secret

DURATIONS = {"every": timedelta(milliseconds=100), "timeout": timedelta(milliseconds=100)}
OF_EACH = ("user", "password_file", "port")  # may be set for all hosts, and for single ones


class Door(NamedTuple):
    """How the BMC of a host is asked."""

    access: IpmiAccess
    password: Secret


class IpmiMonitorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the IPMI monitor.

    - ``hosts``: the BMC of each host, by the id of the host in the map: its address, or a mapping with ``address``, and
      with ``port``, ``user`` and ``password_file`` where they differ.
    - ``user``, ``password_file``, ``port``: of all the others.
    - ``every``: how often each is asked (seconds or ISO 8601).
    - ``timeout``: in which a BMC has to answer everything.
    - ``name``: what this monitor is called; two need two names.
    """

    hosts: dict[str, IpmiAccess]
    every: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(seconds=10)
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[ -~]+$")] = "ipmi"

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Self:
        """Read the settings as they stand in the YAML file.

        Raises:
            ValueError: something is wrong; the message names the place.
        """
        hosts = hosts_of(settings, IpmiAccess, OF_EACH, "address")
        rest = {key: value for key, value in settings.items() if key not in OF_EACH}
        return convert({**rest, "hosts": hosts}, cls, durations=DURATIONS)

    def doors(self) -> dict[str, Door]:
        """Return how each BMC is asked.

        Raises:
            ValueError: a password cannot be read.
        """
        passwords = passwords_of(self.hosts)
        return {host: Door(access, passwords[host]) for host, access in self.hosts.items()}
