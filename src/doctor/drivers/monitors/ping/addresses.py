"""Where a host is asked: text from the map or the settings becomes an address that a socket can use."""

import ipaddress
import socket

import msgspec


class Address(msgspec.Struct, frozen=True):
    """An IP address. ``text`` is its one canonical writing; ``scope`` the interface of an IPv6 link-local one."""

    family: socket.AddressFamily
    text: str
    scope: int = 0

    def at_port(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the address as the calls of a socket want it; ICMP has no ports and takes 0."""
        if self.family == socket.AF_INET6:
            return (self.text, port, 0, self.scope)
        return (self.text, port)


def literal(text: str) -> Address | None:
    """Read an address written in figures; None when it is a name (or names an interface) and has to be looked up.

    Raises:
        ValueError: nobody answers at such an address: it is multicast or unspecified.
    """
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return usable(address)


def resolve(name: str) -> tuple[Address, ...]:
    """Look a name up. This blocks, so it is work for a thread.

    Raises:
        OSError: it cannot be found, at least now.
        ValueError: what was found is not an address that could answer.
    """
    found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    addresses = [
        usable(
            ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]),
            scope=sockaddr[3] if len(sockaddr) == 4 else 0,
        )
        for _, _, _, _, sockaddr in found
    ]
    return tuple(dict.fromkeys(addresses))


def usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address, *, scope: int = 0) -> Address:
    """Return the address if a single host can have it.

    Raises:
        ValueError: it is multicast or unspecified.
    """
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"{address} is not the address of a host")
    if isinstance(address, ipaddress.IPv4Address):
        return Address(socket.AF_INET, str(address))
    if address.ipv4_mapped is not None:
        return usable(address.ipv4_mapped)
    return Address(socket.AF_INET6, str(address), scope)
