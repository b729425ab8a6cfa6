"""Times and durations as they are written at the doors."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.kit.times import in_utc, parse_duration, rfc3339

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "zone", "wanted"),
    [
        pytest.param(NOON, UTC, NOON, id="utc"),
        pytest.param(NOON.replace(tzinfo=None), UTC, NOON, id="without-a-zone"),
        pytest.param(datetime(2026, 7, 1, 14, 0), BERLIN, NOON, id="local"),
        pytest.param(datetime(2026, 7, 1, 14, 0, tzinfo=BERLIN), UTC, NOON, id="named-zone"),
        pytest.param(
            datetime(2026, 7, 1, 7, 0, tzinfo=timezone(timedelta(hours=-5))), BERLIN, NOON, id="offset"
        ),
        pytest.param(
            datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(0))), BERLIN, NOON, id="another-utc"
        ),
    ],
)
def test_every_time_becomes_utc(time: datetime, zone: ZoneInfo, wanted: datetime) -> None:
    found = in_utc(time, zone)
    assert found == wanted
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        pytest.param("30", 30.0, id="seconds-as-text"),
        pytest.param("0.25", 0.25, id="fraction-as-text"),
        pytest.param(30, 30.0, id="integer"),
        pytest.param(0.25, 0.25, id="float"),
        pytest.param(0, 0.0, id="zero"),
        pytest.param("PT30M", 1800.0, id="minutes"),
        pytest.param("P1DT2H3M4.5S", 93784.5, id="all-units"),
        pytest.param("PT0S", 0.0, id="iso-zero"),
    ],
)
def test_durations(written: str | float, wanted: float) -> None:
    assert parse_duration(written) == timedelta(seconds=wanted)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        pytest.param("soon", "no duration", id="a-word"),
        pytest.param("", "no duration", id="empty"),
        pytest.param("-5", "no duration", id="negative-text"),
        pytest.param(-5, "negative", id="negative"),
        pytest.param("-PT5S", "negative", id="negative-iso"),
        pytest.param("30s", "no duration", id="unit"),
        pytest.param("1e3", "no duration", id="exponent"),
        pytest.param("P1Y", "no duration", id="years-are-of-no-length"),
        pytest.param("9" * 400, "too large", id="huge-text"),
        pytest.param(10**400, "too large", id="huge-integer"),
        pytest.param(float("inf"), "too large", id="infinite"),
        pytest.param(float("nan"), "not a number", id="nan"),
        pytest.param("P99999999999D", "no duration", id="huge-iso"),
    ],
)
def test_what_is_no_duration_is_refused(written: str | float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_duration(written)


@given(st.text(max_size=30) | st.floats() | st.integers())
def test_nothing_else_happens_to_a_duration(written: str | float) -> None:
    try:
        assert parse_duration(written) >= timedelta(0)
    except ValueError as error:
        assert "duration" in str(error)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_written_time_reads_back(time: datetime) -> None:
    """Also in the year 1: a Monitor's clock may say so."""
    written = rfc3339(time)
    assert datetime.fromisoformat(written) == time
    assert len(written) == len("2026-03-04T05:06:07.000000Z")
