"""Which resource of the map sends from which address."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address

from doctor.drivers.monitors.snmp.facts import Device
from doctor.model.resource import PhysicalResource


def plain(address: str) -> str:
    """Return an address as it is compared: IPv4 within IPv6 is IPv4.

    Raises:
        ValueError: it is none.
    """
    read = ip_address(address.partition("%")[0])
    if isinstance(read, IPv6Address) and read.ipv4_mapped is not None:
        read = read.ipv4_mapped
    return str(read)


class Devices:
    """The resources with an address. Names are not looked up: who answers for them could say who sends."""

    def __init__(self, resources: Iterable[PhysicalResource] = ()) -> None:
        self._by_address: dict[str, Device] = {}
        self._addresses: dict[str, str] = {}
        for resource in resources:
            for text in resource.address:
                try:
                    address = plain(text)
                except ValueError:
                    continue
                device = self._by_address.setdefault(address, Device(resource.id, resource.type))
                if device.id == resource.id:
                    self._addresses.setdefault(resource.id, address)

    def __iter__(self) -> Iterator[Device]:
        return iter({device.id: device for device in self._by_address.values()}.values())

    def at(self, address: str) -> Device | None:
        """Return who sends from an address, as a socket has it."""
        found = self._by_address.get(address)
        if found is None and ":" in address:
            found = self._by_address.get(plain(address))
        return found

    def address_of(self, device: str) -> str | None:
        """Return at which address a device is asked: the first that the map has."""
        return self._addresses.get(device)
