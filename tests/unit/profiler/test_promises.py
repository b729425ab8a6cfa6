"""Whether a VNF gets what its level promises, against versions that look at every second."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.model.resource import VirtualResource
from doctor.profiler.availability import SHIPPED, Outage, ServiceAvailabilityLevel
from doctor.profiler.promises import (
    FOREVER,
    TICK,
    Kept,
    Look,
    Promise,
    Standing,
    Stretch,
    crossing,
    looked_at,
    used,
)

BEGIN = datetime(2026, 3, 4, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def at(second: float) -> datetime:
    return BEGIN + second * SECOND


def machine(name: str, sal: int | str | None = "X") -> VirtualResource:
    return VirtualResource(id=name, owner="red", group="g", sal=sal)


def out(name: str, begin: float, end: float | None = None) -> Outage:
    return Outage(name, at(begin), None if end is None else at(end))


TWO = [machine("vm-1"), machine("vm-2")]
# Of 1,000 s of two machines 20 machine-seconds may be lost; at risk when more than 5 of 50 s are.
LEVEL = ServiceAvailabilityLevel(
    detection=1,
    recovery=10**6,
    availability=0.99,
    window=1000 * SECOND,
    burn_rate=5,
    burn_over=50 * SECOND,
)


def look(
    *outages: Outage,
    now: float,
    level: ServiceAvailabilityLevel = LEVEL,
    machines: list[VirtualResource] = TWO,
) -> Look:
    return looked_at(machines, outages, SHIPPED | {"X": level}, at(now))


def one(found: Look, promise: Promise) -> Standing:
    [standing] = [each for each in found.standings if each.promise is promise]
    return standing


def kept(promise: Promise, *outages: Outage, now: float, level: ServiceAvailabilityLevel = LEVEL) -> Kept:
    return one(look(*outages, now=now, level=level), promise).kept


# --- the budget ---


@pytest.mark.requirement("G54")
@pytest.mark.parametrize(
    ("outages", "now", "expected"),
    [
        pytest.param([], 2000, Kept.YES, id="nothing"),
        pytest.param([out("vm-1", 900, 905)], 910, Kept.YES, id="a-little"),
        pytest.param([out("vm-1", 900, 906)], 910, Kept.AT_RISK, id="fast"),
        pytest.param([out("vm-1", 900, 906)], 960, Kept.YES, id="no-longer-fast"),
        pytest.param([out("vm-1", 900, 920)], 1100, Kept.YES, id="used-to-the-last"),
        pytest.param([out("vm-1", 900, 921)], 1100, Kept.NO, id="used-up"),
        pytest.param([out("vm-1", 900, 911), out("vm-2", 905, 915)], 1100, Kept.NO, id="by-both-together"),
        pytest.param(
            [out("vm-1", 900, 911), out("vm-1", 905, 919)], 1100, Kept.YES, id="of-one-machine-once"
        ),
        pytest.param([out("vm-1", 900, 921)], 1901, Kept.YES, id="long-ago"),
        pytest.param([out("vm-1", 900)], 921, Kept.NO, id="still-out"),
        pytest.param([out("vm-1", -5000)], 2000, Kept.NO, id="out-all-the-time"),
    ],
)
def test_the_budget_of_outages_is_kept_at_risk_or_used_up(
    outages: list[Outage], now: float, expected: Kept
) -> None:
    assert kept(Promise.AVAILABILITY, *outages, now=now) is expected


def test_the_figures_are_told() -> None:
    standing = one(look(out("vm-1", 900), now=910), Promise.AVAILABILITY)
    assert standing.details == {
        "sal": "X",
        "target": 0.99,
        "availability": 0.995,
        "window_seconds": 1000.0,
        "budget_seconds": 20.0,
        "used_seconds": 10.0,
        "burn_rate": 10.0,
        "used_up_in_seconds": 50.0,
    }


@pytest.mark.parametrize(
    ("outages", "now", "again"),
    [
        pytest.param([], 0, None, id="nothing"),
        pytest.param([out("vm-1", 900)], 901, 905, id="becomes-fast"),
        pytest.param([out("vm-1", 900)], 906, 920, id="becomes-used-up"),
        pytest.param([out("vm-1", 900, 906)], 910, 951, id="is-fast-no-longer"),
        pytest.param([out("vm-1", 900, 925)], 1100, 1905, id="has-recovered"),
        pytest.param([out("vm-1", 900), out("vm-2", 900)], 902, 902.5, id="both-at-once"),
    ],
)
def test_when_to_look_again(outages: list[Outage], now: float, again: float | None) -> None:
    assert look(*outages, now=now).again == (None if again is None else at(again) + TICK)


def test_a_level_that_allows_nothing_is_broken_by_the_first_outage() -> None:
    level = ServiceAvailabilityLevel(detection=1, recovery=99, availability=1.0)
    standing = one(look(out("vm-1", 0, 1), now=2, level=level), Promise.AVAILABILITY)
    assert (standing.kept, standing.details["burn_rate"]) == (Kept.NO, 0.0)
    assert kept(Promise.AVAILABILITY, now=2, level=level) is Kept.YES


def test_a_level_may_do_without_looking_ahead() -> None:
    level = ServiceAvailabilityLevel(
        detection=1, recovery=99, availability=0.5, window=100 * SECOND, burn_rate=None
    )
    assert kept(Promise.AVAILABILITY, out("vm-1", 0), now=50, level=level) is Kept.YES


# --- the other promises ---


@pytest.mark.requirement("G5", "G54")
def test_a_recovery_that_takes_too_long_is_broken_until_it_is_over() -> None:
    """Of SAL 1, six seconds; the other machine has ten more."""
    machines = [machine("vm-1", 1), machine("vm-2", 2)]
    outages = [out("vm-1", 0), out("vm-2", 0)]
    early = look(*outages, now=3, machines=machines)
    assert (one(early, Promise.RECOVERY).kept, early.again) == (Kept.YES, at(6) + TICK)
    late = look(*outages, now=6.5, machines=machines)
    assert one(late, Promise.RECOVERY) == Standing(
        Promise.RECOVERY,
        Kept.NO,
        {"sal": "1", "recovery_seconds": 6.0, "out_for_seconds": 6.5, "machines": 1},
    )
    assert late.again == at(15) + TICK
    over = look(out("vm-1", 0, 7), out("vm-2", 0, 8), now=20, machines=machines)
    assert (one(over, Promise.RECOVERY).kept, over.again) == (Kept.YES, None)


def test_who_has_no_level_of_his_own_is_promised_no_recovery() -> None:
    found = look(out("vm-2", 0), now=99, machines=[machine("vm-1", 1), machine("vm-2", None)])
    assert one(found, Promise.RECOVERY).kept is Kept.YES


@pytest.mark.requirement("G54")
def test_too_many_may_be_out_at_once() -> None:
    level = ServiceAvailabilityLevel(detection=1, recovery=10**6, impact=0.5)
    assert kept(Promise.IMPACT, out("vm-1", 0), now=5, level=level) is Kept.YES
    assert kept(Promise.IMPACT, out("vm-1", 0), out("vm-2", 1), now=5, level=level) is Kept.NO
    assert kept(Promise.IMPACT, out("vm-1", 0, 4), out("vm-2", 1), now=5, level=level) is Kept.YES


@pytest.mark.requirement("G54")
def test_failures_may_come_too_often() -> None:
    """At most two within the window; what begins while another machine is out is the same failure."""
    level = ServiceAvailabilityLevel(
        detection=1, recovery=10**6, failures_per_day=2 * 864, window=100 * SECOND
    )
    twice = [out("vm-1", 0, 5), out("vm-2", 3, 8), out("vm-1", 50, 51)]
    assert kept(Promise.FAILURES, *twice, now=60, level=level) is Kept.YES
    thrice = look(*twice, out("vm-2", 60, 61), now=62, level=level)
    assert one(thrice, Promise.FAILURES).kept is Kept.NO
    assert thrice.again == at(100) + TICK
    assert kept(Promise.FAILURES, *twice, out("vm-2", 60, 61), now=100.001, level=level) is Kept.YES


def test_without_a_level_nothing_is_promised() -> None:
    assert look(out("vm-1", 0), now=9, machines=[machine("vm-1", None)]) == Look((), None)
    assert look(out("vm-1", 0), now=9, machines=[machine("vm-1", "nobody's")]) == Look((), None)


def test_the_end_of_time_is_far_away() -> None:
    level = ServiceAvailabilityLevel(detection=1, recovery=1e12, availability=0.9, window=timedelta.max)
    assert look(out("vm-1", 0), now=9, level=level).again is None


# --- against every second ---

SPANS = st.lists(
    st.builds(
        lambda begin, length: (at(begin), FOREVER if length is None else at(begin + length)),
        st.integers(-60, 0),
        st.integers(1, 60) | st.none(),
    ).filter(lambda span: span[1] == FOREVER or span[1] <= BEGIN),
    max_size=6,
)


@given(SPANS, st.integers(1, 50))
def test_what_is_used_is_what_one_sees_second_by_second(spans: list[Stretch], length: int) -> None:
    seen = sum(begin <= at(second) < end for begin, end in spans for second in range(-length, 0))
    assert used(spans, BEGIN, length * SECOND) == seen


@given(SPANS, st.integers(1, 50), st.integers(0, 80))
def test_a_limit_is_crossed_when_one_sees_it(spans: list[Stretch], length: int, limit: int) -> None:
    window = length * SECOND
    is_over = used(spans, BEGIN, window) > limit
    found = crossing(spans, BEGIN, window, limit)
    seen = next(
        (second for second in range(200) if (used(spans, at(second), window) > limit) is not is_over), None
    )
    if seen is None:
        assert found is None or found > at(150)
    else:
        assert found is not None
        assert at(seen - 1) <= found <= at(seen)
        # It may come down to the limit for a moment only.
        assert (
            used(spans, found, window) <= limit + 1e-4
            if is_over
            else used(spans, found + TICK, window) > limit
        )
