"""Whether it is the hosts that are gone, or we who hear nobody [I-13]."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.inspector.vantage import (
    MONITOR_ISOLATED,
    Held,
    Vantage,
    fault_of,
    is_blind,
    may_be_blind,
    sees_again,
    unrelated,
)
from doctor.model.event import RawEvent
from doctor.model.policy import SelfIsolation
from doctor.model.resource import PhysicalResource, Relation
from doctor.model.resource_map import ResourceMap
from doctor.model.vantage import Sight
from tests.unit.model.nfvis import START, at, nfvis

RULES = SelfIsolation()


def held(second: float = 0) -> Held:
    event = RawEvent(time=at(second), type="compute.host.down", status="down")
    return Held(event, f"event {second}", at(second), at(second))


def site(*racks: int, roof: bool = False) -> ResourceMap:
    """Return racks of so many hosts, h-1 and on; a rack of none is a host that hangs on nothing."""
    physical, relations, number = [], [], 0
    for index, size in enumerate(racks):
        for _ in range(max(size, 1)):
            number += 1
            physical.append(PhysicalResource(id=f"h-{number}"))
            if size:
                relations.append(Relation(f"rack-{index}", "contains", f"h-{number}"))
        if size:
            physical.append(PhysicalResource(id=f"rack-{index}", type="rack"))
            if roof:
                relations.append(Relation("site", "contains", f"rack-{index}"))
    if roof:
        physical.append(PhysicalResource(id="site", type="site"))
    return ResourceMap(physical, [], relations)


def vantage(
    resources: ResourceMap,
    *silent: int,
    canaries: tuple[float | None, ...] = (),
    since: float = 0,
    dead: tuple[int, ...] = (),
) -> Vantage:
    """Return one that sees all hosts but those that are held or dead; canaries are silent since a second, or seen."""
    made = Vantage("ping")
    for host in resources.hosts():
        made.sees(host.id)
    for number in dead:
        made.believe(f"h-{number}", at(since))
    for number in silent:
        made.hold(f"h-{number}", held(since))
    for number, second in enumerate(canaries):
        made.canary(f"canary-{number}", None if second is None else at(second))
    return made


@pytest.mark.requirement("C14")
@pytest.mark.parametrize(
    ("racks", "silent", "canaries", "expected"),
    [
        pytest.param((2, 2, 2), (1, 2, 3, 4, 5, 6), (0, 0), True, id="all-dark-and-canaries"),
        pytest.param((2, 2, 2), (1, 2, 3, 4, 5, 6), (0, None), False, id="a-canary-is-seen"),
        pytest.param((2, 2, 2), (1, 2, 3, 4), (0,), True, id="most-dark-and-canaries"),
        pytest.param((2, 2, 2), (1, 2, 3), (0,), False, id="half-is-not-most"),
        pytest.param((2, 2, 2), (), (0, 0), False, id="canaries-alone"),
        pytest.param((2, 2, 2), (1, 2, 3, 4, 5, 6), (-60,), True, id="canary-long-gone-and-all-dark"),
        pytest.param((3, 3), (1, 2, 3, 4), (-60,), False, id="canary-long-gone-and-one-rack-and-a-bit"),
        pytest.param((0,), (1,), (0,), True, id="the-only-host-and-the-canary"),
        pytest.param((0, 0), (1,), (0,), False, id="one-of-two-and-the-canary"),
        pytest.param((0, 0, 0, 0), (1, 2, 3, 4), (), False, id="too-few-to-say"),
        pytest.param((0, 0, 0, 0, 0), (1, 2, 3, 4, 5), (), True, id="all-of-five"),
        pytest.param((0, 0, 0, 0, 0), (1, 2, 3), (), True, id="most-of-five"),
        pytest.param((0, 0, 0, 0, 0), (1, 2), (), False, id="less-than-half-of-five"),
        pytest.param((6,), (1, 2, 3, 4, 5, 6), (), False, id="one-rack-is-one-domain"),
        pytest.param((4, 2), (1, 2, 3, 4), (), False, id="one-of-two-racks"),
        pytest.param((4, 2), (1, 2, 3, 4, 5), (), False, id="half-of-the-second-rack"),
        pytest.param((4, 2), (1, 2, 3, 4, 5, 6), (), True, id="both-racks"),
        pytest.param((2, 2, 2), (1, 2, 3, 4), (), True, id="two-of-three-racks"),
        pytest.param((4, 1, 1), (1, 2, 3, 4), (), False, id="most-hosts-but-one-rack"),
    ],
)
@pytest.mark.parametrize("roof", [False, True], ids=["", "under-one-roof"])
def test_who_is_blind(
    racks: tuple[int, ...],
    silent: tuple[int, ...],
    canaries: tuple[float | None, ...],
    expected: bool,
    roof: bool,
) -> None:
    resources = site(*racks, roof=roof)
    assert is_blind(vantage(resources, *silent, canaries=canaries), RULES, resources, at(1)) is expected


def test_what_is_long_dead_is_not_part_of_it() -> None:
    resources = site(0, 0, 0, 0, 0, 0)
    made = vantage(resources, 6, dead=(1, 2, 3, 4, 5), since=-60)
    made.hold("h-6", held(0))
    assert not is_blind(made, RULES, resources, at(1))
    made = vantage(resources, 6, dead=(1, 2, 3, 4, 5), since=0)
    assert is_blind(made, RULES, resources, at(1))


def test_what_the_map_has_no_more_does_not_count() -> None:
    resources = site(0, 0, 0, 0, 0)
    made = vantage(resources, 1, 2, 3)
    made.hold("gone-1", held())
    made.sees("gone-2")
    assert is_blind(made, RULES, resources, at(1))
    assert not is_blind(made, RULES, site(0, 0), at(1))


def test_a_silence_is_of_one_moment() -> None:
    resources = site(0, 0, 0, 0, 0)
    made = vantage(resources, 1, 2, 3, 4, 5)
    assert is_blind(made, RULES, resources, at(10))
    assert not is_blind(made, RULES, resources, at(10.1))


@pytest.mark.parametrize(
    ("silent", "canaries", "expected"),
    [
        pytest.param((1, 2, 3, 4), (0, None), True, id="a-canary"),
        pytest.param((1, 2), (0,), True, id="half-of-the-hosts"),
        pytest.param((1, 2, 3), (0,), False, id="less-than-half"),
        pytest.param((1, 2, 3, 4), (), False, id="nobody"),
    ],
)
def test_who_sees_again(silent: tuple[int, ...], canaries: tuple[float | None, ...], expected: bool) -> None:
    resources = site(0, 0, 0, 0)
    assert sees_again(vantage(resources, *silent, canaries=canaries), RULES) is expected


def test_who_has_seen_nothing_yet_does_not_see() -> None:
    assert not sees_again(Vantage("ping"), RULES)
    assert not is_blind(Vantage("ping"), RULES, site(0, 0), START)


def test_there_must_be_something_to_see() -> None:
    assert not may_be_blind(vantage(site(0, 0, 0, 0)), RULES)
    assert may_be_blind(vantage(site(0, 0, 0, 0), canaries=(None,)), RULES)
    assert may_be_blind(vantage(site(0, 0, 0, 0, 0), 1, 2), RULES)


def test_a_host_is_in_one_place_at_a_time() -> None:
    made = vantage(site(0, 0))
    made.hold("h-1", held())
    assert (made.seen, set(made.held), set(made.dead)) == ({"h-2"}, {"h-1"}, set())
    made.believe("h-1", START)
    assert (made.seen, set(made.held), set(made.dead)) == ({"h-2"}, set(), {"h-1"})
    made.sees("h-1")
    assert (made.seen, set(made.held), set(made.dead)) == ({"h-1", "h-2"}, set(), set())


def test_the_fault_is_of_the_vantage_and_says_what_it_lost() -> None:
    made = vantage(site(0, 0, 0), 1, 2, canaries=(0, None))
    made.hold("h-2", held(-1))
    fault = fault_of(made, fault_key="key", now=at(1))
    assert (fault.resource_id, fault.fault_type, fault.event_time) == ("ping", MONITOR_ISOLATED, at(-1))
    assert fault.details == {"silent_hosts": 2, "seen_hosts": 1, "silent_canaries": ["canary-0"]}
    assert fault.is_derived


@pytest.mark.parametrize(
    ("sight", "is_clear"),
    [
        pytest.param({}, False, id="nobody-to-ask"),
        pytest.param({"hosts": 4, "hosts_heard": 1}, False, id="few"),
        pytest.param({"hosts": 4, "hosts_heard": 2}, True, id="half"),
        pytest.param({"hosts": 5, "hosts_heard": 2}, False, id="less-than-half"),
        pytest.param({"hosts": 4, "canaries": 2}, False, id="silent-canaries"),
        pytest.param({"hosts": 4, "canaries": 2, "canaries_heard": 1}, True, id="a-canary"),
    ],
)
def test_a_sight_is_clear_when_somebody_was_heard(sight: dict[str, int], is_clear: bool) -> None:
    assert Sight(vantage="ping", **sight).is_clear is is_clear


# --- against simple second versions ---


def simply_unrelated(hosts: set[str], resources: ResourceMap) -> set[frozenset[str]]:
    """Walk from host to host over the domains that they share."""
    joins = ("connects", "powers", "contains")
    near = {one.supplier for host in hosts for one in resources.suppliers(host) if one.kind in joins}
    domains = {host: set(resources.domains_of(host)) for host in hosts}
    groups = set()
    for host in hosts:
        group, found = {host}, [host]
        while found:
            one = found.pop()
            for other in hosts - group:
                shared = {
                    domain
                    for domain in domains[one] & domains[other]
                    if domain in near or any(domain not in domains[each] for each in hosts)
                }
                if shared:
                    group.add(other)
                    found.append(other)
        groups.add(frozenset(group))
    return groups


@given(nfvis(most=12))
def test_hosts_are_grouped_as_by_walking(resources: ResourceMap) -> None:
    hosts = {host.id for host in resources.hosts()}
    groups = unrelated(hosts, resources)
    assert {frozenset(group) for group in groups} == simply_unrelated(hosts, resources)
    assert sum(map(len, groups)) == len(hosts)


SECONDS = st.integers(-30, 0)


@given(
    st.lists(st.tuples(st.sampled_from(["seen", "held", "dead"]), SECONDS), min_size=1, max_size=12),
    st.lists(st.none() | SECONDS, max_size=3),
    st.integers(2, 8),
    st.sampled_from([0.0, 0.3, 0.5, 0.8]),
)
def test_blindness_is_counted_as_by_hand(
    hosts: list[tuple[str, int]], canaries: list[int | None], least: int, share: float
) -> None:
    """Hosts that hang on nothing: each is a domain of its own."""
    rules = SelfIsolation(hosts=least, share=share, within=timedelta(seconds=10))
    resources = site(*(0 for _ in hosts))
    made = Vantage("ping")
    for number, (how, second) in enumerate(hosts, 1):
        match how:
            case "seen":
                made.sees(f"h-{number}")
            case "held":
                made.hold(f"h-{number}", held(second))
            case _:
                made.believe(f"h-{number}", at(second))
    for number, since in enumerate(canaries):
        made.canary(f"c-{number}", None if since is None else at(since))
    lost = [second for how, second in hosts if how != "seen" and second >= -10]
    waiting = [second for how, second in hosts if how == "held"]
    watched = len(lost) + sum(how == "seen" for how, _ in hosts)
    witnesses = [one for one in canaries if one is None or (waiting and min(waiting) - one <= 10)]
    if not waiting or len(lost) <= share * watched:
        expected = False
    elif witnesses:
        expected = None not in witnesses
    else:
        expected = watched >= least and watched > 1 and len(lost) > 1
    assert is_blind(made, rules, resources, START) is expected
