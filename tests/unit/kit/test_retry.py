"""The schedule of repeated attempts."""

import random

import pytest

from doctor.kit.retry import GIVE_UP_AFTER, STEADY_DELAY, delay_before


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    list(enumerate([0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0], start=1)),
)
def test_it_is_quick_at_first(attempt: int, seconds: float) -> None:
    assert delay_before(attempt) == seconds


@pytest.mark.parametrize("attempt", [0, -1])
def test_nothing_waits_before_the_first(attempt: int) -> None:
    assert delay_before(attempt) == 0.0


def test_then_it_is_each_minute_with_some_chance_in_it() -> None:
    """So that a thousand lanes to one dead endpoint do not all come back in the same second."""
    delays = {delay_before(attempt) for attempt in range(11, 200)}
    assert len(delays) > 100
    assert all(0.9 * STEADY_DELAY <= delay <= 1.1 * STEADY_DELAY for delay in delays)


def test_chance_can_be_given() -> None:
    assert delay_before(11, rng=random.Random(7)) == delay_before(11, rng=random.Random(7))


def test_a_day_is_a_day() -> None:
    assert GIVE_UP_AFTER.total_seconds() == 24 * 3600
