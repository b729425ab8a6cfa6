"""Which alarm which silence covers."""

from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.alarms.lifecycle import settled
from doctor.inspector.impact import reaches
from doctor.inspector.selection import Selector
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import ResourceState
from doctor.model.history import Side
from doctor.model.policy import FailurePolicy, Propagation
from doctor.model.resource import PhysicalResource
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import Audience, Silence, SilenceMatcher, SilenceState, Tally
from doctor.notifier.silences import UNCOVERED, Cover, Coverage, Silences
from tests.unit.model.nfvis import OWNERS, START, at, fault_on, long_lists, nfvis

PROPAGATION = Selector(
    FailurePolicy(
        version=1,
        propagate=(
            Propagation(supplier_type="host", kind="hosts", state=None, to_state=ResourceState.ERROR),
            Propagation(supplier_type="switch", kind="connects", state=None, to_state=ResourceState.ERROR),
        ),
    )
).propagation


def silence(
    name: str = "s",
    project: str | None = None,
    *,
    audience: Audience | None = None,
    matcher: SilenceMatcher = SilenceMatcher(),  # noqa: B008 - frozen
    start: float = 0,
    end: float = 10,
    ended: float | None = None,
) -> Silence:
    usual = Audience.ADMINISTRATOR if project is None else Audience.PROJECT
    return Silence(
        silence_id=name,
        project=project,
        audience=audience or usual,
        matcher=matcher,
        owner="ann",
        reason="work",
        start=at(start),
        end=at(end),
        created=START,
        created_by="ann",
        ended_time=None if ended is None else at(ended),
    )


# --- against a simple second version ---


def takes(names: tuple[str, ...], word: str | None) -> bool:
    return not names or (word is not None and any(fnmatchcase(word, name) for name in names))


def fits(matcher: SilenceMatcher, resource_id: str, resources: ResourceMap) -> bool:
    found = resources.get(resource_id)
    assert found is not None
    place = found if isinstance(found, PhysicalResource) else resources.physical.get(found.host or "")
    return (
        takes(matcher.resource_id, resource_id)
        and takes(matcher.resource_type, found.type)
        and takes(matcher.zone_id, place.zone_id if place else None)
    )


def simple_cover(
    silences: list[Silence], record: AlarmedFault, alarm: Alarm, resources: ResourceMap, now: datetime
) -> dict[Side, set[str]]:
    """Return the names of all silences that keep an alarm from each side."""
    found: dict[Side, set[str]] = {side: set() for side in Side}
    for one in silences:
        matcher = one.matcher
        over = one.end if one.ended_time is None else min(one.end, one.ended_time)
        lasts = one.start <= now < over
        is_meant = takes(matcher.fault_type, record.fault.fault_type) and takes(
            matcher.project, alarm.project
        )
        own = fits(matcher, alarm.resource_id, resources)
        if not lasts or not is_meant:
            continue
        if one.project is not None:
            if one.project == alarm.project and own:
                found[Side.OWNER].add(one.silence_id)
        elif own or fits(matcher, record.fault.resource_id, resources):
            found[Side.ADMINISTRATOR].add(one.silence_id)
            if one.audience is Audience.EVERYBODY:
                found[Side.OWNER].add(one.silence_id)
    return found


NAMES = st.sampled_from(["p-0-*", "p-*", "v-1", "v-[02]", "v-?", "*-host", "x"])
TYPES = st.sampled_from(["host", "virtual *", "switch"])


@st.composite
def silences(draw: st.DrawFn) -> list[Silence]:
    made = []
    for number in range(draw(st.integers(0, 5))):
        project = draw(st.sampled_from([None, None, *OWNERS]))
        audience = draw(st.sampled_from([Audience.ADMINISTRATOR, Audience.EVERYBODY]))
        matcher = SilenceMatcher(
            resource_id=tuple(draw(st.lists(NAMES, max_size=2))),
            resource_type=tuple(draw(st.lists(TYPES, max_size=1))),
            zone_id=tuple(draw(st.lists(st.sampled_from(["z-1", "z-?"]), max_size=1))),
            fault_type=tuple(draw(st.lists(st.sampled_from(["host*", "disk"]), max_size=1))),
            project=tuple(draw(st.lists(st.sampled_from(["red", "b*"]), max_size=1)))
            if project is None
            else (),
        )
        start = draw(st.integers(0, 6))
        made.append(
            silence(
                f"s-{number}",
                project,
                audience=audience if project is None else None,
                matcher=matcher,
                start=start,
                end=start + draw(st.integers(1, 6)),
                ended=draw(st.none() | st.integers(0, 8)),
            )
        )
    return made


def records(resources: ResourceMap) -> Iterator[AlarmedFault]:
    """Return a fault of each physical resource, with its alarms."""
    for number, resource in enumerate(resources.physical.values()):
        fault = fault_on(resource.id, resource.type, key=f"key-{number}")
        reach = reaches(fault.fault_key, fault, resources, PROPAGATION, AlarmBook())[fault.fault_key]
        yield settled(AlarmedFault(fault=fault, alarms={}), fault, reach, resources, now=START).record


@given(nfvis(), silences(), long_lists(st.integers(0, 13), 6, least=1))
def test_whatever_is_silenced_the_same_is_covered_as_by_simple_means(
    resources: ResourceMap, made: list[Silence], seconds: list[int]
) -> None:
    """Time may go back and forth; one of those that cover an alarm is named."""
    all_silences = Silences(made)
    book = AlarmBook()
    for second in seconds:
        for record in records(resources):
            coverage = Coverage(all_silences, record, book, resources, at(second))
            for alarm in record.alarms.values():
                expected = simple_cover(made, record, alarm, resources, at(second))
                cover = coverage.of(alarm)
                assert coverage.of(alarm) is cover or cover == UNCOVERED
                assert coverage or not any(expected.values())
                for side, names in expected.items():
                    found = cover.by(side)
                    assert (found is not None) is bool(names)
                    assert found is None or found.silence_id in names


# --- when ---


def test_the_next_turn_is_a_beginning_or_an_end() -> None:
    made = Silences([silence("a", start=2, end=8, ended=6), silence("b", start=4, end=5)])
    turns, now = [], at(0)
    while (turn := made.next_turn(now)) is not None:
        turns.append((turn - START).total_seconds())
        now = turn
    assert turns == [2, 4, 5, 6]
    assert made.next_turn(at(99)) is None
    assert Silences().next_turn(START) is None


def test_of_several_the_one_that_lasts_longest_comes_first() -> None:
    made = Silences([silence("a", end=5), silence("b", end=9), silence("c", end=9, ended=7)])
    assert [one.silence.silence_id for one in made.live(at(1))[None]] == ["b", "c", "a"]


def test_what_is_put_anew_counts_at_once() -> None:
    made = Silences()
    assert made.live(at(1)) == {}
    made.put(silence("a", "red", end=5))
    assert list(made.live(at(1))) == ["red"]
    made.put(replace(silence("a", "red", end=5), ended_time=at(1)))
    assert made.live(at(1)) == {}
    assert [one.state(at(1)) for one in made] == [SilenceState.ENDED]
    made.tallies["a"] = Tally(2, 1)
    assert made.tally("a") == Tally(2, 1)
    assert (len(made), [one.silence_id for one in made.of("red")], made.of(None)) == (1, ["a"], [])
    made.forget("a")
    made.forget("a")
    assert (len(made), made.get("a"), made.tally("a")) == (0, None, Tally())


def test_another_matcher_covers_something_else() -> None:
    (record,) = records(ResourceMap([PhysicalResource(id="compute-1")]))
    (alarm,) = record.alarms.values()
    made = Silences([silence(matcher=SilenceMatcher(resource_id=("x",)))])

    def cover() -> Cover:
        return Coverage(made, record, AlarmBook(), ResourceMap(), at(1)).of(alarm)

    assert cover() == UNCOVERED
    made.put(silence(matcher=SilenceMatcher(resource_id=("compute-1",))))
    assert cover().administrator is not None


# --- what follows from what ---


def chain() -> tuple[AlarmBook, AlarmedFault, ResourceMap]:
    """A host that is down because a switch is."""
    resources = ResourceMap(
        [PhysicalResource(id="switch-1", type="switch"), PhysicalResource(id="compute-1")]
    )
    cause = fault_on("switch-1", "switch", key="cause")
    symptom = replace(fault_on("compute-1", key="symptom"), cause="cause")
    made = [
        settled(
            AlarmedFault(fault=fault, alarms={}),
            fault,
            {fault.resource_id: (fault.state, fault.severity)},
            resources,
            now=START,
        ).record
        for fault in (cause, symptom)
    ]
    return AlarmBook(made), made[1], resources


@pytest.mark.parametrize(("project", "covered"), [(None, True), ("red", False)])
def test_what_explains_a_fault_covers_it_for_the_administrator(project: str | None, covered: bool) -> None:
    book, record, resources = chain()
    matcher = SilenceMatcher(resource_id=("switch-1",))
    made = Silences([silence(project=project, matcher=matcher)])
    alarm = replace(record.alarms["compute-1"], project=project)
    cover = Coverage(made, record, book, resources, at(1)).of(alarm)
    assert (cover.administrator is not None) is covered
    assert cover.owner is None


def test_a_cause_that_is_over_covers_nothing() -> None:
    _, record, resources = chain()
    made = Silences([silence(matcher=SilenceMatcher(resource_id=("switch-1",)))])
    coverage = Coverage(made, record, AlarmBook([record]), resources, at(1))
    assert coverage.of(record.alarms["compute-1"]) == UNCOVERED


def test_a_silence_of_other_faults_is_none() -> None:
    (record,) = records(ResourceMap([PhysicalResource(id="compute-1")]))
    made = Silences([silence("a", matcher=SilenceMatcher(fault_type=("disk",))), silence("b", "red", end=5)])
    assert Coverage(made, record, AlarmBook(), ResourceMap(), at(1))
    assert not Coverage(made, record, AlarmBook(), ResourceMap(), at(6))
