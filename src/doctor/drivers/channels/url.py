"""The URL of an endpoint, read once: where to dial, and what to ask for there, to the letter."""

import re
import string
from ipaddress import IPv6Address
from typing import NamedTuple, Self
from urllib.parse import quote

import idna
import msgspec

PORTS = {"http": 80, "https": 443}

_URL = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<authority>[^/?#]*))?"
    r"(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?",
    re.DOTALL,
)
_AUTHORITY = re.compile(
    r"(?:(?P<user>.*)@)?(?:\[(?P<ipv6>[^\[\]@]*)\]|(?P<name>[^\[\]:@]*))(?::(?P<port>[0-9]*))?", re.DOTALL
)


class Place(NamedTuple):
    """What a connection leads to; requests to the same place can share one."""

    tls: bool
    host: str
    port: int


class Url(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a URL. There is no second reading: what was judged is what is dialled.

    ``host`` is ASCII and in small letters, an IPv6 address without its brackets. ``target`` is path and query as they
    were written, since some have a signature in them; only what is not ASCII is escaped. A fragment is dropped.
    """

    scheme: str
    has_user: bool
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL. What is missing is empty, or 0: whether that will do is for the guard to say.

        Raises:
            ValueError: it cannot be read. The message may repeat parts of it, passwords too.
        """
        parts = _URL.fullmatch(text)
        place = _AUTHORITY.fullmatch((parts and parts["authority"]) or "")
        if parts is None or place is None:
            raise ValueError("not a URL")
        scheme = (parts["scheme"] or "").lower()
        if place["ipv6"] is not None:
            IPv6Address(place["ipv6"])
        port = int(place["port"]) if place["port"] else PORTS.get(scheme, 0)
        if port > 65535:
            raise ValueError("no such port")
        target = (parts["path"] or "/") + (parts["query"] or "")
        return cls(
            scheme=scheme,
            has_user=place["user"] is not None,
            host=_ascii(place["ipv6"] or place["name"] or "").lower(),
            port=port,
            target=target if target.isascii() else quote(target, safe=string.punctuation),
        )

    @property
    def place(self) -> Place:
        """Return what to dial."""
        return Place(self.scheme == "https", self.host, self.port)

    @property
    def host_header(self) -> str:
        """Return host and port as the header ``host`` has them: without the dot that ends an absolute name."""
        host = f"[{self.host}]" if ":" in self.host else self.host.removesuffix(".")
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def _ascii(host: str) -> str:
    """Write a host as name servers know it. What this makes of odd characters is judged afterwards."""
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode()
    except UnicodeError:  # underscores, emoji and what else only the older rules allow
        return host.encode("idna").decode()
