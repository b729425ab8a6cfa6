"""When a redundancy group is worth a word: N+M [D 3.3.3]."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.model.resource import VirtualResource
from doctor.model.subscription import Aggregate
from doctor.notifier.aggregate import Group, is_member, step
from tests.unit.model.nfvis import START, long_lists

TWO = Aggregate(group="g", more_than=2)


class Story:
    """A group and what its owner was told, step by step; an alarm ``a1`` is the failure 1 of machine ``a``."""

    def __init__(self, wish: Aggregate = TWO) -> None:
        self.wish = wish
        self.group = Group()

    def at(self, second: float, began: str = "", *, ended: str = "", cleared: str = "") -> tuple[str, ...]:
        found = step(
            self.wish,
            self.group,
            began={alarm: alarm[0] for alarm in began.split()},
            ended=ended.split(),
            cleared=cleared.split(),
            now=START + timedelta(seconds=second),
        )
        self.group = found.group
        return found.tell


def test_the_moment_that_too_many_are_out_all_of_them_are_told_and_each_further_one() -> None:
    """[D 3.3.3] More than two standbys."""
    story = Story()
    assert story.at(0, "a1") == ()
    assert story.at(10, "b1") == ()
    assert story.at(20, "c1") == ("a1", "b1", "c1")
    assert story.at(30, "d1") == ("d1",)


def test_failures_one_after_the_other_are_not_failures_at_the_same_time() -> None:
    story = Story()
    assert [story.at(0, "a1"), story.at(1, cleared="a1"), story.at(2, "b1"), story.at(3, "c1")] == [()] * 4


def test_two_failures_of_one_machine_count_once() -> None:
    story = Story()
    assert story.at(0, "a1 a2 b1") == ()
    assert story.at(1, "c1") == ("a1", "a2", "b1", "c1")
    assert story.at(2, "c2") == ("c2",)


def test_below_the_limit_again_those_told_stay_told_and_new_ones_wait() -> None:
    story = Story()
    story.at(0, "a1 b1 c1")
    assert story.at(1, cleared="a1") == ()
    assert story.group.told == {"b1", "c1"}
    assert story.at(2, cleared="b1") == ()
    assert story.at(3, "d1") == ()
    assert story.at(4, "e1") == ("d1", "e1")


def test_what_is_better_but_not_over_is_not_out_and_stays_told() -> None:
    story = Story()
    story.at(0, "a1 b1 c1")
    assert story.at(1, ended="a1") == ()
    assert story.group.told == {"a1", "b1", "c1"}
    assert story.at(2, "a1") == ()
    assert story.at(3, cleared="a1 b1 c1") == ()
    assert story.group == Group()


def test_only_failures_within_the_window_make_it_too_many() -> None:
    """[design 5] But all that are out are told, and once it was too many the window is over only with the outage."""
    story = Story(Aggregate(group="g", more_than=2, within=timedelta(seconds=60)))
    assert story.at(0, "a1") == ()
    assert story.at(50, "b1") == ()
    assert story.at(70, "c1") == ()
    assert story.at(100, "d1") == ("a1", "b1", "c1", "d1")
    assert story.at(1000, "e1") == ("e1",)


def test_the_end_of_the_window_belongs_to_it() -> None:
    story = Story(Aggregate(group="g", more_than=1, within=timedelta(seconds=60)))
    story.at(0, "a1")
    assert story.at(60, "b1") == ("a1", "b1")


@pytest.mark.parametrize(
    ("machine", "member"),
    [
        pytest.param(VirtualResource(id="a", owner="red", group="g", role="STBY"), True, id="member"),
        pytest.param(VirtualResource(id="a", owner="red", group="g", role="ACT"), False, id="other-role"),
        pytest.param(VirtualResource(id="a", owner="red", group="h", role="STBY"), False, id="other-group"),
        pytest.param(VirtualResource(id="a", owner="blue", group="g", role="STBY"), False, id="other-owner"),
        pytest.param(VirtualResource(id="a", owner="red"), False, id="no-group"),
        pytest.param(None, False, id="unknown"),
    ],
)
def test_who_belongs_to_a_group(machine: VirtualResource | None, member: bool) -> None:
    """[design 3] Names of groups are per owner."""
    assert is_member(Aggregate(group="g", role="STBY"), "red", machine) is member


def test_without_a_role_every_role_counts() -> None:
    assert is_member(TWO, "red", VirtualResource(id="a", owner="red", group="g", role="ACT"))


# --- by chance, against a version that remembers the whole story and counts anew each time ---

ALARM = st.sampled_from([f"{machine}{number}" for machine in "abcde" for number in "12"])
MOVES = long_lists(st.tuples(st.sampled_from(["began", "ended", "cleared"]), ALARM, st.integers(0, 40)), 40)


class Simple:
    """Counts by looking at everything that ever happened."""

    def __init__(self, more_than: int, within: timedelta | None) -> None:
        self.more_than = more_than
        self.within = within
        self.since: dict[str, datetime] = {}
        self.told: list[str] = []
        self.too_many = False

    def move(self, kind: str, alarm: str, now: datetime) -> list[str]:
        if kind == "began" and alarm not in self.since:
            self.since[alarm] = now
        if kind != "began" and alarm in self.since:
            del self.since[alarm]
        if kind == "cleared" and alarm in self.told:
            self.told.remove(alarm)
        machines = {name[0] for name in self.since}
        fresh = [
            machine
            for machine in machines
            if self.within is None
            or min(time for name, time in self.since.items() if name[0] == machine) >= now - self.within
        ]
        if len(machines) <= self.more_than:
            self.too_many = False
        elif len(fresh) > self.more_than:
            self.too_many = True
        news = [name for name in self.since if name not in self.told] if self.too_many else []
        self.told += news
        return news


@pytest.mark.requirement("B12")
@given(MOVES, st.integers(0, 4), st.none() | st.integers(1, 90).map(lambda one: timedelta(seconds=one)))
def test_it_tells_what_the_simple_version_tells(
    moves: list[tuple[str, str, int]], more_than: int, within: timedelta | None
) -> None:
    """And whenever more are out than can be borne, the owner knows of every one of them."""
    simple, now = Simple(more_than, within), START
    wish, group = Aggregate(group="g", more_than=more_than, within=within), Group()
    for kind, alarm, later in moves:
        now += timedelta(seconds=later)
        given_by_kind = {"began": [], "ended": [], "cleared": [], kind: [alarm]}
        found = step(
            wish,
            group,
            began={name: name[0] for name in given_by_kind["began"]},
            ended=given_by_kind["ended"],
            cleared=given_by_kind["cleared"],
            now=now,
        )
        group = found.group
        assert list(found.tell) == simple.move(kind, alarm, now)
        assert group.told == set(simple.told)
        assert not group.exceeded or set(group.out) <= group.told
