"""The book of open faults against a list of them that is searched from end to end."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.alarms.lifecycle import cleared, corrected, settled
from doctor.model.alarm import AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import ResourceState, Severity
from doctor.model.resource import VIRTUAL_MACHINE, VirtualResource
from doctor.model.resource_map import ResourceMap
from tests.unit.model.nfvis import OWNERS, SEVERITIES, STATES, at, fault_on, long_lists

PLACES = ("r-0", "r-1", "r-2", "r-3", "r-4")
FAULT_KEYS = tuple(f"f-{number}" for number in range(6))
MACHINES = [
    VirtualResource(id=place, type=VIRTUAL_MACHINE, host=None, owner=owner)
    for place, owner in (("r-2", "red"), ("r-3", "red"), ("r-4", "blue"))
]
REACHES = st.dictionaries(st.sampled_from(PLACES), st.tuples(STATES, SEVERITIES), max_size=5)
OTHERWISE = ResourceMap((), [replace(machine, owner="green") for machine in MACHINES[:2]])
STEPS = long_lists(st.tuples(st.sampled_from(FAULT_KEYS), st.none() | REACHES, st.booleans()), 30)


@given(STEPS)
def test_after_any_steps_the_book_has_what_is_open(
    steps: list[tuple[str, dict[str, tuple[ResourceState, Severity]] | None, bool]],
) -> None:
    """A reach settles a fault, raising it if need be, or corrects it by another map; None ends it."""
    book, resources = AlarmBook(), ResourceMap((), MACHINES)
    simple: dict[str, AlarmedFault] = {}
    gone: set[str] = set()
    for second, (key, reach, is_correction) in enumerate(steps):
        known = simple.get(key)
        if reach is not None:
            root = PLACES[FAULT_KEYS.index(key) % 5]
            kind = "vnf" if root == "r-0" else "host"
            record = known or AlarmedFault(fault=fault_on(root, kind, key=f"{key}@{second}"), alarms={})
            fault = replace(record.fault, transition=second)
            everywhere = {root: (ResourceState.DOWN, Severity.CRITICAL), **reach}
            right = (
                corrected(record, everywhere, OTHERWISE, now=at(second)) if known and is_correction else None
            )
            transition = right or settled(record, fault, everywhere, resources, now=at(second))
            simple[key] = transition.record
        elif known is not None:
            transition = cleared(known, now=at(second))
            del simple[key]
        else:
            continue
        gone.update(alarm.alarm_id for alarm in (*transition.cleared, *transition.corrected))
        book.apply(transition)
        _check(book, list(simple.values()), gone)
        _check(AlarmBook(simple.values()), list(simple.values()), gone)


def _check(book: AlarmBook, simple: list[AlarmedFault], gone: set[str]) -> None:
    assert len(book) == len(simple)
    assert {record.fault.fault_key: record for record in book} == {one.fault.fault_key: one for one in simple}
    assert book.vnfs == {one.fault.resource_id for one in simple if one.fault.resource_type == "vnf"}
    for record in simple:
        assert book.fault(record.fault.fault_key) is record
        for alarm in record.alarms.values():
            assert book.alarm(alarm.alarm_id) == (record, alarm)
    for alarm_id in gone:
        assert book.alarm(alarm_id) is None
    assert book.fault("never heard of") is None
    for place in PLACES:
        here = [record for record in simple if place in record.alarms]
        assert _keys(book.on(place)) == sorted(record.fault.fault_key for record in here)
        rooted = [record for record in here if record.fault.resource_id == place]
        assert _keys(book.rooted_in(place)) == sorted(record.fault.fault_key for record in rooted)
        states = [record.alarms[place].resource_state for record in here]
        assert book.state_of(place) == max(states, key=lambda one: one.badness, default=ResourceState.NORMAL)
        assert book.is_troubled(place) is bool(here)
    for owner in OWNERS:
        owned = [record for record in simple if any(one.project == owner for one in record.alarms.values())]
        assert _keys(book.of_project(owner)) == sorted(record.fault.fault_key for record in owned)
    assert set(book.troubled()) == {place for record in simple for place in record.alarms}


def _keys(records: object) -> list[str]:
    return sorted(record.fault.fault_key for record in records)  # type: ignore[attr-defined]


def test_a_fault_is_found_by_what_it_is_about() -> None:
    """[D 3.3.2] One open fault of a type on a resource: another report of it is a repeat."""
    fault, reach = fault_on("r-1"), {"r-1": (ResourceState.DOWN, Severity.CRITICAL)}
    book = AlarmBook()
    raised = settled(AlarmedFault(fault=fault, alarms={}), fault, reach, ResourceMap(), now=at(0))
    book.apply(raised)
    assert book.open_fault("r-1", fault.fault_type) is raised.record
    assert book.open_fault("r-2", fault.fault_type) is None
    assert book.open_fault("r-1", "another") is None
    book.apply(cleared(raised.record, now=at(1)))
    assert book.open_fault("r-1", fault.fault_type) is None


def _change(book: AlarmBook, key: str, second: int, explains: tuple[str, ...] | None) -> None:
    """Let a fault explain others from now on; None ends it."""
    known = book.fault(key)
    fault = fault_on("r-1", key=key, second=second) if known is None else known.fault
    record = known or AlarmedFault(fault=fault, alarms={})
    if explains is None:
        book.apply(cleared(record, now=at(second)))
    else:
        fault = replace(fault, explains=explains)
        reach = {"r-1": (ResourceState.NORMAL, Severity.MAJOR)}
        book.apply(settled(record, fault, reach, ResourceMap(), now=at(second)))


CLAIMS = long_lists(
    st.tuples(
        st.sampled_from("abc"),
        st.none() | st.lists(st.sampled_from("xyz"), unique=True, max_size=3).map(tuple),
    ),
    20,
)


@given(CLAIMS)
def test_what_several_faults_explain_is_explained_until_all_of_them_are_over(
    steps: list[tuple[str, tuple[str, ...] | None]],
) -> None:
    """The first that said so is the one, also when another one comes or goes."""
    book = AlarmBook()
    claims: list[tuple[str, str]] = []  # who explains what, in the order in which they said so
    for second, (key, explains) in enumerate(steps):
        if explains is None and book.fault(key) is None:
            continue
        _change(book, key, second, explains)
        claims = [(who, what) for who, what in claims if who != key or what in (explains or ())]
        claims += [(key, what) for what in explains or () if (key, what) not in claims]
        for symptom in "xyz":
            wanted = next((who for who, what in claims if what == symptom), None)
            assert book.explained_by(symptom) == wanted


@given(st.lists(st.integers(0, 20), max_size=10), st.integers(0, 20))
def test_the_newest_faults_are_found_first(seconds: list[int], since: int) -> None:
    """In whatever order the store has them."""
    faults = [fault_on(f"r-{n}", key=f"f-{n}", second=second) for n, second in enumerate(seconds)]
    book = AlarmBook(AlarmedFault(fault=fault, alarms={}) for fault in faults)
    found = [record.fault for record in book.opened_since(at(since))]
    assert sorted(fault.fault_key for fault in found) == sorted(
        fault.fault_key for fault in faults if fault.raised_time >= at(since)
    )
    assert [fault.raised_time for fault in found] == sorted(
        (fault.raised_time for fault in found), reverse=True
    )
