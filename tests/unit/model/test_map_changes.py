"""A map that is changed where it stands is the same as one that is made whole."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from doctor.model.capacity import Pool, differences
from doctor.model.fault import ResourceState
from doctor.model.map_news import Entry, MapDelta, difference
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap

HOSTS = ("c1", "c2", "c3")
MACHINES = ("v1", "v2", "v3", "v4")
OWNERS = ("red", "blue")

Content = dict[str, Entry]


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Return what a controller might know at some moment: it names nothing that it does not know."""
    found: Content = {}
    for name in draw(st.lists(st.sampled_from(HOSTS), unique=True)):
        zone, size = draw(st.sampled_from(["z1", "z2", None])), draw(st.integers(0, 8))
        aliases = (f"{name}-a",) if draw(st.booleans()) else ()
        found[name] = Entry(
            PhysicalResource(id=name, zone_id=zone, aliases=aliases, metadata={"vcpus": size})
        )
    places = [name for name in HOSTS if name in found]
    for name in draw(st.lists(st.sampled_from(MACHINES), unique=True)):
        host = draw(st.sampled_from([*places, None]))
        machine = VirtualResource(
            id=name, host=host, owner=draw(st.sampled_from(OWNERS)), vcpus=draw(st.sampled_from([None, 1, 3]))
        )
        ends = [one for one in found if one != name]
        suppliers = draw(st.lists(st.sampled_from(ends), unique=True, max_size=2)) if ends else []
        found[name] = Entry(machine, tuple(Relation(one, "backs", name) for one in suppliers))
    return found


def whole(content: Content) -> ResourceMap:
    things = [entry.resource for entry in content.values()]
    return ResourceMap(
        [one for one in things if isinstance(one, PhysicalResource)],
        [one for one in things if isinstance(one, VirtualResource)],
        [tie for entry in content.values() for tie in entry.relations],
    )


def looked_up(resources: ResourceMap) -> dict[str, object]:
    names = [*HOSTS, *MACHINES]
    return {
        "physical": resources.physical,
        "virtual": resources.virtual,
        "ids": (sorted(resources.physical_ids), sorted(resources.virtual_ids)),
        "machines": {name: sorted(resources.machines_on(name)) for name in names},
        "owned": {name: sorted(resources.owned_by(name)) for name in OWNERS},
        "taken": {name: resources.taken_on(name) for name in names},
        "suppliers": {name: set(resources.suppliers(name)) for name in names},
        "dependents": {name: set(resources.dependents(name)) for name in names},
        "relations": sorted(map(str, resources.relations)),
        "count": resources.count_relations(),
        "names": {name: resources.find(f"{name}-a") for name in HOSTS},
    }


def normal(_: str) -> ResourceState:
    return ResourceState.NORMAL


@given(st.lists(contents(), min_size=2, max_size=6))
def test_step_by_step_it_becomes_what_it_would_be_if_made_whole(steps: list[Content]) -> None:
    resources = whole(steps[0])
    pool = Pool(resources, normal)
    for before, after in pairwise(steps):
        version = resources.version
        delta = difference(before, after)
        hosts = {name for name in (*before, *after) if name in HOSTS}
        resources.apply(delta)
        told = pool.recount(sorted(hosts), resources, normal)
        assert looked_up(resources) == looked_up(whole(after))
        assert differences(pool, Pool(resources, normal)) == ()
        assert resources.version == version + 1
        if told:
            assert delta


@given(contents(), contents())
def test_a_copy_stays_as_the_map_was(before: Content, after: Content) -> None:
    """Neither tells of what becomes of the other."""
    resources = whole(before)
    kept = resources.copy()
    resources.apply(difference(before, after))
    assert looked_up(kept) == looked_up(whole(before))
    kept.apply(difference(before, {}))
    assert looked_up(resources) == looked_up(whole(after))


def test_lists_that_were_handed_out_stay_as_they_were() -> None:
    resources = whole(
        {
            "c1": Entry(PhysicalResource(id="c1")),
            "v1": Entry(VirtualResource(id="v1", host="c1", owner="red")),
            "v2": Entry(VirtualResource(id="v2", host="c1", owner="red")),
        }
    )
    listings = [resources.machines_on("c1"), resources.owned_by("red"), resources.virtual_ids]
    resources.apply(MapDelta(gone=("v1",)))
    assert listings == [["v1", "v2"]] * 3
    assert resources.machines_on("c1") == ["v2"]


def test_a_machine_on_a_host_that_nobody_knows_is_on_none() -> None:
    resources = ResourceMap()
    resources.apply(MapDelta(virtual=(VirtualResource(id="v1", host="c9", owner="red"),)))
    assert resources.virtual["v1"].host is None


def test_a_relation_without_its_ends_is_left_out() -> None:
    resources = ResourceMap([PhysicalResource(id="c1")])
    resources.apply(MapDelta(related=(Relation("c1", "connects", "c9"), Relation("c9", "connects", "c1"))))
    assert list(resources.relations) == []


def test_no_difference_is_no_delta() -> None:
    content = {"c1": Entry(PhysicalResource(id="c1"))}
    assert not difference(content, dict(content))
    assert list(difference({}, content).ids) == list(difference(content, {}).ids) == ["c1"]
