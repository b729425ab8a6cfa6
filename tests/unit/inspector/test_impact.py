"""What a fault takes down [D 3.3.3], against a simple version that tries everything."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.alarms.lifecycle import cleared, settled
from doctor.inspector import impact
from doctor.inspector.catalogue import default_catalogue, default_policy_text
from doctor.inspector.impact import Effect
from doctor.inspector.policy_text import parse_policy
from doctor.model.alarm import AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault, Prediction, ResourceState, Severity
from doctor.model.policy import Propagation, Ways
from doctor.model.resource import PhysicalResource, Relation, Resource, VirtualResource
from doctor.model.resource_map import ResourceMap
from tests.unit.model import second_versions
from tests.unit.model.nfvis import (
    KINDS,
    PHYSICAL,
    SEVERITIES,
    STATES,
    VIRTUAL,
    at,
    fault_on,
    long_lists,
    nfvis,
)

DOWN, ERROR, NORMAL = ResourceState.DOWN, ResourceState.ERROR, ResourceState.NORMAL
CRITICAL, MAJOR, WARNING = Severity.CRITICAL, Severity.MAJOR, Severity.WARNING

DEFAULT = parse_policy(default_policy_text(), default_catalogue()).policy.propagate
RULES_THAT_SHIP = impact.by_supplier(DEFAULT)

TWO_SWITCHES = ResourceMap(
    [
        PhysicalResource(id="switch-a", type="switch"),
        PhysicalResource(id="switch-b", type="switch"),
        PhysicalResource(id="host-1"),
        PhysicalResource(id="host-2"),
    ],
    [
        VirtualResource(id="vm-1", host="host-1", owner="red"),
        VirtualResource(id="vm-2", host="host-2", owner="red"),
    ],
    [
        Relation("switch-a", "connects", "host-1"),
        Relation("switch-b", "connects", "host-1"),
        Relation("switch-a", "connects", "host-2"),
    ],
)


@pytest.mark.requirement("A9", "B10")
def test_a_dead_host_takes_its_machines_with_it() -> None:
    """[D 3.3.3] The host is down, its machines are in error, and nobody else's."""
    found = impact.effects("host-1", "host", Effect(DOWN, CRITICAL), TWO_SWITCHES, RULES_THAT_SHIP, _nothing)
    assert found == {"host-1": (DOWN, CRITICAL), "vm-1": (ERROR, CRITICAL)}


def test_a_switch_cuts_off_who_has_no_other() -> None:
    """[design 3] A warning for hosts that keep another way, critical for those that do not."""
    found = impact.effects(
        "switch-a", "switch", Effect(DOWN, WARNING), TWO_SWITCHES, RULES_THAT_SHIP, _nothing
    )
    assert found == {
        "switch-a": (DOWN, WARNING),
        "host-1": (NORMAL, WARNING),
        "vm-1": (NORMAL, WARNING),
        "host-2": (ERROR, CRITICAL),
        "vm-2": (ERROR, CRITICAL),
    }


def test_the_second_of_two_switches_cuts_off_the_rest() -> None:
    """[design 3] ``is_lost`` tells of the first."""
    found = impact.effects(
        "switch-b", "switch", Effect(DOWN, WARNING), TWO_SWITCHES, RULES_THAT_SHIP, {"switch-a"}.__contains__
    )
    assert found == {"switch-b": (DOWN, WARNING), "host-1": (ERROR, CRITICAL), "vm-1": (ERROR, CRITICAL)}


def test_of_several_ways_the_worst_counts() -> None:
    rules = [
        Propagation(supplier_type="rack", kind="contains", state=None, to_state=NORMAL, severity=WARNING),
        Propagation(supplier_type="rack", kind="powers", state=None, to_state=ERROR, severity=MAJOR),
        Propagation(supplier_type="rack", kind="connects", state=None, to_state=ERROR, severity=WARNING),
    ]
    resources = ResourceMap(
        [PhysicalResource(id="rack", type="rack"), PhysicalResource(id="host")],
        relations=[Relation("rack", kind, "host") for kind in ("contains", "powers", "connects")],
    )
    found = impact.effects(
        "rack", "rack", Effect(DOWN, CRITICAL), resources, impact.by_supplier(rules), _nothing
    )
    assert found["host"] == (ERROR, MAJOR)


RULE = Propagation(supplier_type="host", kind="hosts", state=DOWN, to_state=ERROR, min_severity=MAJOR)
CASES = [
    pytest.param(RULE, Effect(DOWN, MAJOR), (ERROR, MAJOR), id="min-severity-is-inclusive"),
    pytest.param(RULE, Effect(DOWN, Severity.MINOR), None, id="too-mild"),
    pytest.param(RULE, Effect(ERROR, CRITICAL), None, id="another-state"),
    pytest.param(
        Propagation(supplier_type="host", kind="hosts", state=None, to_state=NORMAL, severity=WARNING),
        Effect(NORMAL, CRITICAL),
        (NORMAL, WARNING),
        id="any-state",
    ),
    pytest.param(
        Propagation(supplier_type="switch", kind="hosts", state=None, to_state=ERROR),
        Effect(DOWN, CRITICAL),
        None,
        id="another-type",
    ),
    pytest.param(
        Propagation(supplier_type="host", kind="powers", state=None, to_state=ERROR),
        Effect(DOWN, CRITICAL),
        None,
        id="another-kind",
    ),
    pytest.param(
        Propagation(supplier_type="host", kind="hosts", state=None, to_state=ERROR, ways=Ways.ALL),
        Effect(DOWN, CRITICAL),
        (ERROR, CRITICAL),
        id="the-only-host-is-all-hosts",
    ),
    pytest.param(
        Propagation(supplier_type="host", kind="hosts", state=None, to_state=ERROR, ways=Ways.SOME),
        Effect(DOWN, CRITICAL),
        None,
        id="the-only-host-is-not-one-of-several",
    ),
]


@pytest.mark.requirement("B11")
@pytest.mark.parametrize(("rule", "cause", "effect"), CASES)
def test_when_a_rule_applies(
    rule: Propagation, cause: Effect, effect: tuple[ResourceState, Severity] | None
) -> None:
    found = impact.effects("host-1", "host", cause, TWO_SWITCHES, impact.by_supplier([rule]), _nothing)
    assert found.get("vm-1") == effect


def foreseen_on(resource_id: str, resource_type: str, state: ResourceState) -> Fault:
    prediction = Prediction(
        fault_type="it",
        predicted_time=at(600),
        confidence=None,
        claims=(),
        state=state,
        severity=CRITICAL,
        action="",
        near=timedelta(0),
    )
    fault = fault_on(resource_id, resource_type, state=NORMAL, severity=WARNING)
    return replace(fault, prediction=prediction)


@pytest.mark.requirement("B9", "B10")
@pytest.mark.parametrize(
    ("fault", "warned"),
    [
        pytest.param(foreseen_on("host-2", "host", DOWN), {"host-2", "vm-2"}, id="its-machines"),
        pytest.param(
            foreseen_on("switch-a", "switch", DOWN), {"switch-a", "host-2", "vm-2"}, id="who-has-no-other"
        ),
        pytest.param(
            foreseen_on("host-2", "host", NORMAL), {"host-2"}, id="what-puts-nothing-out-of-service"
        ),
        pytest.param(foreseen_on("stranger", "host", DOWN), {"stranger"}, id="what-no-map-knows"),
    ],
)
def test_what_is_foreseen_takes_nothing_down_and_warns_what_it_would(fault: Fault, warned: set[str]) -> None:
    """[D 3.3.3] Those that will be affected; nothing is out of service yet."""
    found = impact.reach(fault, TWO_SWITCHES, RULES_THAT_SHIP, AlarmBook(), {})
    assert found == dict.fromkeys(warned, (NORMAL, WARNING))


def test_what_is_foreseen_weighs_more_when_the_other_way_is_lost() -> None:
    """One of two switches is predicted to fail, then the other one fails: now the host would be cut off."""
    book = AlarmBook()
    foreseen = foreseen_on("switch-a", "switch", DOWN)
    [seen] = impact.reaches("key", foreseen, TWO_SWITCHES, RULES_THAT_SHIP, book).values()
    book.apply(settled(AlarmedFault(fault=foreseen, alarms={}), foreseen, seen, TWO_SWITCHES, now=at(0)))
    other = replace(fault_on("switch-b", "switch", key="other"), fault_type="switch down")
    found = impact.reaches("other", other, TWO_SWITCHES, RULES_THAT_SHIP, book)
    assert found["other"]["host-1"] == (NORMAL, WARNING)
    assert found["key"].keys() - seen.keys() == {"host-1", "vm-1"}
    assert set(found["key"].values()) == {(NORMAL, WARNING)}


def test_what_no_map_knows_takes_nothing_down() -> None:
    found = impact.effects(
        "stranger", "host", Effect(DOWN, CRITICAL), TWO_SWITCHES, RULES_THAT_SHIP, _nothing
    )
    assert found == {"stranger": (DOWN, CRITICAL)}


def test_relations_that_run_in_a_circle_come_to_an_end() -> None:
    """A map may be wrong; Doctor goes on."""
    ring = ResourceMap(
        [PhysicalResource(id=f"rack-{number}", type="rack") for number in range(3)],
        relations=[Relation(f"rack-{number}", "contains", f"rack-{(number + 1) % 3}") for number in range(3)],
    )
    found = impact.effects("rack-0", "rack", Effect(DOWN, CRITICAL), ring, RULES_THAT_SHIP, _nothing)
    assert found == dict.fromkeys(ring.physical, (DOWN, CRITICAL))


def test_faults_that_unsettle_each_other_come_to_an_end() -> None:
    """A policy by which a thing is lost because another is not, and the other way round, has no answer: one is taken."""
    rules = [
        Propagation(supplier_type="switch", kind="connects", state=None, ways=Ways.SOME, to_state=DOWN),
        Propagation(supplier_type="host", kind="connects", state=None, ways=Ways.SOME, to_state=DOWN),
    ]
    names = {"a": "switch", "b": "switch", "c": "host", "d": "host"}
    resources = ResourceMap(
        [PhysicalResource(id=name, type=kind) for name, kind in names.items()],
        relations=[Relation(one, "connects", other) for one in names for other in names if one != other],
    )
    book = AlarmBook()
    for number, name in enumerate(names):
        _apply(
            book,
            fault_on(name, names[name], key=name, state=NORMAL),
            resources,
            impact.by_supplier(rules),
            number,
        )
    assert {record.fault.resource_id for record in book} == set(names)


def test_neighbours_supply_the_same_in_the_same_way() -> None:
    resources = ResourceMap(
        [PhysicalResource(id=name) for name in "abcdh"],
        relations=[
            Relation("a", "powers", "h"),
            Relation("b", "powers", "h"),
            Relation("c", "connects", "h"),
            Relation("a", "powers", "d"),
        ],
    )
    assert list(impact.neighbours("a", resources)) == ["b"]
    assert list(impact.neighbours("c", resources)) == []
    assert list(impact.neighbours("h", resources)) == []


# --- by chance ---

RULES = st.builds(
    Propagation,
    supplier_type=st.sampled_from((*PHYSICAL, *VIRTUAL)),
    kind=st.sampled_from((*KINDS, "hosts")),
    state=st.none() | STATES,
    to_state=STATES,
    severity=st.none() | SEVERITIES,
    min_severity=st.sampled_from(list(Severity)),
)


@pytest.mark.requirement("B10", "B11")
@settings(deadline=None)
@given(st.data(), nfvis(), st.lists(RULES, max_size=8), STATES, SEVERITIES)
def test_effects_are_those_of_the_simple_version(
    data: st.DataObject,
    resources: ResourceMap,
    rules: list[Propagation],
    state: ResourceState,
    severity: Severity,
) -> None:
    """With rules of any kind that look at one supplier, and those that ship, which look at all of them."""
    everything: dict[str, Resource] = {**resources.physical, **resources.virtual}
    name = data.draw(st.sampled_from(list(everything)))
    lost = data.draw(st.frozensets(st.sampled_from(list(everything))))
    fault = fault_on(name, everything[name].type, state=state, severity=severity)
    for chosen in (rules, DEFAULT):
        found = impact.effects(
            name,
            fault.resource_type,
            Effect(state, severity),
            resources,
            impact.by_supplier(chosen),
            lost.__contains__,
        )
        assert found == second_versions.effects(fault, resources, chosen, lost.__contains__)
        assert next(iter(found)) == name


def test_a_supplier_that_is_lost_on_the_way_counts_as_lost() -> None:
    """[D 3.3.3] A feed takes the other supply of the same host along, whatever is looked at first."""
    resources = ResourceMap(
        [
            PhysicalResource(id="feed", type="power"),
            PhysicalResource(id="compute-1"),
            PhysicalResource(id="ups", type="ups"),
        ],
        relations=[
            Relation("feed", "powers", "compute-1"),
            Relation("feed", "powers", "ups"),
            Relation("ups", "powers", "compute-1"),
        ],
    )
    fault = fault_on("feed", "power", state=ResourceState.DOWN, severity=Severity.CRITICAL)
    reach = impact.reach(fault, resources, RULES_THAT_SHIP, AlarmBook(), {})
    assert reach["compute-1"] == Effect(ResourceState.DOWN, Severity.CRITICAL)


@settings(deadline=None)
@given(st.data(), nfvis(most=6))
def test_open_faults_weigh_on_each_other_as_in_the_simple_version(
    data: st.DataObject, resources: ResourceMap
) -> None:
    """Deciding step by step, each time only what can have changed, comes to the same as deciding everything anew."""
    everything: dict[str, Resource] = {**resources.physical, **resources.virtual}
    steps = data.draw(long_lists(st.tuples(st.sampled_from(list(everything)), STATES, SEVERITIES), 10))
    book = AlarmBook()
    for second, (name, state, severity) in enumerate(steps):
        fault = fault_on(name, everything[name].type, key=name, state=state, severity=severity)
        ended = book.fault(name) is not None and data.draw(st.booleans())
        _apply(book, None if ended else fault, resources, RULES_THAT_SHIP, second, key=name)
        wanted = second_versions.open_faults([record.fault for record in book], resources, DEFAULT)
        for record in book:
            found = {key: (one.resource_state, one.severity) for key, one in record.alarms.items()}
            assert found == wanted[record.fault.fault_key]


def _apply(
    book: AlarmBook,
    fault: Fault | None,
    resources: ResourceMap,
    rules: impact.Rules,
    second: int,
    *,
    key: str = "",
) -> None:
    """Do what the flow does: decide, then take over."""
    key = fault.fault_key if fault else key
    transitions = []
    for changed, reach in impact.reaches(key, fault, resources, rules, book).items():
        record = book.fault(changed) or AlarmedFault(fault=fault or fault_on(key), alarms={})
        subject = fault if changed == key else record.fault
        if subject is None:
            transitions.append(cleared(record, now=at(second)))
        else:
            transitions.append(settled(record, subject, reach, resources, now=at(second)))
    for transition in transitions:
        book.apply(transition)


def _nothing(_resource_id: str) -> bool:
    return False
