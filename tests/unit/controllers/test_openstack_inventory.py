"""Listings and announcements together make one truth, in whatever order they come."""

from msgspec.structs import replace

from doctor.drivers.controllers.openstack.announcements import (
    PortSeen,
    ServerGone,
    ServerSeen,
    ServiceSeen,
    ThingGone,
)
from doctor.drivers.controllers.openstack.inventory import Inventory
from doctor.drivers.controllers.openstack.resources import Host, Naming, Port, Server
from doctor.model.map_news import MapDelta
from doctor.model.resource import Constraints, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap

HOSTS = [
    Host(
        service_id=f"s-{number}",
        name=f"compute-{number}",
        zone="nova",
        disabled=False,
        disabled_reason=None,
        forced_down=False,
        vcpus=64,
    )
    for number in (1, 2)
]
VM = Server(
    id="vm-1",
    name="one",
    project="red",
    user=None,
    host="compute-1",
    vm_state="active",
    task_state=None,
    vcpus=1,
    memory_mb=512,
    volumes=(),
    updated="2026-11-21T13:00:00Z",
)
PORT = Port(
    id="port-1",
    project="red",
    network="net-1",
    server="vm-1",
    host="compute-1",
    data_plane_status=None,
    revision=1,
)


class Known:
    """An inventory and the map that its deltas make."""

    def __init__(self, before: ResourceMap | None = None) -> None:
        self.naming = Naming("cloud", "")
        self.inventory = Inventory(self.naming)
        self.resources = before or ResourceMap()
        self.inventory.recall(self.resources)

    def see(self, delta: MapDelta) -> MapDelta:
        self.resources.apply(delta)
        return delta

    def read(self, *servers: Server | str, ports: tuple[Port, ...] = ()) -> int:
        """Read all there is, and return the drift."""
        listing = self.inventory.begin()
        self.see(self.inventory.list_hosts(HOSTS))
        network = self.naming.network_entry("net-1", "net", "red")
        self.see(self.inventory.list_entries([network]))
        self.see(self.inventory.list_servers(servers))
        self.see(self.inventory.list_entries(self.naming.port_entry(port) for port in ports))
        self.see(self.inventory.end())
        return listing.drift

    def vm(self, name: str = "vm-1") -> VirtualResource:
        return self.resources.virtual[name]


def test_a_reading_makes_the_map() -> None:
    known = Known()
    known.read(VM, ports=(PORT,))
    assert known.resources.machines_on("compute-1") == ["vm-1", "port-1"]
    assert known.vm().owner == "red"
    assert set(known.resources.relations) == {
        Relation("net-1", "connects", "port-1"),
        Relation("port-1", "attaches", "vm-1"),
    }


def test_a_second_reading_of_the_same_changes_nothing() -> None:
    known = Known()
    known.read(VM, ports=(PORT,))
    version = known.resources.version
    assert known.read(VM, ports=(PORT,)) == 0
    assert known.resources.machines_on("compute-1") == ["vm-1", "port-1"]
    assert known.resources.version - version <= 5


def test_a_server_that_is_not_listed_any_more_is_gone_and_counts_as_drift() -> None:
    known = Known()
    known.read(VM, ports=(PORT,))
    assert known.read(ports=(PORT,)) == 1
    assert "vm-1" not in known.resources.virtual
    assert set(known.resources.relations) == {Relation("net-1", "connects", "port-1")}


def test_a_server_whose_cell_does_not_answer_stays_as_it_is_known() -> None:
    known = Known()
    known.read(VM)
    assert known.read("vm-1") == 0
    assert known.vm().host == "compute-1"


def test_a_server_that_moves_is_where_it_says() -> None:
    known = Known()
    known.read(VM)
    moved = replace(VM, host="compute-2", updated="2026-11-21T13:00:07Z")
    known.see(known.inventory.take(ServerSeen(moved)))
    assert known.vm().host == "compute-2"
    assert known.resources.machines_on("compute-1") == ()


def test_the_source_of_a_migration_that_speaks_last_is_not_believed() -> None:
    """It says where the server was before, with the time of before."""
    known = Known()
    known.read(VM)
    known.see(known.inventory.take(ServerSeen(replace(VM, host="compute-2", updated="2026-11-21T13:00:07Z"))))
    late = replace(VM, task_state="migrating", updated="2026-11-21T13:00:05Z")
    assert not known.inventory.take(ServerSeen(late))
    assert known.vm().host == "compute-2"


def test_an_old_word_of_a_port_is_not_believed() -> None:
    known = Known()
    known.read(VM, ports=(PORT,))
    known.see(known.inventory.take(PortSeen("port-1", replace(PORT, data_plane_status="DOWN", revision=3))))
    assert not known.inventory.take(PortSeen("port-1", replace(PORT, revision=2)))
    assert known.vm("port-1").vim_state == "down"


def test_what_is_announced_while_a_reading_is_under_way_counts_more_than_what_it_lists() -> None:
    known = Known()
    known.read(VM)
    inventory = known.inventory
    listing = inventory.begin()
    known.see(inventory.list_hosts(HOSTS))
    moved = replace(VM, host="compute-2", updated="2026-11-21T13:00:07Z")
    newcomer = replace(VM, id="vm-2", updated="2026-11-21T13:00:08Z")
    known.see(inventory.take(ServerSeen(moved)))
    known.see(inventory.take(ServerSeen(newcomer)))
    known.see(inventory.list_servers([VM]))
    known.see(inventory.list_entries([known.naming.network_entry("net-1", "net", "red")]))
    known.see(inventory.end())
    assert known.vm().host == "compute-2"
    assert "vm-2" in known.resources.virtual
    assert listing.drift == 0


def test_what_is_deleted_while_a_reading_is_under_way_stays_deleted() -> None:
    known = Known()
    known.read(VM)
    known.inventory.begin()
    known.see(known.inventory.take(ServerGone("vm-1")))
    known.see(known.inventory.list_servers([VM]))
    known.see(known.inventory.list_hosts(HOSTS))
    known.see(known.inventory.end())
    assert "vm-1" not in known.resources.virtual


def test_a_port_that_is_announced_before_its_server_is_tied_to_it_later() -> None:
    known = Known()
    known.read()
    known.see(known.inventory.take(PortSeen("port-1", PORT)))
    known.see(known.inventory.take(ServerSeen(VM)))
    assert Relation("port-1", "attaches", "vm-1") in known.resources.dependents("port-1")


def test_a_port_that_leaves_its_server_is_gone_from_the_map() -> None:
    known = Known()
    known.read(VM, ports=(PORT,))
    known.see(known.inventory.take(PortSeen("port-1", None)))
    known.see(known.inventory.take(ThingGone("port-1")))
    assert "port-1" not in known.resources.virtual


def test_a_volume_is_known_by_its_server_where_there_is_no_cinder() -> None:
    known = Known()
    known.read(replace(VM, volumes=("disk-1",)))
    assert known.vm("disk-1").owner == "red"
    assert Relation("disk-1", "attaches", "vm-1") in known.resources.relations


def test_a_volume_stays_as_long_as_a_server_has_it() -> None:
    known = Known()
    for _ in range(3):
        known.read(replace(VM, volumes=("disk-1",)))
        assert "disk-1" in known.resources.virtual
    known.read(VM)
    assert "disk-1" not in known.resources.virtual


def test_a_word_that_says_nothing_of_volumes_changes_none() -> None:
    known = Known()
    known.read(replace(VM, volumes=("disk-1",)))
    stopped = replace(VM, vm_state="stopped", volumes=None, updated="2026-11-21T13:00:09Z")
    known.see(known.inventory.take(ServerSeen(stopped)))
    assert known.vm().vim_state == "stopped"
    assert Relation("disk-1", "attaches", "vm-1") in known.resources.relations


def test_an_unversioned_word_changes_the_host_and_the_state_and_nothing_else() -> None:
    known = Known()
    known.read(replace(VM, tags=("doctor:role=ACT",), extra_specs={"hw:cpu_policy": "dedicated"}))
    bare = replace(VM, host="compute-2", vm_state="error", updated="")
    known.see(known.inventory.take(ServerSeen(bare)))
    assert (known.vm().host, known.vm().vim_state) == ("compute-2", "error")
    assert (known.vm().role, known.vm().needs) == ("ACT", ("pinned CPUs",))


def test_a_listing_that_is_ahead_of_the_announcement_is_no_drift() -> None:
    known = Known()
    known.read(VM)
    stopped = replace(VM, vm_state="stopped", updated="2026-11-21T13:00:01Z")
    listing = known.inventory.begin()
    known.see(known.inventory.list_hosts(HOSTS))
    known.see(known.inventory.list_servers([stopped]))
    assert listing.drift == 1
    known.see(known.inventory.take(ServerSeen(stopped)))
    assert listing.drift == 0


def test_a_host_that_somebody_forces_down_says_so() -> None:
    known = Known()
    known.read(VM)
    known.see(known.inventory.take(ServiceSeen("compute-1", True, "new disks", True)))
    host = known.resources.physical["compute-1"]
    assert host.vim_state == "disabled down"
    assert host.metadata["disabled_reason"] == "new disks"
    assert host.metadata["vcpus"] == 64


def test_what_was_known_before_a_restart_is_no_news_after_it() -> None:
    known = Known()
    known.read(replace(VM, volumes=("disk-1",)), ports=(PORT,))
    again = Known(known.resources)
    version = again.resources.version
    assert again.read(replace(VM, volumes=("disk-1",)), ports=(PORT,)) == 0
    assert again.resources.version - version <= 5
    assert again.vm().host == "compute-1"


def test_what_vanished_while_doctor_was_away_is_gone_after_the_first_reading() -> None:
    known = Known()
    known.read(VM, ports=(PORT,))
    again = Known(known.resources)
    again.read()
    assert list(again.resources.virtual) == ["net-1"]


def test_wishes_of_owners_are_read_from_metadata_and_tags() -> None:
    known = Known()
    tags = ("doctor:role=act", "doctor:sal=2", "other", "doctor:empty=")
    known.read(replace(VM, tags=tags, metadata={"doctor:sal": "1A", "doctor:recovery": "rebuild", "x": "y"}))
    one = known.vm()
    assert (one.role, one.sal, one.recovery) == ("ACT", "1A", "rebuild")


def test_constraints_of_owners_are_read_from_metadata_and_tags() -> None:
    known = Known()
    known.read(VM)
    assert known.vm().constraints is None
    tags = ("doctor:live_migration=forbidden", "doctor:tolerated_interruption=2.5")
    known.read(replace(VM, tags=tags, metadata={"doctor:max_out": "1"}))
    constraints = Constraints(live_migration=False, tolerated_interruption=2.5, max_out=1)
    assert known.vm().constraints == constraints
    known.read(replace(VM, metadata={"doctor:max_out": "two", "doctor:tolerated_interruption": "-1"}))
    assert known.vm().constraints is None


def test_the_group_is_the_server_group_unless_the_owner_says_otherwise() -> None:
    known = Known()
    known.inventory.list_groups({"vm-1": "core", "vm-2": "core"})
    known.read(VM, replace(VM, id="vm-2", metadata={"doctor:group": "edge"}))
    assert (known.vm().group, known.vm("vm-2").group) == ("core", "edge")


def test_hosts_of_two_clouds_may_have_the_same_name() -> None:
    naming = Naming("north", "north/")
    host = naming.host_entry(HOSTS[0]).resource
    assert (host.id, host.cloud) == ("north/compute-1", "north")
    assert naming.server_entry(VM, None).resource.host == "north/compute-1"  # type: ignore[union-attr]
