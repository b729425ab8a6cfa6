"""When parts of a failure impact zone have failed too often, and in which zones a failure counts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.inspector.zones import QUESTION, ZONE_FAULT, Levels, next_zones
from doctor.model.fault import EventType, Fault, ResourceState, Severity
from doctor.model.policy import Escalate, ZoneLevel
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from tests.unit.inspector import second_zones
from tests.unit.inspector.zone_course import Told, ZoneCourse

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def at(second: int) -> datetime:
    return NOON + timedelta(seconds=second)


def level(zone_type: str, **said: object) -> ZoneLevel:
    return ZoneLevel(
        **{"type": zone_type, "probation": timedelta(seconds=60), "escalate": Escalate.AUTOMATIC, **said}  # type: ignore[arg-type]
    )


def by_type(*levels: ZoneLevel) -> Levels:
    return {level.type: level for level in levels}


def resource_map(*relations: tuple[str, str, str], machines: dict[str, str] | None = None) -> ResourceMap:
    """Return a map; the type of a resource is the part of its name before the dash."""
    names = dict.fromkeys(name for supplier, _, dependent in relations for name in (supplier, dependent))
    machines = machines or {}
    physical = dict.fromkeys([*(name for name in names if name not in machines), *machines.values()])
    return ResourceMap(
        [PhysicalResource(id=name, type=name.partition("-")[0]) for name in physical if name],
        [VirtualResource(id=name, host=host or None, owner="red") for name, host in machines.items()],
        [Relation(*relation) for relation in relations],
    )


def fault(resource: str, begin: int, kind: str = "down", **said: object) -> Fault:
    return Fault(
        **{  # type: ignore[arg-type]
            "fault_key": f"{resource} {kind} {begin}",
            "resource_id": resource,
            "resource_type": resource.partition("-")[0],
            "fault_type": kind,
            "rule": kind,
            "severity": Severity.CRITICAL,
            "state": ResourceState.DOWN,
            "event_type": EventType.EQUIPMENT,
            "probable_cause": "",
            "recommended_action": "",
            "raised_by": f"event {resource} {begin}",
            "event_time": at(begin),
            "raised_time": at(begin),
            **said,
        }
    )


class Tale:
    """Faults that come and go, and what is told of zones."""

    def __init__(self, resources: ResourceMap, *levels: ZoneLevel) -> None:
        self.resources = resources
        self.zones = ZoneCourse(levels)
        self.told: list[tuple[int, str, str, bool]] = []
        self.faults: list[Fault] = []

    def passes(self, second: int) -> None:
        self._tell(second, list(self.zones.passes(self.resources, at(second))))

    def begins(self, resource: str, second: int, kind: str = "down", **said: object) -> Fault:
        self.passes(second)
        begun = fault(resource, second, kind, **said)
        self._tell(second, list(self.zones.takes(begun, self.resources)))
        return begun

    def ends(self, begun: Fault, second: int) -> None:
        self.passes(second)
        over = fault(
            begun.resource_id,
            round((begun.raised_time - NOON).total_seconds()),
            begun.fault_type,
            cleared_time=at(second),
        )
        self._tell(second, list(self.zones.takes(over, self.resources)))

    def _tell(self, second: int, told: list[Told]) -> None:
        for one in told:
            self.faults.append(one.fault)
            end = one.fault.cleared_time
            moment = second if end is None else round((end - NOON).total_seconds())
            self.told.append((moment, one.fault.resource_id, one.fault.fault_type, one.is_over))


RACK = resource_map(
    *(("rack-1", "contains", f"host-{n}") for n in range(1, 6)), ("power-1", "powers", "rack-1")
)
FAILED, WELL = False, True


# --- how often, and within which time ---


@pytest.mark.requirement("G53")
def test_the_last_of_so_many_failures_is_one_too_many() -> None:
    tale = Tale(RACK, level("rack", frequency=3))
    for second, host in ((0, "host-1"), (10, "host-2"), (59, "host-3")):
        tale.begins(host, second)
    assert tale.told == [(59, "rack-1", ZONE_FAULT, FAILED)]
    (found,) = tale.faults
    assert found.explains == ("host-1 down 0", "host-2 down 10", "host-3 down 59")
    assert found.details["parts"] == ["host-1", "host-2", "host-3"]
    assert found.raised_by == "event host-3 59"


@pytest.mark.requirement("G53")
def test_failures_further_apart_than_the_probation_period_do_not_belong_together() -> None:
    tale = Tale(RACK, level("rack", frequency=3))
    for second, host in ((0, "host-1"), (10, "host-2"), (60, "host-3")):
        tale.begins(host, second)
    tale.passes(500)
    assert tale.told == []


def test_one_part_may_do_it_unless_the_policy_asks_for_several() -> None:
    for distinct, told in ((1, [(4, "rack-1", ZONE_FAULT, FAILED)]), (2, [])):
        tale = Tale(RACK, level("rack", frequency=3, distinct=distinct))
        for second in (0, 2, 4):
            tale.ends(tale.begins("host-1", second), second + 1)
        assert tale.told == told


def test_a_part_that_never_rests_is_not_forgotten_for_another_one() -> None:
    """Of one part no more failures are remembered than could matter, and of the others all."""
    tale = Tale(RACK, level("rack", frequency=3, distinct=2))
    for second in range(0, 40, 2):
        tale.ends(tale.begins("host-1", second), second + 1)
    tale.begins("host-2", 41)
    assert tale.told == [(41, "rack-1", ZONE_FAULT, FAILED)]
    assert tale.faults[0].details["failures"] == 4


def test_a_part_that_is_out_of_service_does_not_fail_once_more() -> None:
    """Three monitors, three faults, one dead host."""
    tale = Tale(RACK, level("rack", frequency=2))
    tale.begins("host-1", 0)
    first = tale.begins("host-1", 1, "os crash")
    tale.begins("host-1", 2, "unreachable")
    tale.ends(first, 3)
    tale.begins("host-1", 4, "os crash")
    assert tale.told == []


@pytest.mark.parametrize("state", [ResourceState.NORMAL, ResourceState.MAINTENANCE])
def test_what_leaves_a_part_in_service_does_not_count(state: ResourceState) -> None:
    tale = Tale(RACK, level("rack", frequency=1))
    tale.begins("host-1", 0, state=state)
    assert tale.told == []


def test_a_zone_that_is_out_of_service_needs_no_further_reason() -> None:
    tale = Tale(RACK, level("rack", frequency=2))
    tale.begins("rack-1", 0)
    tale.begins("host-1", 1)
    tale.begins("host-2", 2)
    assert tale.told == []


def test_a_storm_is_the_fault_of_its_domain_already() -> None:
    """[I-11] And a failure of the domain: it counts in the next zone."""
    tale = Tale(RACK, level("rack", frequency=2), level("power", frequency=1))
    tale.begins("rack-1", 0, "failure of a domain", state=ResourceState.NORMAL)
    tale.begins("host-1", 1)
    tale.begins("host-2", 2)
    assert tale.told == [(0, "power-1", ZONE_FAULT, FAILED)]


# --- the end ---


@pytest.mark.requirement("G53")
def test_a_zone_is_well_after_a_whole_probation_period_without_a_failure() -> None:
    tale = Tale(RACK, level("rack", frequency=2))
    first = tale.begins("host-1", 0)
    tale.begins("host-2", 10)
    tale.ends(tale.begins("host-3", 50), 51)
    tale.ends(first, 55)
    tale.passes(200)
    assert tale.told == [(10, "rack-1", ZONE_FAULT, FAILED), (110, "rack-1", ZONE_FAULT, WELL)]


def test_a_zone_is_not_well_while_as_many_parts_are_still_out() -> None:
    tale = Tale(RACK, level("rack", frequency=2))
    first = tale.begins("host-1", 0)
    tale.begins("host-2", 10)
    tale.passes(200)
    tale.ends(first, 300)
    assert tale.told == [(10, "rack-1", ZONE_FAULT, FAILED), (300, "rack-1", ZONE_FAULT, WELL)]


def test_failures_that_had_their_consequence_count_no_more() -> None:
    tale = Tale(RACK, level("rack", frequency=2, probation=timedelta(seconds=10)))
    first = tale.begins("host-1", 0)
    tale.begins("host-2", 9)
    tale.ends(first, 20)
    tale.begins("host-3", 21)
    tale.begins("host-4", 25)
    assert tale.told == [
        (9, "rack-1", ZONE_FAULT, FAILED),
        (20, "rack-1", ZONE_FAULT, WELL),
        (25, "rack-1", ZONE_FAULT, FAILED),
    ]


def test_a_question_that_nobody_answers_is_asked_again_after_as_many_failures() -> None:
    tale = Tale(
        RACK,
        level("rack", frequency=2, escalate=Escalate.ASK, deadline=timedelta(seconds=20)),
    )
    tale.begins("host-1", 0)
    tale.begins("host-2", 1)
    tale.begins("host-3", 5)  # it is being asked
    tale.begins("host-4", 30)  # nobody has answered
    assert tale.told == [(1, "rack-1", QUESTION, FAILED)]
    tale.begins("host-5", 31)
    assert tale.told[1:] == [(31, "rack-1", QUESTION, WELL), (31, "rack-1", QUESTION, FAILED)]


# --- which zones ---


@pytest.mark.requirement("G48", "G53")
def test_a_zone_that_has_failed_counts_in_the_zone_around_it() -> None:
    resources = resource_map(
        *(("rack-1", "contains", f"host-{n}") for n in (1, 2)),
        *(("rack-2", "contains", f"host-{n}") for n in (3, 4)),
        ("power-1", "powers", "rack-1"),
        ("power-1", "powers", "rack-2"),
    )
    tale = Tale(resources, level("rack", frequency=2), level("power", frequency=2))
    for second in range(4):
        tale.begins(f"host-{second + 1}", second)
    assert tale.told == [
        (1, "rack-1", ZONE_FAULT, FAILED),
        (3, "rack-2", ZONE_FAULT, FAILED),
        (3, "power-1", ZONE_FAULT, FAILED),
    ]


NESTED = resource_map(
    ("site-1", "contains", "power-1"),
    ("power-1", "powers", "rack-1"),
    ("power-1", "powers", "host-1"),
    ("rack-1", "contains", "chassis-1"),
    ("chassis-1", "contains", "host-1"),
    ("switch-1", "connects", "host-1"),
    ("switch-2", "connects", "host-1"),
    ("host-1", "contains", "disk-1"),
    ("nic-1", "attaches", "host-1"),
    ("vm-1", "hosts", "process-1"),
    machines={"vm-1": "host-1"},
)
LEVELS = ("process", "virtual machine", "host", "rack", "switch", "power", "site")


@pytest.mark.requirement("G48")
@pytest.mark.parametrize(
    ("resource", "zones"),
    [
        pytest.param("process-1", ["vm-1"], id="process"),
        pytest.param("vm-1", ["host-1"], id="machine"),
        pytest.param("disk-1", ["host-1"], id="disk"),
        pytest.param("host-1", ["switch-1", "switch-2", "rack-1"], id="host-in-several"),
        pytest.param("rack-1", ["power-1"], id="rack"),
        pytest.param("power-1", ["site-1"], id="power"),
        pytest.param("site-1", [], id="outermost"),
        pytest.param("nic-1", [], id="not-within-what-depends-on-it"),
        pytest.param("stranger", [], id="not-in-the-map"),
    ],
)
def test_a_failure_counts_in_the_smallest_zones_around(resource: str, zones: list[str]) -> None:
    levels = by_type(*map(level, LEVELS))
    found = NESTED.get(resource)
    assert sorted(next_zones(resource, found.type if found else "", levels, NESTED)) == sorted(zones)


def test_what_is_virtual_does_not_count_beyond_its_host() -> None:
    """Machines come and go: a rack is not to blame for the tenants in it."""
    levels = by_type(level("rack"), level("power"))
    assert next_zones("vm-1", "virtual machine", levels, NESTED) == []
    assert next_zones("process-1", "process", levels, NESTED) == []


def test_the_policy_says_what_is_within_what() -> None:
    def found(resource: str, *levels: ZoneLevel) -> list[str]:
        resource_type = resource.partition("-")[0]
        return sorted(next_zones(resource, resource_type, by_type(*levels), NESTED))

    assert found("host-1", level("nic", relations=("attaches",)), level("rack")) == ["nic-1", "rack-1"]
    assert found("host-1", level("rack", relations=("contains",))) == ["rack-1"]
    assert found("host-1", level("rack", relations=("powers",))) == []
    assert found("host-1", level("rack", components=("disk",))) == []
    assert found("host-1", level("host", next=("power",)), level("rack"), level("power")) == ["power-1"]
    assert found("host-1", level("host", next=()), level("rack")) == []


def test_zones_that_are_within_each_other_both_count() -> None:
    """A map that runs in a circle is no reason to count nothing, or for ever."""
    resources = resource_map(
        ("rack-1", "contains", "switch-1"),
        ("switch-1", "connects", "rack-1"),
        ("switch-1", "connects", "host-1"),
    )
    levels = (level("rack", frequency=1), level("switch", frequency=1))
    assert sorted(next_zones("host-1", "host", by_type(*levels), resources)) == ["rack-1", "switch-1"]
    tale = Tale(resources, *levels)
    tale.begins("host-1", 0)
    assert sorted(tale.told) == [(0, "rack-1", ZONE_FAULT, FAILED), (0, "switch-1", ZONE_FAULT, FAILED)]


# --- against a second version ---

HOSTS = [f"host-{n}" for n in range(6)]
SITE = resource_map(
    *((f"rack-{n % 2}", "contains", host) for n, host in enumerate(HOSTS)),
    ("site-1", "contains", "rack-0"),
    ("site-1", "contains", "rack-1"),
)
rules = st.builds(
    lambda probation, frequency, distinct: second_zones.Rule(probation, frequency, min(frequency, distinct)),
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(1, 3),
)
gaps = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from(HOSTS), st.sampled_from(["down", "crash"])), max_size=40
)


@settings(max_examples=300)
@given(rules, rules, gaps)
def test_zones_fail_and_are_well_as_in_the_simple_version(
    rack: second_zones.Rule, site: second_zones.Rule, changes: list[tuple[int, str, str]]
) -> None:
    moments: dict[int, tuple[str, str]] = {}
    second = 0
    for gap, host, kind in changes:
        second += gap
        moments[second] = host, kind
    until = second + 40
    outer = second_zones.Zone("site-1", site)
    racks = [second_zones.Zone(f"rack-{n}", rack, outer) for n in (0, 1)]
    wanted = second_zones.tell(
        [*racks, outer], {host: racks[n % 2] for n, host in enumerate(HOSTS)}, moments, until
    )

    tale = Tale(SITE, _level("rack", rack), _level("site", site))
    here: dict[tuple[str, str], Fault] = {}
    for moment, change in moments.items():
        if change in here:
            tale.ends(here.pop(change), moment)
        else:
            here[change] = tale.begins(change[0], moment, change[1])
    tale.passes(until - 1)
    assert sorted((moment, zone, not over) for moment, zone, _, over in tale.told) == sorted(wanted)


def _level(zone_type: str, rule: second_zones.Rule) -> ZoneLevel:
    return level(
        zone_type,
        probation=timedelta(seconds=rule.probation),
        frequency=rule.frequency,
        distinct=rule.distinct,
    )
