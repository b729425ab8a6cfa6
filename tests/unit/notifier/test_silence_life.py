"""How a silence is made, changed and ended, and what is refused."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from doctor.model.errors import Reason, RejectedError
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import MOST_CHANGES, Audience, Silence, SilenceMatcher, SilenceState
from doctor.notifier import silence_life as life
from doctor.notifier.silence_life import EVERYTHING, SilenceEdit, SilenceOrder
from tests.unit.model.nfvis import START

LONGEST = timedelta(days=7)
HOUR = timedelta(hours=1)
VM_1 = SilenceMatcher(resource_id=("vm-1",))
ORDER = SilenceOrder(
    matcher=VM_1, audience=None, owner="", reason="new memory", start=None, end=None, duration=HOUR
)
RESOURCES = ResourceMap(
    [PhysicalResource(id=f"compute-{n}", zone_id="zone-1") for n in (1, 2)],
    [
        VirtualResource(id="vm-1", host="compute-1", owner="red"),
        VirtualResource(id="vm-2", host="compute-2", owner="red"),
        VirtualResource(id="vm-3", owner="blue"),
    ],
)


def make(order: SilenceOrder = ORDER, project: str | None = "red", now: datetime = START) -> Silence:
    return life.made(order, "s", project, user="ann", now=now, longest=LONGEST)


def flaws(order: SilenceOrder, project: str | None = "red") -> dict[str, str]:
    with pytest.raises(RejectedError) as caught:
        make(order, project)
    return {flaw.pointer: flaw.detail for flaw in caught.value.flaws}


@pytest.mark.parametrize(
    ("project", "audience", "expected"),
    [
        pytest.param("red", None, Audience.PROJECT, id="owner"),
        pytest.param("red", Audience.PROJECT, Audience.PROJECT, id="owner-says-so"),
        pytest.param(None, None, Audience.ADMINISTRATOR, id="administrator"),
        pytest.param(None, Audience.EVERYBODY, Audience.EVERYBODY, id="everybody"),
    ],
)
def test_who_asks_decides_whom_it_keeps_from_hearing(
    project: str | None, audience: Audience | None, expected: Audience
) -> None:
    silence = make(ORDER._replace(audience=audience), project)
    assert (silence.audience, silence.project, silence.owner) == (expected, project, "ann")
    assert make(ORDER._replace(owner="bob")).owner == "bob"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        pytest.param({"audience": Audience.EVERYBODY}, "/audience", id="everybody"),
        pytest.param({"audience": Audience.ADMINISTRATOR}, "/audience", id="administrator"),
        pytest.param({"matcher": SilenceMatcher(project=("red",))}, "/matcher/project", id="project"),
        pytest.param({"duration": None}, "/end", id="no-end"),
        pytest.param({"end": START + HOUR}, "/end", id="two-ends"),
        pytest.param({"duration": timedelta(0)}, "/end", id="nothing"),
        pytest.param({"duration": LONGEST + HOUR}, "/end", id="too-long"),
        pytest.param({"duration": timedelta.max}, "/duration", id="beyond-all-times"),
        pytest.param({"start": START + timedelta(days=400)}, "/start", id="too-far"),
        pytest.param({"matcher": SilenceMatcher()}, "/matcher", id="everything"),
        pytest.param({"matcher": SilenceMatcher(zone_id=("*",))}, "/matcher", id="everything-in-other-words"),
        pytest.param(
            {"matcher": SilenceMatcher(zone_id=("*" + "[ab]" * 60,) * 4)}, "/matcher", id="long-searches"
        ),
        pytest.param({"matcher": SilenceMatcher(zone_id=("z", "?*"))}, "/matcher", id="one-of-them"),
    ],
)
def test_what_is_wrong_is_named(order: dict[str, Any], expected: str) -> None:
    assert list(flaws(ORDER._replace(**order))) == [expected]


@pytest.mark.parametrize(
    ("start", "end", "detail"),
    [
        pytest.param(None, START - HOUR, "is over already", id="past"),
        pytest.param(START + 2 * HOUR, START + HOUR, "is before the start", id="before"),
        pytest.param(START + 2 * HOUR, START + 2 * HOUR, "is not after the start", id="same"),
    ],
)
def test_an_end_is_behind_the_start_and_in_the_future(
    start: datetime | None, end: datetime, detail: str
) -> None:
    assert flaws(ORDER._replace(start=start, end=end, duration=None)) == {"/end": detail}


def test_all_flaws_are_named_at_once() -> None:
    wrong = ORDER._replace(
        matcher=SilenceMatcher(project=("*",)), audience=Audience.EVERYBODY, duration=LONGEST * 2
    )
    assert set(flaws(wrong)) == {"/audience", "/matcher/project", "/end", "/matcher"}
    assert flaws(ORDER._replace(audience=Audience.PROJECT), None).keys() == {"/audience"}


def test_everything_is_taken_from_who_says_so() -> None:
    assert make(ORDER._replace(matcher=SilenceMatcher(), everything=True)).matcher == SilenceMatcher()


def test_a_start_in_the_past_is_now_and_its_length_counts_from_there() -> None:
    silence = make(ORDER._replace(start=START - timedelta(days=30)))
    assert (silence.start, silence.end) == (START, START + HOUR)


@pytest.mark.parametrize(
    ("longest", "words"),
    [(timedelta(hours=2), "2 hours"), (timedelta(days=7), "7 days"), (timedelta(hours=1.5), "1.5 hours")],
)
def test_the_longest_time_is_said_as_people_say_it(longest: timedelta, words: str) -> None:
    with pytest.raises(RejectedError) as caught:
        life.made(ORDER._replace(duration=longest * 2), "s", None, user="ann", now=START, longest=longest)
    assert f"more than {words} after the start" in caught.value.flaws[0].detail


# --- changes ---


def edit(silence: Silence, now: datetime, **given: Any) -> Silence:
    return life.changed(silence, SilenceEdit(**given), user="bob", now=now, longest=LONGEST)


def test_what_is_changed_is_noted_and_what_is_not_is_not() -> None:
    planned = make(ORDER._replace(start=START + HOUR))
    assert planned.state(START) is SilenceState.PLANNED
    changed = edit(planned, START, start=START + 2 * HOUR, duration=HOUR / 2, owner="eve", reason="later")
    assert (changed.start, changed.end) == (START + 2 * HOUR, START + 2.5 * HOUR)
    assert (changed.owner, changed.reason) == ("eve", "later")
    (note,) = changed.changes
    assert note.user == "bob"
    for word in ("start 2026-", "end 2026-", "owner eve, was ann", "reason 'later', was 'new memory'"):
        assert word in note.what
    assert edit(changed, START, owner="eve") is changed
    assert edit(planned, START, start=START - HOUR).start == START


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        pytest.param({"start": START + 2 * HOUR}, "/start", id="begun"),
        pytest.param({"end": START - HOUR}, "/end", id="past"),
        pytest.param({"end": START + LONGEST + HOUR}, "/end", id="too-long"),
        pytest.param({"end": START + HOUR, "duration": HOUR}, "/end", id="two-ends"),
        pytest.param({"duration": timedelta.max}, "/duration", id="beyond-all-times"),
    ],
)
def test_a_change_must_make_sense(given: dict[str, Any], pointer: str) -> None:
    active = make(ORDER._replace(duration=3 * HOUR))
    with pytest.raises(RejectedError) as caught:
        edit(active, START + timedelta(minutes=1), **given)
    assert [flaw.pointer for flaw in caught.value.flaws] == [pointer]


def test_what_is_over_stays_over() -> None:
    active = make()
    over = life.ended(active, user="bob", now=START + HOUR / 2)
    assert (over.until, over.ended_by) == (START + HOUR / 2, "bob")
    assert [one.what for one in over.changes] == ["ended"]
    assert over.state(START + HOUR / 2) is SilenceState.ENDED
    assert life.ended(over, user="eve", now=START + HOUR) is over
    assert life.ended(active, user="eve", now=START + HOUR) is active
    for silence, now in ((over, START + HOUR / 2), (active, START + HOUR)):
        with pytest.raises(RejectedError) as caught:
            edit(silence, now, reason="x")
        assert caught.value.reason is Reason.CONFLICT


def test_a_planned_one_is_cancelled_and_never_lasts() -> None:
    planned = make(ORDER._replace(start=START + HOUR, duration=HOUR))
    over = life.ended(planned, user="bob", now=START)
    assert [one.what for one in over.changes] == ["cancelled"]
    assert {over.state(START + n * HOUR) for n in range(5)} == {SilenceState.ENDED}


def test_only_the_newest_changes_stay() -> None:
    silence = make()
    for number in range(MOST_CHANGES + 5):
        silence = edit(silence, START, reason=f"reason {number}")
    assert len(silence.changes) == MOST_CHANGES
    assert "reason 104" in silence.changes[-1].what


# --- what it covers ---


@pytest.mark.parametrize(
    ("matcher", "project", "expected"),
    [
        pytest.param(SilenceMatcher(resource_id=("vm-*",)), "red", True, id="all-mine"),
        pytest.param(SilenceMatcher(resource_id=("vm-*",)), "blue", False, id="the-one-i-have"),
        pytest.param(SilenceMatcher(resource_id=("vm-1", "vm-2")), "red", False, id="by-name"),
        pytest.param(SilenceMatcher(zone_id=("zone-1",)), "red", True, id="all-in-one-zone"),
        pytest.param(SilenceMatcher(zone_id=("zone-1",)), None, False, id="not-all-in-one-zone"),
        pytest.param(SilenceMatcher(resource_id=("*-*",)), None, True, id="all-there-is"),
        pytest.param(SilenceMatcher(resource_id=("*-*",), fault_type=("x",)), None, False, id="a-fault-type"),
        pytest.param(SilenceMatcher(project=("red", "blue")), None, False, id="owners-by-name"),
        pytest.param(SilenceMatcher(project=("r*",)), None, False, id="some-owners"),
    ],
)
def test_patterns_that_take_all_there_is_are_recognised(
    matcher: SilenceMatcher, project: str | None, expected: bool
) -> None:
    assert life.is_sweeping(matcher, project, RESOURCES) is expected


@pytest.mark.parametrize(
    ("matcher", "project", "pointers"),
    [
        pytest.param(VM_1, "red", [], id="mine"),
        pytest.param(VM_1, "blue", ["/matcher/resource_id/0", "/matcher"], id="not-mine"),
        pytest.param(VM_1, None, [], id="anybodys"),
        pytest.param(
            SilenceMatcher(resource_id=("vm-1", "vm-9")), None, ["/matcher/resource_id/1"], id="one-of-two"
        ),
        pytest.param(SilenceMatcher(resource_id=("x-*",)), None, ["/matcher"], id="no-such-names"),
        pytest.param(SilenceMatcher(zone_id=("zone-9",)), None, ["/matcher"], id="no-such-zone"),
        pytest.param(SilenceMatcher(project=("green",)), None, ["/matcher"], id="no-such-owner"),
        pytest.param(SilenceMatcher(project=("blue",)), None, [], id="an-owner"),
    ],
)
def test_words_that_mean_nothing_are_doubted(
    matcher: SilenceMatcher, project: str | None, pointers: list[str]
) -> None:
    assert [doubt.pointer for doubt in life.doubts(matcher, project, RESOURCES)] == pointers


def test_what_covers_everything_says_what_to_do() -> None:
    assert "everything=true" in EVERYTHING
