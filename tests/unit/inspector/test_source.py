"""What is known of a source by what comes from it."""

from datetime import UTC, datetime, timedelta

import pytest

from doctor.inspector.source import Source

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_nobody_is_missed_who_has_promised_nothing() -> None:
    assert not Source("s").is_missed(1e9, 0)


def test_who_promised_is_missed_after_his_time() -> None:
    source = Source("s", timedelta(seconds=10))
    assert not source.is_missed(110, 100)  # nobody has heard him, but it is not that long
    assert source.is_missed(110.1, 100)
    source.hears(NOON, 110)
    assert not source.is_missed(120, 100)
    assert source.is_missed(120.1, 100)
    assert not source.is_missed(120.1, 115)  # Doctor itself was away until then


def test_a_heartbeat_promises_the_next_unless_the_settings_know_better() -> None:
    source, settled = Source("s"), Source("s", timedelta(seconds=10))
    for one in (source, settled):
        one.promises(NOON + timedelta(seconds=30), NOON)
        one.promises(NOON - timedelta(seconds=30), NOON)  # of a clock that is wrong
    assert source.silent_after == timedelta(seconds=30)
    assert settled.silent_after == timedelta(seconds=10)


def test_what_comes_is_counted_and_what_was_known_apart() -> None:
    source = Source("s")
    assert Source("t").lag is None
    source.takes(10, 7, NOON, NOON + timedelta(seconds=2), 0)
    source.takes(5, 0, NOON, NOON + timedelta(hours=2), 0)  # an old tale says nothing of how late it is
    assert (source.events, source.duplicates) == (15, 8)
    assert source.lag == timedelta(seconds=2)
    assert source.last_heard == NOON + timedelta(hours=2)


def test_the_rate_is_of_the_last_minute_or_so() -> None:
    source = Source("s")
    assert source.per_minute == 0
    source.samples(0)
    for second in range(1, 600):
        source.takes(2, 2, NOON, NOON, second)
        source.samples(second)
    assert source.per_minute == pytest.approx(120, rel=0.03)
    source.samples(599 + 30)
    assert source.per_minute == pytest.approx(60, rel=0.03)
    source.samples(599 + 600)
    assert source.per_minute < 0.01
