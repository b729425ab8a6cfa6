"""Which addresses Doctor may dial when an owner says where to be told.

An endpoint is a URL that a tenant wrote, and Doctor stands in a network that the tenant cannot reach: without a
guard he could have Doctor talk to management controllers, databases or the cloud's metadata for him.

The word that counts is spoken at the moment of dialling (`Guard.socket_for`): it sees the final address of every
connection, however the URL was spelled and whatever a name resolved to this time. The check of a URL when a
subscription is made is a kindness to the subscriber, who gets a sentence at once.

`ipaddress.is_global` is not asked: it calls NAT64, 6to4, site-local, multicast and 192.0.0.8 global.
"""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import msgspec

from doctor.drivers.channels.url import Url

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]  # as socket.getaddrinfo gives it
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# Refused whatever the settings say.
_NEVER: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "unspecified"),
        ("100.100.100.200/32", "cloud metadata"),  # Alibaba
        ("168.63.129.16/32", "cloud metadata"),  # Azure, in the middle of public addresses
        ("169.254.0.0/16", "link-local, cloud metadata"),
        ("192.0.0.0/24", "reserved"),  # protocol assignments; 192.0.0.192 is metadata at Oracle
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),  # with the broadcast address
        ("::/128", "unspecified"),
        ("64:ff9b:1::/48", "local NAT64, which may lead anywhere"),
        ("fd00:42::42/128", "cloud metadata"),  # Scaleway
        ("fd00:100::100:200/128", "cloud metadata"),  # Alibaba
        ("fd00:a9fe:a9fe::1/128", "cloud metadata"),  # Linode
        ("fd00:c1::a9fe:a9fe/128", "cloud metadata"),  # Oracle
        ("fd00:ec2::/32", "cloud metadata"),  # Amazon: metadata, pod identity, time, names
        ("fd20:ce::254/128", "cloud metadata"),  # Google
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

# Refused unless the operator allows it: what the special-purpose registries of IANA do not call global.
_NOT_PUBLIC: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared address space"),
        ("127.0.0.0/8", "loopback"),
        ("172.16.0.0/12", "private"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("::1/128", "loopback"),
        ("2001::/23", "protocol assignments"),  # with Teredo and ORCHID
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
    )
)
_PUBLIC_IPV6 = IPv6Network("2000::/3")

# IPv6 addresses that stand for an IPv4 address. The first two are nothing but another way to write it or to get
# to it; through the others one may get there, so both the outer and the inner address must be allowed.
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_LOOKS_LIKE_A_NUMBER = re.compile(r"(\d+|0[xX][0-9a-fA-F]*)\.?")  # the last label of 0x7f.1, 0177.0.0.1 ...


class AddressRefused(OSError):
    """An address was about to be dialled that may not be."""

    def __init__(self, address: str, port: int, why: str) -> None:
        super().__init__(why)
        self.address = address
        self.port = port
        self.why = why


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where owners may ask to be told (``endpoints`` in the settings).

    As long as Doctor itself listens on loopback only, for development and demonstration, every address may be used
    and http too, save for what is refused always (link-local, cloud metadata, multicast, reserved, Doctor itself)
    and for ``deny``. Otherwise it is https to public addresses, and what is said here.
    """

    allow: tuple[str, ...] = ()
    """Networks (CIDR) to allow beyond the public addresses, such as that of the VNF managers. Loopback is
    allowed only by a network within loopback, not by a wide one that happens to contain it."""
    deny: tuple[str, ...] = ()
    """Networks (CIDR) to refuse always, even where ``allow`` has them: management controllers, databases."""
    http: bool = False
    """Whether http will do. Then anybody on the way can read what owners are told; it stays signed."""

    def __post_init__(self) -> None:
        for name, networks in (("allow", self.allow), ("deny", self.deny)):
            for index, text in enumerate(networks):
                try:
                    parse_network(text)
                except ValueError as error:
                    raise ValueError(f"{name}[{index}]: {error}") from None


def parse_endpoint_settings(value: object, path: str = "endpoints") -> EndpointSettings:
    """Read the settings from plain data, as YAML gives it.

    Raises:
        ValueError: something is wrong; the message begins with the path to it (``endpoints.allow[1]: ...``).
    """
    try:
        return msgspec.convert({} if value is None else value, EndpointSettings)
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$")
        if detail.startswith(("allow[", "deny[")):  # from __post_init__, which knows the place better
            raise ValueError(f"{path}.{detail}") from None
        raise ValueError(f"{path}{place.removesuffix('`')}: {detail}") from None


def parse_network(text: str) -> Network:
    """Read a network (``10.1.0.0/16``) or a single address.

    Raises:
        ValueError: it is neither; the message says what would be right where that can be guessed.
    """
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        loose = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is no network: write CIDR, such as 10.1.0.0/16 or 2001:db8::/32"
        ) from None
    raise ValueError(f"{text!r} has bits beyond its mask: write {loose}, or the address without mask")


class Guard:
    """Decides by settings, and by where Doctor itself listens, what may be dialled.

    ``listen`` are the addresses and ports of Doctor's own doors; none at all counts as being open to the world.
    ``deny`` adds to the networks that the settings deny: those that other settings name (management controllers,
    SNMP agents, the database).
    """

    def __init__(
        self,
        settings: EndpointSettings | None = None,
        *,
        listen: Iterable[tuple[str, int]] = (),
        deny: Iterable[Network] = (),
    ) -> None:
        settings = settings or EndpointSettings()
        self._allow = tuple(parse_network(text) for text in settings.allow)
        self._deny = (*(parse_network(text) for text in settings.deny), *deny)
        self._own = tuple((address, port) for host, port in listen for address in _addresses(host))
        self.loopback_only = bool(self._own) and all(_within(_LOOPBACK, address) for address, _ in self._own)
        self.http = settings.http or self.loopback_only

    def objection_to_url(self, url: Url) -> str | None:
        """Say why this URL can never be used, or None. A name is not looked up: its addresses can change."""
        if url.scheme not in ("http", "https"):
            return f"the URL must begin with {'http:// or ' if self.http else ''}https://"
        if url.scheme == "http" and not self.http:
            return "http is not allowed: use https"
        if url.has_user:
            return "the URL must not contain a user or password"
        host, port = url.host, url.port
        if not host:
            return "the URL has no host"
        if not 1 <= port <= 65535:
            return f"port {port} is not between 1 and 65535"
        try:
            return self.objection(ip_address(host), port)
        except ValueError:
            if not _NAME.fullmatch(host):
                return "the URL has a host that is neither a name nor an address"
            return self._objection_to_name(host, port)

    def _objection_to_name(self, host: str, port: int) -> str | None:
        if _LOOKS_LIKE_A_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            return f"host {host} is not an address in its usual form, such as 192.0.2.1"
        if f".{host.rstrip('.')}".lower().endswith(".localhost") and (
            objection := self.objection(IPv4Address("127.0.0.1"), port)
        ):
            return objection.replace("address 127.0.0.1", f"host {host}")
        return None

    def objection(self, address: Address, port: int) -> str | None:
        """Say why this address may not be dialled, or None."""
        why = self._why_not(address, port)
        return f"address {address} is not allowed: {why}" if why else None

    def _why_not(self, address: Address, port: int) -> str | None:
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return "it names an interface"
            for inner in _embedded(address):
                if why := self._why_not(inner, port):
                    return f"it stands for {inner} ({why})"
            if address in _MAPPED or address in _NAT64:
                return self._why_denied(address)
        if why := _find(_NEVER, address):
            return why
        if any(port == own_port and _is_same_machine(address, own) for own, own_port in self._own):
            return "it is Doctor itself"
        if why := self._why_denied(address):
            return why
        if self.loopback_only or self._is_allowed(address):
            return None
        if why := _find(_NOT_PUBLIC, address):
            return f"{why}, and not in endpoints.allow"
        if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
            return "not public, and not in endpoints.allow"
        return None

    def _why_denied(self, address: Address) -> str | None:
        return "denied by the operator" if _within(self._deny, address) else None

    def _is_allowed(self, address: Address) -> bool:
        networks = self._allow
        if _within(_LOOPBACK, address):  # allowed by name only, since local services trust whoever is local
            networks = tuple(network for network in networks if _within(_LOOPBACK, network[0], network[-1]))
        return _within(networks, address)

    def socket_for(self, info: AddressInfo) -> socket.socket:
        """Make the socket for dialling this address. There is no other way to one.

        Raises:
            AddressRefused: it may not be dialled.
        """
        family, kind, protocol, _, place = info
        host, port = str(place[0]), int(place[1])
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise AddressRefused(host, port, "not an internet address")
        if why := self._why_not(ip_address(host), port):
            raise AddressRefused(host, port, why)
        return socket.socket(family, kind, protocol)


def _within(networks: Iterable[Network], *addresses: Address) -> bool:
    return any(all(address in network for address in addresses) for network in networks)


def _find(table: Iterable[tuple[Network, str]], address: Address) -> str | None:
    return next((why for network, why in table if address in network), None)


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that this address stands for, or by way of which it is reached."""
    value = int(address)
    low = value & 0xFFFFFFFF
    if address in _TEREDO:
        return (IPv4Address(value >> 64 & 0xFFFFFFFF), IPv4Address(low ^ 0xFFFFFFFF))  # server and client
    if address in _6TO4:
        return (IPv4Address(value >> 80 & 0xFFFFFFFF),)
    if address in _COMPATIBLE:
        return () if low <= 1 else (IPv4Address(low),)  # :: and ::1 are themselves
    if any(address in network for network in (_MAPPED, _NAT64, _TRANSLATED)):
        return (IPv4Address(low),)
    return ()


def _addresses(host: str) -> tuple[Address, ...]:
    """Return the addresses that a door is open at. One that cannot be told counts as all of this machine's."""
    try:
        return (ip_address(host),)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return (IPv4Address(0),)
    return tuple({ip_address(place[0]) for _, _, _, _, place in found})


def _is_same_machine(address: Address, own: Address) -> bool:
    return address == own or (own.is_unspecified and _is_local(address))


def _is_local(address: Address) -> bool:
    """Tell whether the address is one of this machine's, asking the routing table; nothing is sent."""
    if _within(_LOOPBACK, address):
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
        except OSError:  # no way there, so it is not here
            return False
