"""Numbers as any store can keep them."""

from typing import Any

import pytest

from doctor.kit.numbers import storable

MOST, LEAST = 2**63 - 1, -(2**63)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param({"n": MOST, "m": LEAST}, {"n": MOST, "m": LEAST}, id="what-64-bits-hold"),
        pytest.param({"n": 2**70}, {"n": str(2**70)}, id="too-large"),
        pytest.param({"n": -(2**70)}, {"n": str(-(2**70))}, id="too-small"),
        pytest.param(
            {"a": [{"n": 2**70, "m": 7}], "b": 1.5, "c": None},
            {"a": [{"n": str(2**70), "m": 7}], "b": 1.5, "c": None},
            id="deep-inside",
        ),
    ],
)
def test_a_number_beyond_64_bits_becomes_text(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert storable(given) == kept
