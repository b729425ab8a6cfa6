"""The resource map: every look-up is what a search through all of it would find."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.model.errors import RejectedError
from doctor.model.resource import PhysicalResource, Relation, VirtualResource, Vnf, vnf_named
from doctor.model.resource_map import ResourceMap, short_name
from tests.unit.model.nfvis import OWNERS, nfvis

NAMED = ResourceMap(
    [
        PhysicalResource(id="compute-1.example.org", aliases=("10.0.0.1", "node-a")),
        PhysicalResource(id="compute-2", aliases=("compute-3",)),
        PhysicalResource(id="10.0.0.9"),
        PhysicalResource(id="compute-4.one.org"),
        PhysicalResource(id="compute-3.example.org"),
    ],
    [VirtualResource(id="vm-1", host="compute-2", owner="red")],
)


@pytest.mark.parametrize(
    ("resource_id", "names", "found"),
    [
        pytest.param(
            "compute-1.example.org", ("compute-1.example.org", "node-a"), "compute-1.example.org", id="id"
        ),
        pytest.param("compute-1.example.org", ("compute-2", "node-a"), "node-a", id="alias"),
        pytest.param("compute-1.example.org", ("compute-1",), "compute-1", id="short-name"),
        pytest.param("compute-3.example.org", ("compute-3",), None, id="short-name-that-is-anothers-alias"),
        pytest.param("compute-2", ("compute-1",), None, id="none-of-its-names"),
        pytest.param("compute-77", ("compute-77",), "compute-77", id="unknown"),
    ],
)
def test_by_which_of_some_names_it_is_called(
    resource_id: str, names: tuple[str, ...], found: str | None
) -> None:
    assert NAMED.name_among(resource_id, names) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("compute-1.example.org", "compute-1.example.org", id="id"),
        pytest.param("compute-1", "compute-1.example.org", id="short-name-of-the-id"),
        pytest.param("compute-2.example.org", "compute-2", id="the-id-is-its-short-name"),
        pytest.param("10.0.0.1", "compute-1.example.org", id="alias"),
        pytest.param("node-a", "compute-1.example.org", id="another-alias"),
        pytest.param("node-a.example.org", "compute-1.example.org", id="the-alias-is-its-short-name"),
        pytest.param("compute-3", "compute-2", id="an-alias-goes-before-a-short-name"),
        pytest.param("10.0.0.9", "10.0.0.9", id="address-as-id"),
        pytest.param("10.0.0.7", None, id="addresses-have-no-short-name"),
        pytest.param("vm-1", "vm-1", id="machine"),
        pytest.param("vm-1.example.org", None, id="machines-have-no-domain"),
        pytest.param("compute-77", None, id="unknown"),
        pytest.param("", None, id="nothing"),
        pytest.param("compute-9.one.org", None, id="a-domain-is-no-name"),
    ],
)
def test_names(name: str, found: str | None) -> None:
    """[design 3] Hosts match by id, alias, then short name."""
    resource = NAMED.find(name)
    assert (resource and resource.id) == found


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("a.b.c", "a"),
        ("a", "a"),
        ("10.0.0.1", "10.0.0.1"),
        ("", ""),
        ("a.", "a."),
        ("fe80::1", "fe80::1"),
        ("a.b:eth1", "a.b:eth1"),
        ("a:eth1.100", "a:eth1.100"),
    ],
)
def test_short_names(name: str, short: str) -> None:
    assert short_name(name) == short


HOST = PhysicalResource(id="compute-1")
MACHINE = VirtualResource(id="vm-1", host="compute-1", owner="red")

FLAWED = [
    pytest.param([HOST, HOST], [], [], "/physical_resources/1/id", id="physical-twice"),
    pytest.param([HOST], [MACHINE, MACHINE], [], "/virtual_resources/1/id", id="virtual-twice"),
    pytest.param(
        [HOST], [VirtualResource(id="compute-1", owner="red")], [], "/virtual_resources/0/id", id="both"
    ),
    pytest.param([], [MACHINE], [], "/virtual_resources/0/host", id="unknown-host"),
    pytest.param(
        [HOST], [], [Relation("x", "powers", "compute-1")], "/relations/0/from", id="unknown-supplier"
    ),
    pytest.param(
        [HOST], [], [Relation("compute-1", "powers", "x")], "/relations/0/to", id="unknown-dependent"
    ),
    pytest.param(
        [HOST], [], [Relation("compute-1", "powers", "compute-1")], "/relations/0/to", id="on-itself"
    ),
    pytest.param(
        [PhysicalResource(id="a", aliases=("c",)), PhysicalResource(id="b", aliases=("c",))],
        [],
        [],
        "/physical_resources/1/aliases",
        id="alias-twice",
    ),
]


@pytest.mark.parametrize(("physical", "virtual", "relations", "pointer"), FLAWED)
def test_a_flaw_is_named_by_its_place(
    physical: list[PhysicalResource], virtual: list[VirtualResource], relations: list[Relation], pointer: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        ResourceMap(physical, virtual, relations)
    assert [flaw.pointer for flaw in refused.value.flaws] == [pointer]


def test_of_many_flaws_a_hundred_are_named() -> None:
    with pytest.raises(RejectedError, match="has 500 flaws") as refused:
        ResourceMap([], [VirtualResource(id=f"vm-{number}", host="x", owner="red") for number in range(500)])
    assert len(refused.value.flaws) == 100


def test_an_alias_may_be_said_twice_of_the_same_thing() -> None:
    assert ResourceMap([PhysicalResource(id="a", aliases=("b", "b"))]).find("b")


def test_an_empty_map_knows_nothing() -> None:
    empty = ResourceMap()
    assert empty.find("compute-1") is None
    assert list(empty.hosts()) == []
    assert list(empty.machines_on("compute-1")) == list(empty.owned_by("red")) == []


@given(nfvis(), st.data())
def test_every_look_up_is_what_a_search_finds(resources: ResourceMap, data: st.DataObject) -> None:
    physical, virtual = list(resources.physical.values()), list(resources.virtual.values())
    everything = [*(one.id for one in physical), *(one.id for one in virtual)]
    assert list(resources.physical_ids) == [resource.id for resource in physical]
    assert list(resources.virtual_ids) == [resource.id for resource in virtual]
    assert list(resources.hosts()) == [resource for resource in physical if resource.type == "host"]
    for owner in OWNERS:
        assert list(resources.owned_by(owner)) == [one.id for one in virtual if one.owner == owner]
    for name in everything:
        assert list(resources.machines_on(name)) == [one.id for one in virtual if one.host == name]
        assert list(resources.dependents(name)) == [
            one for one in resources.relations if one.supplier == name
        ]
        assert set(resources.suppliers(name)) == {one for one in resources.relations if one.dependent == name}
        found = resources.get(name)
        assert found is not None
        assert found.id == name
        assert resources.find(name) is found
    some = data.draw(st.lists(st.sampled_from(everything)))
    wanted = sorted({name for name in some if any(one.supplier == name for one in resources.relations)})
    assert list(resources.suppliers_among(some)) == wanted


# --- VNFs ---


def grouped() -> ResourceMap:
    return ResourceMap(
        [],
        [
            VirtualResource(id="vm-1", owner="red", group="web"),
            VirtualResource(id="vol-1", type="virtual storage", owner="red", group="web"),
            VirtualResource(id="vm-2", owner="red", group="web"),
            VirtualResource(id="vm-3", owner="blue", group="web"),
            VirtualResource(id="vm-4", owner="red"),
            VirtualResource(id="vol-2", type="virtual storage", owner="red", group="disks"),
        ],
    )


@pytest.mark.parametrize(
    ("vnf", "machines"),
    [
        (Vnf("red", "web"), ["vm-1", "vm-2"]),
        (Vnf("blue", "web"), ["vm-3"]),
        (Vnf("red", None, "vm-4"), ["vm-4"]),
        (Vnf("red", "nothing"), []),
        (Vnf("green", "web"), []),
        (Vnf("blue", None, "vm-4"), []),
        (Vnf("red", None, "vm-1"), []),
        (Vnf("red", None, "nobody"), []),
        (Vnf("red", "disks"), []),
    ],
)
def test_a_vnf_is_the_machines_of_a_group_or_one_without_a_group(vnf: Vnf, machines: list[str]) -> None:
    resources = grouped()
    for _ in range(2):  # the second time it is known
        assert [one.id for one in resources.machines_of(vnf)] == machines
    assert resources.vnf_owner(vnf.id) == (vnf.owner if machines else None)


@given(st.text(min_size=1), st.text(min_size=1), st.booleans())
def test_the_id_of_a_vnf_names_it(owner: str, name: str, is_group: bool) -> None:
    vnf = Vnf(owner, name) if is_group else Vnf(owner, None, name)
    assert vnf_named(vnf.id) == vnf
    assert vnf.id.isascii()


@pytest.mark.parametrize(
    "name", ["", "vm-1", "vnf", "vnf:", "vnf:red", "vnf:red:", "vnf:red::", "vnf:a:b:c", "x:red:web"]
)
def test_other_ids_name_no_vnf(name: str) -> None:
    assert vnf_named(name) is None
    assert grouped().vnf_owner(name) is None


# --- failure domains ---


@given(nfvis())
def test_a_host_is_in_every_domain_that_it_depends_on(resources: ResourceMap) -> None:
    """[design 3] By what powers, connects and contains, one after the other: what a search from the domain down finds."""
    joined = [one for one in resources.relations if one.kind in ("powers", "connects", "contains")]
    for domain in (*resources.physical, *resources.virtual):
        within: set[str] = set()
        more = {domain}
        while more:
            more = {one.dependent for one in joined if one.supplier in more} - within
            within |= more
        hosts = {host.id for host in resources.hosts() if host.id in within}
        assert resources.hosts_by_domain.get(domain, frozenset()) == hosts
        assert all(domain in resources.domains_of(name) for name in hosts)
    for host in resources.hosts():
        direct = [one.supplier for one in joined if one.dependent == host.id]
        nearest = list(dict.fromkeys(direct))
        assert set(resources.domains_of(host.id)[: len(nearest)]) == set(nearest)
