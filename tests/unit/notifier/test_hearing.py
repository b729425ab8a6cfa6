"""What silences leave of what happened, and what is told when they are over."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.alarms import lifecycle
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import ResourceState, Severity
from doctor.model.history import Side, standing_of
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import Audience, Silence, SilenceMatcher, Unheard
from doctor.notifier.hearing import NOTHING, Hearing, hear, late_of, overdue, silenced_of
from doctor.notifier.silences import Coverage, Silences
from tests.unit.model.nfvis import START, at, fault_on

OWNED = {"vm-1": "red", "vm-2": "red", "vm-3": "blue"}
NAMES = ("compute-1", *OWNED)
RESOURCES = ResourceMap(
    [PhysicalResource(id="compute-1")],
    [VirtualResource(id=name, host="compute-1", owner=owner) for name, owner in OWNED.items()],
)
FAULT = fault_on("compute-1")
CRITICAL, MINOR = Severity.CRITICAL, Severity.MINOR


def silence(name: str, audience: Audience, *resource_id: str, fault_type: str = "*") -> Silence:
    """Return a silence of very resources: what they are the cause of is not meant, for the sake of the tests."""
    matcher = SilenceMatcher(resource_id=resource_id, fault_type=(fault_type,))
    return Silence(
        silence_id=name,
        project="red" if audience is Audience.PROJECT else None,
        audience=audience,
        matcher=matcher,
        owner=f"owner of {name}",
        reason="work",
        start=START,
        end=at(100),
        created=START,
        created_by="ann",
    )


EVERYBODY = {name: silence(name, Audience.EVERYBODY, name) for name in OWNED}
ADMINISTRATOR = {name: silence(name, Audience.ADMINISTRATOR, name) for name in OWNED}


def covering(*silences: Silence, record: AlarmedFault | None = None) -> Coverage:
    record = record or AlarmedFault(fault=FAULT, alarms={})
    return Coverage(Silences(silences), record, AlarmBook(), RESOURCES, at(1))


def step(
    record: AlarmedFault | None, reach: Mapping[str, Severity], second: float = 0
) -> tuple[AlarmedFault, Transition]:
    """Return what a fault is before and after it reaches these resources; none is its end."""
    before = record or AlarmedFault(fault=FAULT, alarms={})
    if not reach:
        return before, lifecycle.cleared(before, now=at(second))
    fault = before.fault if record is None else replace(FAULT, transition=before.fault.transition + 1)
    effects = {name: (ResourceState.ERROR, severity) for name, severity in reach.items()}
    return before, lifecycle.settled(before, fault, effects, RESOURCES, now=at(second))


def listen(pair: tuple[AlarmedFault, Transition], coverage: Coverage, unheard: Unheard = NOTHING) -> Hearing:
    before, transition = pair
    was = {alarm.alarm_id: standing_of(alarm) for alarm in before.alarms.values()}
    return hear(transition, unheard, coverage, was)


def names(alarms: tuple[Alarm, ...]) -> list[str]:
    return sorted(alarm.resource_id for alarm in alarms)


# --- one step ---


ALL = dict.fromkeys(NAMES, CRITICAL)
WORSE = dict.fromkeys(NAMES, MINOR)


def test_without_a_silence_everything_is_heard() -> None:
    pair = step(None, ALL)
    heard = listen(pair, covering())
    assert heard.news.administrator == pair[1]
    assert names(heard.news.owners.raised) == sorted(OWNED)
    assert (heard.unheard, heard.withheld) == (NOTHING, ())


def test_a_beginning_is_withheld_from_those_it_is_silenced_for() -> None:
    heard = listen(step(None, ALL), covering(EVERYBODY["vm-1"], ADMINISTRATOR["vm-3"]))
    assert names(heard.news.owners.raised) == ["vm-2", "vm-3"]
    assert names(heard.news.administrator.raised) == ["compute-1", "vm-2"]
    assert (len(heard.unheard.owners), len(heard.unheard.administrator)) == (1, 2)
    assert set(heard.unheard.owners.values()) | set(heard.unheard.administrator.values()) == {None}
    assert sorted(one.silence.silence_id for one in heard.withheld) == ["vm-1", "vm-3"]


def test_of_an_owner_the_administrator_hears_all() -> None:
    pair = step(None, ALL)
    heard = listen(pair, covering(silence("mine", Audience.PROJECT, "vm-?")))
    assert names(heard.news.owners.raised) == ["vm-3"]
    assert heard.news.administrator == pair[1]
    (withheld,) = heard.withheld
    assert names(withheld.news.owners.raised) == ["vm-1", "vm-2"]
    assert (withheld.news.administrator.raised, len(withheld.alarms)) == ((), 2)
    (kept,) = silenced_of(pair[1], withheld)
    assert (kept.side, kept.silence_id, kept.owner, kept.project) == (
        Side.OWNER,
        "mine",
        "owner of mine",
        "red",
    )
    assert kept.alarm_ids is not None
    assert len(kept.alarm_ids) == 2


def test_what_is_withheld_whole_is_kept_without_naming_each() -> None:
    pair = step(None, ALL)
    heard = listen(pair, covering(silence("all", Audience.EVERYBODY)))
    assert heard.news.is_empty
    assert [(one.side, one.alarm_ids) for one in silenced_of(pair[1], heard.withheld[0])] == [
        (Side.OWNER, None),
        (Side.ADMINISTRATOR, None),
    ]


def test_a_change_is_withheld_and_what_was_known_is_remembered() -> None:
    record = step(None, ALL)[1].record
    heard = listen(step(record, WORSE, 1), covering(EVERYBODY["vm-1"]))
    assert names(heard.news.owners.changed) == ["vm-2", "vm-3"]
    (known,) = heard.unheard.owners.values()
    assert known is not None
    assert known.severity is CRITICAL
    again = listen(step(step(record, WORSE)[1].record, ALL, 2), covering(EVERYBODY["vm-1"]), heard.unheard)
    assert again.unheard == heard.unheard
    assert [one.alarms for one in again.withheld] == [frozenset()]


def test_a_change_after_the_silence_tells_what_was_withheld() -> None:
    """As a beginning to who never heard of the alarm, as a change to who knew it."""
    record = step(None, {"vm-1": CRITICAL})[1].record
    silenced = listen(step(None, {"vm-1": CRITICAL}), covering(EVERYBODY["vm-1"]))
    heard = listen(step(record, {"vm-1": MINOR}), covering(), silenced.unheard)
    assert (names(heard.news.owners.raised), names(heard.news.owners.changed)) == (["vm-1"], [])
    assert heard.unheard.is_empty
    known = listen(step(record, {"vm-1": MINOR}), covering(EVERYBODY["vm-1"]))
    record = step(record, {"vm-1": MINOR})[1].record
    heard = listen(step(record, {"vm-1": CRITICAL}), covering(), known.unheard)
    assert (names(heard.news.owners.raised), names(heard.news.owners.changed)) == ([], ["vm-1"])


@pytest.mark.parametrize("is_over", [False, True], ids=["in-the-silence", "behind-it"])
def test_the_end_of_what_nobody_heard_of_is_told_to_nobody(is_over: bool) -> None:
    pair = step(None, {"vm-1": CRITICAL})
    silenced = listen(pair, covering(EVERYBODY["vm-1"]))
    coverage = covering() if is_over else covering(EVERYBODY["vm-1"])
    heard = listen(step(pair[1].record, {}), coverage, silenced.unheard)
    assert heard.news.is_empty
    assert heard.unheard.is_empty
    assert len(heard.withheld) == (0 if is_over else 1)


def test_the_end_of_what_was_told_is_told_in_the_silence_too() -> None:
    pair = step(None, {"vm-1": CRITICAL})
    heard = listen(step(pair[1].record, {}), covering(EVERYBODY["vm-1"]))
    assert names(heard.news.owners.cleared) == names(heard.news.administrator.cleared) == ["vm-1"]
    assert (heard.withheld, heard.unheard) == ((), NOTHING)


# --- overdue ---


def test_what_nothing_covers_any_more_is_told_as_it_is_now() -> None:
    pair = step(None, {"vm-1": CRITICAL, "vm-2": CRITICAL})
    both = (EVERYBODY["vm-1"], EVERYBODY["vm-2"])
    heard = listen(pair, covering(*both))
    record = pair[1].record
    assert overdue(record, heard.unheard, covering(*both))[0].is_empty
    news, left = overdue(record, heard.unheard, covering(EVERYBODY["vm-2"]))
    assert names(news.owners.raised) == names(news.administrator.raised) == ["vm-1"]
    assert [len(left.owners), len(left.administrator)] == [1, 1]
    alarm_id = record.alarms["vm-1"].alarm_id
    assert [(one.side, one.raised, one.changed) for one in late_of(news)] == [
        (Side.OWNER, (alarm_id,), ()),
        (Side.ADMINISTRATOR, (alarm_id,), ()),
    ]


def test_what_is_as_it_was_known_or_is_gone_is_not_told() -> None:
    record = step(None, {"vm-1": CRITICAL})[1].record
    alarm = record.alarms["vm-1"]
    unheard = Unheard(owners={alarm.alarm_id: standing_of(alarm), "gone": None})
    news, left = overdue(record, unheard, covering())
    assert news.is_empty
    assert left.is_empty
    assert list(late_of(news)) == []


def test_a_shelved_alarm_waits_with_its_changes_and_for_its_owner_only() -> None:
    record = step(None, {"vm-1": CRITICAL, "vm-2": CRITICAL})[1].record
    ids = {name: alarm.alarm_id for name, alarm in record.alarms.items()}
    known = standing_of(replace(record.alarms["vm-1"], severity=MINOR))
    unheard = Unheard(owners={ids["vm-1"]: known, ids["vm-2"]: None}, administrator={ids["vm-1"]: known})
    news, left = overdue(record, unheard, covering(), shelved=set(ids.values()))
    assert (names(news.owners.raised), names(news.owners.changed)) == (["vm-2"], [])
    assert names(news.administrator.changed) == ["vm-1"]
    assert left == Unheard(owners={ids["vm-1"]: known})


# --- against a simple second version ---

SETS = st.sets(st.sampled_from(sorted(OWNED)))
REACHES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([CRITICAL, MINOR]))
STEPS = st.lists(st.tuples(REACHES, SETS, SETS, st.booleans()), min_size=1, max_size=8)


def absorb(believed: dict[str, Severity], news: Transition) -> None:
    """Take in what one is told. A life is raised, changed, cleared."""
    for alarm in news.raised:
        assert alarm.alarm_id not in believed
        believed[alarm.alarm_id] = alarm.severity
    for alarm in news.changed:
        assert alarm.alarm_id in believed
        believed[alarm.alarm_id] = alarm.severity
    for alarm in news.cleared:
        del believed[alarm.alarm_id]


@given(STEPS)
def test_one_believes_what_is_so_or_what_was_so_when_silence_fell(
    steps: list[tuple[dict[str, Severity], set[str], set[str], bool]],
) -> None:
    """[I-8] Whatever begins, changes, ends, is silenced for one or for both, for as long as it may be."""
    record: AlarmedFault | None = None
    unheard = NOTHING
    heard: dict[Side, dict[str, Severity]] = {side: {} for side in Side}
    expected: dict[Side, dict[str, Severity]] = {side: {} for side in Side}
    for reach, everybody, administrator, looks_again in steps:
        if not reach and record is None:
            continue
        made = [EVERYBODY[name] for name in sorted(everybody)]
        made += [ADMINISTRATOR[name] for name in sorted(administrator - everybody)]
        pair = step(record, reach)
        coverage = covering(*made, record=pair[1].record)
        found = listen(pair, coverage, unheard)
        record, unheard = pair[1].record, found.unheard
        told = list(found.news.by_side())
        if looks_again and record.fault.is_open:
            news, unheard = overdue(record, unheard, coverage)
            told += news.by_side()
        for side, news_of_side in told:
            absorb(heard[side], news_of_side)
        silenced = {Side.OWNER: everybody, Side.ADMINISTRATOR: everybody | administrator}
        present = {one.alarm_id: one for one in record.alarms.values() if one.cleared_time is None}
        touched = {one.alarm_id for one in (*pair[1].raised, *pair[1].changed, *pair[1].cleared)}
        for side, mine in expected.items():
            for alarm_id in [one for one in mine if one not in present]:
                del mine[alarm_id]
            for alarm_id, alarm in present.items():
                if side is Side.OWNER and alarm.project is None:
                    continue
                is_looked_at = looks_again or alarm_id in touched
                if alarm.resource_id not in silenced[side] and is_looked_at:
                    mine[alarm_id] = alarm.severity
            assert heard[side] == mine
        if not record.fault.is_open:
            assert unheard.is_empty
            record = None
            heard = {side: {} for side in Side}
            expected = {side: {} for side in Side}
