"""Who is told of which alarms [D 3.3.4]."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.fault import Fault, ResourceState, Severity
from doctor.model.notification import NotificationType
from doctor.model.subscription import EventKind, SubscribeFilter, Subscription
from doctor.notifier.matching import Subscriptions, Telling, alarm_matches, resource_matches, tellings
from tests.unit.model.nfvis import OWNERS, SEVERITIES, START, at, fault_on, long_lists

FAULT = fault_on("compute-1")
MACHINE = "virtual machine"
KINDS = [NotificationType.FAULT, NotificationType.FAULT_CHANGED, NotificationType.FAULT_CLEARED]


def alarm(resource_id: str, project: str | None, severity: Severity = Severity.CRITICAL) -> Alarm:
    kind = "host" if project is None else MACHINE
    return Alarm(
        f"alarm of {resource_id}",
        "f",
        resource_id,
        kind,
        project,
        severity,
        ResourceState.ERROR,
        False,
        START,
    )


def subscription(name: str, project: str | None, asked: SubscribeFilter = SubscribeFilter()) -> Subscription:  # noqa: B008
    return Subscription(subscription_id=name, project=project, filter=asked, created=START)


HOST = alarm("compute-1", None)
RED_1, RED_2, BLUE = alarm("vm-1", "red"), alarm("vm-2", "red"), alarm("vm-3", "blue")
RECORD = AlarmedFault(fault=FAULT, alarms={one.resource_id: one for one in (HOST, RED_1, RED_2, BLUE)})
RAISED = Transition(record=RECORD, raised=(HOST, RED_1, RED_2, BLUE))


def told(
    transition: Transition, *subscriptions: Subscription
) -> list[tuple[str, NotificationType, tuple[str, ...]]]:
    return [
        (one.subscription.subscription_id, one.kind, tuple(each.resource_id for each in one.alarms))
        for one in tellings(transition, Subscriptions(subscriptions))
    ]


def test_each_owner_hears_of_its_own_and_the_administrator_of_all() -> None:
    """[D 3.3.4] One notification per cause and subscription, for all victims."""
    everybody = [subscription(name, name) for name in ("red", "blue", "green")]
    assert told(RAISED, *everybody, subscription("operator", None)) == [
        ("red", NotificationType.FAULT, ("vm-1", "vm-2")),
        ("blue", NotificationType.FAULT, ("vm-3",)),
        ("operator", NotificationType.FAULT, ("compute-1", "vm-1", "vm-2", "vm-3")),
    ]


def test_two_subscriptions_of_one_owner_are_told_each() -> None:
    first, second = subscription("first", "red"), subscription("second", "red")
    assert [name for name, _, _ in told(RAISED, first, second)] == ["first", "second"]


def test_a_transition_is_told_by_kind() -> None:
    """One step can raise some alarms, change others and end a third."""
    changed = replace(RED_1, changed_time=at(1), severity=Severity.MINOR)
    transition = Transition(
        record=RECORD, raised=(RED_2,), changed=(changed,), cleared=(replace(BLUE, cleared_time=at(1)),)
    )
    assert told(transition, subscription("operator", None)) == [
        ("operator", NotificationType.FAULT, ("vm-2",)),
        ("operator", NotificationType.FAULT_CHANGED, ("vm-1",)),
        ("operator", NotificationType.FAULT_CLEARED, ("vm-3",)),
    ]


@pytest.mark.parametrize(
    ("wishes", "kinds"),
    [
        ({}, set(KINDS)),
        ({"clear": False}, {NotificationType.FAULT, NotificationType.FAULT_CHANGED}),
        ({"change": False}, {NotificationType.FAULT, NotificationType.FAULT_CLEARED}),
        ({"clear": False, "change": False}, {NotificationType.FAULT}),
    ],
)
def test_changes_and_ends_can_be_left_out(wishes: dict[str, bool], kinds: set[NotificationType]) -> None:
    transition = Transition(record=RECORD, raised=(RED_2,), changed=(RED_1,), cleared=(BLUE,))
    asker = replace(subscription("operator", None), **wishes)
    assert {kind for _, kind, _ in told(transition, asker)} == kinds


FILTERS = [
    pytest.param(SubscribeFilter(), ["compute-1", "vm-1", "vm-2", "vm-3"], id="nothing-asked"),
    pytest.param(SubscribeFilter(virtual_resource_id=frozenset({"vm-2", "vm-9"})), ["vm-2"], id="ids"),
    pytest.param(
        SubscribeFilter(virtual_resource_type=frozenset({MACHINE})), ["vm-1", "vm-2", "vm-3"], id="types"
    ),
    pytest.param(SubscribeFilter(virtual_resource_type=frozenset({"virtual NIC"})), [], id="other-types"),
    pytest.param(SubscribeFilter(fault_type=frozenset({"other"})), [], id="other-fault-type"),
    pytest.param(SubscribeFilter(probable_cause=frozenset({"other"})), [], id="other-cause"),
    pytest.param(
        SubscribeFilter(
            fault_type=frozenset({FAULT.fault_type, "other"}),
            probable_cause=frozenset({FAULT.probable_cause}),
        ),
        ["compute-1", "vm-1", "vm-2", "vm-3"],
        id="this-fault",
    ),
    pytest.param(SubscribeFilter(event=frozenset({EventKind.CAPACITY})), [], id="other-events"),
    pytest.param(
        SubscribeFilter(min_severity=Severity.CRITICAL), ["compute-1", "vm-1", "vm-2", "vm-3"], id="inclusive"
    ),
]


@pytest.mark.parametrize(("asked", "heard"), FILTERS)
def test_filters(asked: SubscribeFilter, heard: list[str]) -> None:
    """[D 5.4] An empty list restricts nothing."""
    found = [alarms for _, _, alarms in told(RAISED, subscription("operator", None, asked))]
    assert [name for alarms in found for name in alarms] == heard


SEVERITY_CASES = [
    (now, before, least)
    for now in (Severity.WARNING, Severity.MAJOR, Severity.CRITICAL)
    for before in (Severity.CLEARED, Severity.MINOR, Severity.CRITICAL)
    for least in Severity
]


@pytest.mark.parametrize(("now", "before", "least"), SEVERITY_CASES)
def test_who_heard_of_an_alarm_once_hears_of_it_until_its_end(
    now: Severity, before: Severity, least: Severity
) -> None:
    """[D 5.4, I-8] What counts is the worst that it ever was."""
    known = replace(RED_1, severity=now, worst_before=before)
    transition = Transition(record=RECORD, changed=(known,))
    asker = subscription("red", "red", SubscribeFilter(min_severity=least))
    assert bool(told(transition, asker)) is (max(now, before) >= least)


@pytest.mark.parametrize(
    ("least", "matches"), [(Severity.CLEARED, True), (Severity.MINOR, True), (Severity.MAJOR, False)]
)
def test_an_open_alarm_is_listed_by_how_bad_it_is_now(least: Severity, matches: bool) -> None:
    known = replace(RED_1, severity=Severity.MINOR, worst_before=Severity.CRITICAL)
    assert alarm_matches(SubscribeFilter(min_severity=least), FAULT, known) is matches


# --- by chance, against a version that asks every question of every pair ---

FILTER = st.builds(
    SubscribeFilter,
    virtual_resource_type=st.frozensets(st.sampled_from([MACHINE, "host", "virtual NIC"]), max_size=2),
    virtual_resource_id=st.frozensets(st.sampled_from(["vm-1", "vm-2", "vm-3", "compute-1"]), max_size=2),
    fault_type=st.frozensets(st.sampled_from([FAULT.fault_type, "other"]), max_size=1),
    probable_cause=st.frozensets(st.sampled_from([FAULT.probable_cause, "other"]), max_size=1),
    min_severity=st.sampled_from(list(Severity)),
    event=st.frozensets(st.sampled_from(list(EventKind)), min_size=1),
)
SUBSCRIPTIONS = st.lists(
    st.builds(
        Subscription,
        subscription_id=st.uuids().map(str),
        project=st.sampled_from([*OWNERS, None]),
        filter=FILTER,
        clear=st.booleans(),
        change=st.booleans(),
        created=st.just(START),
    ),
    max_size=6,
    unique_by=lambda one: one.subscription_id,
)
ALARMS = st.lists(
    st.builds(
        lambda number, project, severity, before: replace(
            alarm(f"vm-{number}" if project else f"compute-{number}", project, severity), worst_before=before
        ),
        st.integers(1, 5),
        st.sampled_from([*OWNERS, None]),
        SEVERITIES,
        st.sampled_from(list(Severity)),
    ),
    max_size=6,
    unique_by=lambda one: one.resource_id,
).map(tuple)


@given(ALARMS, ALARMS, ALARMS, SUBSCRIPTIONS)
def test_tellings_are_those_of_the_simple_version(
    raised: tuple[Alarm, ...],
    changed: tuple[Alarm, ...],
    cleared: tuple[Alarm, ...],
    subscriptions: list[Subscription],
) -> None:
    transition = Transition(
        record=AlarmedFault(fault=FAULT, alarms={}), raised=raised, changed=changed, cleared=cleared
    )
    found = list(tellings(transition, Subscriptions(subscriptions)))
    simple = [
        Telling(one, kind, heard)
        for kind, alarms in zip(KINDS, (raised, changed, cleared), strict=True)
        for one in subscriptions
        if (heard := tuple(each for each in alarms if _is_told(one, kind, FAULT, each)))
    ]
    assert len(found) == len(simple)
    assert all(telling in simple for telling in found)
    order = KINDS
    kinds = [order.index(telling.kind) for telling in found]
    assert kinds == sorted(kinds)


def _is_told(one: Subscription, kind: NotificationType, fault: Fault, each: Alarm) -> bool:
    asked = one.filter
    return all(
        (
            one.project is None or one.project == each.project,
            one.clear or kind is not NotificationType.FAULT_CLEARED,
            one.change or kind is not NotificationType.FAULT_CHANGED,
            EventKind.FAULT in asked.event,
            not asked.fault_type or fault.fault_type in asked.fault_type,
            not asked.probable_cause or fault.probable_cause in asked.probable_cause,
            not asked.virtual_resource_id or each.resource_id in asked.virtual_resource_id,
            not asked.virtual_resource_type or each.resource_type in asked.virtual_resource_type,
            max(each.severity, each.worst_before) >= asked.min_severity,
        )
    )


@given(FILTER, st.sampled_from(["vm-1", "vm-9"]), st.sampled_from([MACHINE, "host"]))
def test_resources_match_by_both_lists(asked: SubscribeFilter, resource_id: str, resource_type: str) -> None:
    assert resource_matches(asked, resource_id, resource_type) is (
        resource_id in (asked.virtual_resource_id or {resource_id})
        and resource_type in (asked.virtual_resource_type or {resource_type})
    )


STEPS = long_lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*OWNERS, None, "gone"])), 20)


@given(STEPS)
def test_subscriptions_come_change_and_go(steps: list[tuple[str, str | None]]) -> None:
    """Held against a plain dict; one that comes again replaces the former."""
    found, simple = Subscriptions(), dict[str, Subscription]()
    for name, project in steps:
        if project == "gone":
            found.remove(name)
            simple.pop(name, None)
        else:
            one = subscription(name, project)
            found.put(one)
            simple.pop(name, None)
            simple[name] = one
        assert len(found) == len(simple)
        assert {one.subscription_id: one for one in found} == simple
        for name_of in "abc":
            assert found.get(name_of) == simple.get(name_of)
        for owner in (*OWNERS, None):
            assert list(found.of(owner)) == [one for one in simple.values() if one.project == owner]
