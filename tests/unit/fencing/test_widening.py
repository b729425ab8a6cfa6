"""What keeps Doctor from cutting off the zone around a host that could not be isolated."""

import pytest

from doctor.fencing.brakes import BRAKES
from doctor.fencing.limits import Limits
from doctor.fencing.widening import NOT_ASKED_WITHIN, Widening, objection


@pytest.mark.parametrize(
    ("widening", "says"),
    [
        pytest.param(Widening("rack-1", left={"az-1": (6, 10)}), None, id="it-may-go"),
        pytest.param(
            Widening("rack-1", excluded={"compute-2": "it runs Doctor"}), "it runs Doctor", id="excluded"
        ),
        pytest.param(Widening("rack-1", unarmed=["az-2"]), "az-2, which is not armed", id="unarmed"),
        pytest.param(Widening("rack-1", unnamed=["pdu"]), "has no identity", id="unnamed"),
        pytest.param(Widening("rack-1", left={"az-1": (5, 10)}), "5 of 10 hosts of az-1", id="floor"),
        pytest.param(Widening("rack-1", shortage="no room"), "would not fit", id="capacity"),
        pytest.param(Widening("rack-1", other="rack-2"), "rack-2 is off", id="one-is-enough"),
        pytest.param(Widening("rack-1", unarmed=["az-2"], is_off=True), None, id="it-is-off-already"),
    ],
)
def test_why_a_zone_stays(widening: Widening, says: str | None) -> None:
    why = objection(widening, Limits())
    assert why is None if says is None else says in (why or "")


def test_a_small_site_says_openly_what_it_dares() -> None:
    bold = Limits(identity=False, capacity=False, floor=0.0)
    assert objection(Widening("r", unnamed=["pdu"], left={"az-1": (0, 2)}, shortage="much"), bold) is None


def test_what_is_not_asked_again_are_brakes() -> None:
    """Who is cut off needs evidence all the same, and nobody may have pulled the hold switch."""
    assert set(BRAKES) > NOT_ASKED_WITHIN
    assert not NOT_ASKED_WITHIN & {"evidence", "mode", "hold", "excluded", "self check", "identity"}
