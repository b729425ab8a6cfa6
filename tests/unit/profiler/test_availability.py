"""What was available, against a version that looks at every second."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.model.resource import VirtualResource
from doctor.profiler.availability import (
    SHIPPED,
    Outage,
    ServiceAvailabilityLevel,
    Window,
    measure,
    strictest,
    vnfs,
)

BEGIN = datetime(2026, 3, 4, tzinfo=UTC)
WINDOW = Window(BEGIN, BEGIN + timedelta(seconds=100))


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def machine(name: str, sal: int | str | None = None, group: str | None = "g") -> VirtualResource:
    return VirtualResource(id=name, owner="red", group=group, sal=sal)


def out(name: str, begin: float, end: float | None) -> Outage:
    return Outage(name, at(begin), None if end is None else at(end))


TWO = [machine("vm-1"), machine("vm-2")]


@pytest.mark.requirement("G47")
def test_a_vnf_is_measured() -> None:
    """[HA 6.1.2] Two failures: one of both machines in part at once, one that is still there."""
    found = measure(TWO, [out("vm-1", 10, 20), out("vm-2", 15, 25), out("vm-1", 90, None)], WINDOW, SHIPPED)
    assert (found.owner, found.group, found.machine, found.machines, found.sal) == ("red", "g", None, 2, None)
    assert found.availability == pytest.approx(1 - 30 / 200)
    assert (found.failures, found.impact) == (2, 1.0)
    assert found.failures_per_day == pytest.approx(2 * 864)
    assert (found.longest_recovery, found.mean_recovery) == (10, 10)
    assert found.breaches == ()


def test_without_outages_all_was_well() -> None:
    found = measure([machine("vm-1", group=None)], [], WINDOW, SHIPPED)
    assert (found.availability, found.failures, found.impact) == (1.0, 0, 0.0)
    assert (found.longest_recovery, found.mean_recovery, found.machine) == (None, None, "vm-1")


def test_what_lies_outside_of_the_window_counts_for_nothing_and_what_reaches_into_it_in_part() -> None:
    outages = [out("vm-1", -50, -10), out("vm-1", -5, 10), out("vm-2", 100, 120)]
    found = measure(TWO, outages, WINDOW, SHIPPED)
    assert found.availability == pytest.approx(1 - 10 / 200)
    assert (found.failures, found.longest_recovery) == (1, 15)


@pytest.mark.requirement("G5", "G44", "G45", "G54")
@pytest.mark.parametrize(
    ("sal", "seconds", "promises"),
    [
        (1, 6, []),
        (1, 6.1, ["recovery"]),
        ("2", 16, ["recovery"]),
        (3, 16, []),
        ("1A", 3, ["needs", "recovery"]),
        ("1A", 2, ["needs"]),
        ("9", 99, ["sal"]),
        (None, 99, []),
    ],
)
def test_what_a_level_promises_and_what_became_of_it(
    sal: int | str | None, seconds: float, promises: list[str]
) -> None:
    """[HA 1.4, 6.1.1] The levels that ship, one of the operator's, and one that nobody has defined."""
    levels = SHIPPED | {"1A": ServiceAvailabilityLevel(detection=1, recovery=2, needs=("fence", "spare"))}
    found = measure(
        [machine("vm-1", sal)],
        [out("vm-1", 0, seconds)],
        WINDOW,
        levels,
        capabilities=frozenset({"spare"}),
    )
    assert [one.promise for one in found.breaches] == promises
    for breach in found.breaches:
        if breach.promise == "recovery":
            assert (breach.resource_id, breach.begin, breach.seconds) == ("vm-1", at(0), seconds)


def test_the_strictest_level_is_that_of_the_vnf() -> None:
    assert strictest(["3", "1", "2"], SHIPPED) == "1"
    assert strictest(["9", "3"], SHIPPED) == "3"
    assert strictest([], SHIPPED) is None


def test_vnfs_are_groups_of_one_owner_and_machines_without_a_group() -> None:
    """Groups of the same name are different ones with different owners; no machine is taken for a group."""
    blue = VirtualResource(id="vm-9", owner="blue", group="g")
    alone = machine("g", group=None)
    assert [[one.id for one in some] for some in vnfs([*TWO, blue, alone]).values()] == [
        ["vm-1", "vm-2"],
        ["vm-9"],
        ["g"],
    ]


@given(
    st.lists(
        st.builds(
            lambda name, begin, length: out(name, begin, None if length is None else begin + length),
            st.sampled_from(["vm-1", "vm-2"]),
            st.integers(-20, 99),
            st.integers(1, 60) | st.none(),
        ),
        max_size=8,
    )
)
def test_it_is_what_one_sees_second_by_second(outages: list[Outage]) -> None:
    found = measure(TWO, outages, WINDOW, SHIPPED)
    seconds = [
        {
            one.resource_id
            for one in outages
            if one.begin <= at(second) and (one.end is None or one.end > at(second))
        }
        for second in range(100)
    ]
    assert found.availability == pytest.approx(1 - sum(map(len, seconds)) / 200)
    assert found.impact == max(map(len, seconds)) / 2
