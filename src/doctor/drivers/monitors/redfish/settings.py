"""What can be set about the Redfish monitor, and how the settings are read."""

import ssl
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import msgspec

from doctor.devices.redfish import RedfishAccess
from doctor.drivers.monitors.bmc.doors import hosts_of, passwords_of
from doctor.kit.options import convert
from doctor.kit.secret import Secret

DURATIONS = {"every": timedelta(milliseconds=100), "timeout": timedelta(milliseconds=100)}
OF_EACH = ("user", "password_file", "ca_file")  # may be set for all hosts, and for single ones


class Door(NamedTuple):
    """How the BMC of a host is asked: as whom, with which password, for which system of several."""

    access: RedfishAccess
    password: Secret
    system: str


class HostSettings(RedfishAccess, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The BMC of one host; ``system`` is its id there, needless where there is only one."""

    system: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~-]{0,255}$")] = ""


class EventSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where BMCs send their events.

    - ``listen``: address and port (TCP).
    - ``url``: how BMCs get there, ``https://doctor.example:12350``.
    - ``certificate``, ``key``: needless on loopback only.
    """

    listen: Annotated[str, msgspec.Meta(pattern=r"^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}$")]
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[!#-~]+$", max_length=255)]
    certificate: Path | None = None
    key: Path | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Return address and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def base(self) -> str:
        """Return the URL without what ends it."""
        return self.url.rstrip("/")

    def tls(self) -> ssl.SSLContext | None:
        """Return what to serve with."""
        if self.certificate is None or self.key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def check(self) -> None:
        """See that it can be used.

        Raises:
            ValueError: it cannot; the message names the place.
        """
        try:
            is_loopback = ip_address(self.address[0]).is_loopback
            _ = self.tls()
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"events.certificate: {error.strerror or error}") from None
        except ValueError as error:
            raise ValueError(f"events.listen: {error}") from None
        if self.address[1] > 65535:
            raise ValueError("events.listen: no such port")
        has_tls = self.certificate is not None and self.key is not None
        if not has_tls and not is_loopback:
            raise ValueError("events.certificate: required with key, unless it listens on loopback")
        if self.url.startswith("https") is not has_tls:
            raise ValueError("events.url: https with a certificate, and http without")


class RedfishMonitorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the Redfish monitor.

    - ``hosts``: the BMC of each host, by the id of the host in the map: its URL, or a mapping with ``url``, and with
      ``system``, ``user``, ``password_file`` and ``ca_file`` where they differ.
    - ``user``, ``password_file``, ``ca_file``: of all the others. A user who may only read is enough.
    - ``every``: how often each is asked (seconds or ISO 8601).
    - ``timeout``: in which a BMC has to answer everything.
    - ``events``: where BMCs send their events; without it they are only asked.
    - ``name``: what this monitor is called; two need two names.
    """

    hosts: dict[str, HostSettings]
    every: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(seconds=10)
    events: EventSettings | None = None
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[ -~]+$")] = "redfish"

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Self:
        """Read the settings as they stand in the YAML file.

        Raises:
            ValueError: something is wrong; the message names the place (``hosts.compute-1.url: ...``).
        """
        hosts = hosts_of(settings, HostSettings, OF_EACH, "url", HostSettings.check)
        rest = {key: value for key, value in settings.items() if key not in OF_EACH}
        return convert({**rest, "hosts": hosts}, cls, durations=DURATIONS)

    def doors(self) -> dict[str, Door]:
        """Return how each BMC is asked.

        Raises:
            ValueError: a password cannot be read.
        """
        passwords = passwords_of(self.hosts)
        return {host: Door(one, passwords[host], one.system) for host, one in self.hosts.items()}
