"""Summing up samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.cli.bench.percentiles import nearest_rank, spread


@pytest.mark.parametrize(
    ("percent", "value"),
    [
        pytest.param(0, 1, id="nothing-below"),
        pytest.param(50, 2, id="half"),
        pytest.param(51, 3, id="more-than-half"),
        pytest.param(99, 4, id="nearly-all"),
        pytest.param(100, 4, id="all"),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(percent: int, value: float) -> None:
    assert nearest_rank([1, 2, 3, 4], percent) == value


def test_samples_are_summed_up_in_the_unit_that_is_asked_for() -> None:
    found = spread((number * 1_000_000 for number in range(1, 101)), unit=1e6)
    assert (found.count, found.min, found.p50, found.p90, found.p99, found.max) == (100, 1, 50, 90, 99, 100)


def test_no_samples_have_no_spread() -> None:
    with pytest.raises(ValueError, match="no samples"):
        spread([])


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_percentiles_are_in_order(samples: list[int]) -> None:
    found = spread(samples)
    values = [found.min, found.p50, found.p90, found.p99, found.max]
    assert values == sorted(values)
    assert set(values) <= {float(sample) for sample in samples}
