"""What Doctor knows of one cloud, thing by thing, and what changes in it.

Two sources are joined here: listings of what there is, which are long under way and may be old by their end, and
announcements of what changes, which come out of order or not at all. A word that is older than what is known already
is dropped; a listing says nothing of what was announced since it began.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable

from msgspec.structs import replace

from doctor.drivers.controllers.openstack.announcements import (
    Announcement,
    GroupsChanged,
    HostsChanged,
    NetworkSeen,
    PortSeen,
    ServerGone,
    ServerSeen,
    ServiceHeard,
    ServiceSeen,
    ThingGone,
)
from doctor.drivers.controllers.openstack.resources import Host, Naming, Server
from doctor.model.map_news import Entry, MapDelta, difference
from doctor.model.resource import NIC, STORAGE, Relation, Resource, VirtualResource
from doctor.model.resource_map import ResourceMap

NEWS = 50_000  # things of which the time of the last news is remembered

Stamp = tuple[str, int]  # Nova's time of the last change, Neutron's count of changes
UNDATED: Stamp = ("", 0)  # an unversioned notification does not say


class Listing:
    """One reading of everything there is, while it is under way."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.announced: set[str] = set()
        self.otherwise: set[str] = set()

    @property
    def drift(self) -> int:
        """Return how many things are otherwise than announced; a word that comes before the end is in time."""
        return len(self.otherwise)


class Inventory:
    """All things of one cloud by their ids in the map."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._entries: dict[str, Entry] = {}
        self._hosts: dict[str, Host] = {}
        self._groups: dict[str, str] = {}
        self._stamps: OrderedDict[str, Stamp] = OrderedDict()
        self._awaited: dict[str, set[str]] = {}
        self._listing: Listing | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, resource_id: str) -> bool:
        return resource_id in self._entries

    def recall(self, known: ResourceMap) -> None:
        """Take over what Doctor knew of this cloud before it was started anew."""
        machines = (known.as_given(one) for one in known.virtual)
        things: list[Resource] = [*known.physical.values(), *filter(None, machines)]
        for one in things:
            if one.cloud == self._naming.cloud:
                self._entries[one.id] = Entry(one, tuple(_brought(one, known)))

    # --- listings ---

    def begin(self) -> Listing:
        """Begin to read everything there is."""
        self._listing = Listing()
        return self._listing

    def list_hosts(self, hosts: Iterable[Host]) -> MapDelta:
        """Take in all hosts."""
        found = {}
        for listed in hosts:
            known = self._hosts.get(listed.name, listed)
            host = replace(listed, is_missed=known.is_missed, is_silent=known.is_silent)
            self._hosts[host.name] = host
            entry = self._naming.host_entry(host)
            found[entry.resource.id] = entry
        return self._listed(found)

    def list_groups(self, groups: dict[str, str]) -> None:
        """Take in the server groups by member: what is put from now on is in them."""
        self._groups = groups

    def list_servers(self, servers: Iterable[Server | str]) -> MapDelta:
        """Take in some servers; of those that are ids only nothing is known but that they are."""
        found: dict[str, Entry] = {}
        for server in servers:
            if isinstance(server, str):
                if self._listing is not None:
                    self._listing.seen.add(server)
                continue
            found |= self._volumes_of(server)
            if self._listing is not None:
                self._listing.seen.update(server.volumes or ())
            entry = self._naming.server_entry(server, self._groups.get(server.id))
            found[server.id] = entry
            if not self._is_announced(server.id) and self._entries.get(server.id) != entry:
                self._stamp(server.id, (server.updated, 0))
        return self._listed(found)

    def list_entries(self, entries: Iterable[Entry]) -> MapDelta:
        """Take in some ports, networks or volumes."""
        return self._listed({entry.resource.id: entry for entry in entries})

    def end(self) -> MapDelta:
        """End the reading: what it has not seen, and nobody has announced, is gone."""
        listing = self._listing
        assert listing is not None
        self._listing = None
        gone = [name for name in self._entries if name not in listing.seen and name not in listing.announced]
        listing.otherwise.update(gone)
        return self._without(gone)

    @property
    def counts(self) -> Counter[str]:
        """Return how many things of each kind there are."""
        return Counter(entry.resource.type for entry in self._entries.values())

    @property
    def unseen(self) -> Counter[str]:
        """Return how many things of each kind the reading that is under way has not seen."""
        listing = self._listing
        if listing is None:
            return Counter()
        return Counter(
            entry.resource.type
            for name, entry in self._entries.items()
            if name not in listing.seen and name not in listing.announced
        )

    def abandon(self) -> None:
        """Give up a reading: it could not be finished."""
        self._listing = None

    def _listed(self, found: dict[str, Entry]) -> MapDelta:
        listing = self._listing
        if listing is not None:
            listing.seen.update(found)
            found = {name: entry for name, entry in found.items() if name not in listing.announced}
            listing.otherwise.update(
                name for name, entry in found.items() if self._entries.get(name) != entry
            )
        return self._put(found)

    # --- announcements ---

    def take(self, said: Announcement) -> MapDelta:
        """Take in what was announced; what is older than what is known changes nothing."""
        match said:
            case ServerSeen(server):
                if self._is_old(server.id, (server.updated, 0)):
                    return MapDelta()
                return self._announced(self._of_server(server))
            case PortSeen(port_id, port):
                if port is None:
                    return self._gone([port_id])
                if self._is_old(port.id, ("", port.revision)):
                    return MapDelta()
                return self._announced({port.id: self._naming.port_entry(port)})
            case NetworkSeen(network):
                entry = self._naming.network_entry(network.id, network.name, network.project_id)
                return self._announced({network.id: entry})
            case ServerGone(name) | ThingGone(name):
                return self._gone([name])
            case ServiceSeen():
                return self._service(said)
            case ServiceHeard(name, is_alive):
                return self._service_heard(name, is_alive=is_alive)
            case HostsChanged() | GroupsChanged():
                return MapDelta()  # the next reading finds out

    def _of_server(self, server: Server) -> dict[str, Entry]:
        """Return a server with its volumes; a notification that does not speak of volumes changes none."""
        entry = self._naming.server_entry(server, self._groups.get(server.id))
        known = self._entries.get(server.id)
        if known is not None and isinstance(known.resource, VirtualResource):
            if not server.updated:  # an unversioned notification leaves out flavors and tags
                now = entry.resource
                assert isinstance(now, VirtualResource)
                entry = Entry(
                    replace(known.resource, host=now.host, vim_state=now.vim_state), known.relations
                )
            elif server.volumes is None:
                entry = Entry(entry.resource, known.relations)
        return self._volumes_of(server) | {server.id: entry}

    def _volumes_of(self, server: Server) -> dict[str, Entry]:
        """Return the volumes of a server that nobody has told of yet: Cinder, where there is one, knows more."""
        return {
            volume: self._naming.volume_entry(volume, None, server.project, None)
            for volume in server.volumes or ()
            if volume not in self._entries
        }

    def _service(self, said: ServiceSeen) -> MapDelta:
        known = self._hosts.get(said.host)
        if known is None:
            return MapDelta()  # a new host; it is announced by itself

        host = replace(
            known,
            disabled=said.disabled,
            disabled_reason=said.disabled_reason,
            forced_down=said.forced_down,
            is_silent=known.is_silent and not said.forced_down,
        )
        return self._host_is(host)

    def _service_heard(self, name: str, *, is_alive: bool) -> MapDelta:
        """Believe that a service is silent when it was missed twice: one that was just forced up has yet to report."""
        known = self._hosts.get(name)
        if known is None:
            return MapDelta()
        is_silent = known.is_missed and not is_alive
        host = replace(known, is_missed=not is_alive, is_silent=is_silent)
        if known.is_silent == is_silent:
            self._hosts[name] = host
            return MapDelta()
        return self._host_is(host)

    def _host_is(self, host: Host) -> MapDelta:
        self._hosts[host.name] = host
        entry = self._naming.host_entry(host)
        return self._announced({entry.resource.id: entry})

    def _announced(self, found: dict[str, Entry]) -> MapDelta:
        self._note(found)
        return self._put(found)

    def _gone(self, names: list[str]) -> MapDelta:
        self._note(names)
        return self._without([name for name in names if name in self._entries])

    def _note(self, names: Iterable[str]) -> None:
        """Note what was announced while everything is read."""
        if self._listing is not None:
            self._listing.announced.update(names)
            self._listing.otherwise.difference_update(names)

    def _is_old(self, name: str, stamp: Stamp) -> bool:
        known = self._stamps.get(name)
        if stamp == UNDATED:
            return False
        if known is not None and stamp < known:
            return True
        self._stamp(name, stamp)
        return False

    def _stamp(self, name: str, stamp: Stamp) -> None:
        self._stamps[name] = stamp
        self._stamps.move_to_end(name)
        if len(self._stamps) > NEWS:
            self._stamps.popitem(last=False)

    def _is_announced(self, name: str) -> bool:
        return self._listing is not None and name in self._listing.announced

    # --- both ---

    def _put(self, found: dict[str, Entry]) -> MapDelta:
        """Take over entries, and the relations that waited for them."""
        before = {name: known for name in found if (known := self._entries.get(name)) is not None}
        self._entries.update(found)
        delta = difference(before, found)
        ties: list[Relation] = list(delta.related)
        for name, entry in found.items():
            for tie in entry.relations:
                for end in (tie.supplier, tie.dependent):
                    if end not in self._entries:
                        self._awaited.setdefault(end, set()).add(name)
            for waiting in self._awaited.pop(name, ()):
                ties += self._entries[waiting].relations if waiting in self._entries else ()
        if len(ties) == len(delta.related):
            return delta
        return MapDelta(
            physical=delta.physical, virtual=delta.virtual, related=tuple(ties), unrelated=delta.unrelated
        )

    def _without(self, names: list[str]) -> MapDelta:
        before = {name: self._entries.pop(name) for name in names}
        for name in names:
            self._stamps.pop(name, None)
        return difference(before, {})


def _brought(one: Resource, known: ResourceMap) -> list[Relation]:
    """Return the relations that come and go with a resource, as `Naming` gives them."""
    if one.type == NIC:
        networks = [tie for tie in known.suppliers(one.id) if tie.kind == "connects"]
        return networks + [tie for tie in known.dependents(one.id) if tie.kind == "attaches"]
    return [tie for tie in known.suppliers(one.id) if getattr(known.get(tie.supplier), "type", "") == STORAGE]
