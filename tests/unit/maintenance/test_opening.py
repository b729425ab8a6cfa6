"""Which sessions begin and end because somebody has taken a host out of use in its cloud."""

from typing import Any

import pytest
from msgspec.structs import replace

from doctor.kit.pattern import pattern
from doctor.maintenance.opening import due, taken_out
from doctor.model.maintenance import SessionState
from doctor.model.resource import PhysicalResource
from tests.unit.maintenance.test_stages import session


def host(state: str = "disabled up", reason: str = "planned: disks") -> PhysicalResource:
    """Return a host as its cloud has it."""
    metadata: dict[str, Any] = {"disabled_reason": reason} if reason else {}
    return PhysicalResource(id="compute-1", vim_state=state, metadata=metadata)


@pytest.mark.parametrize(
    ("one", "is_meant"),
    [
        pytest.param(host(), True, id="meant"),
        pytest.param(host(reason="broken"), False, id="another-reason"),
        pytest.param(host(reason=""), False, id="no-reason"),
        pytest.param(host("enabled up"), False, id="enabled"),
        pytest.param(host("disabled down silent"), True, id="silent-too"),
        pytest.param(host(reason="doctor: maintenance (5e55)"), False, id="by-doctor"),
        pytest.param(replace(host(), type="switch"), False, id="no-host"),
    ],
)
def test_a_host_is_taken_out_by_others_for_a_reason_that_is_meant(
    one: PhysicalResource, is_meant: bool
) -> None:
    found = taken_out([one], (), pattern("planned*"))
    assert found == ({"compute-1": "planned: disks"} if is_meant else {})


def test_doctor_never_means_itself() -> None:
    assert taken_out([host(reason="doctor: maintenance (5e55)")], (), pattern("*")) == {}


def test_a_session_holds_its_host_until_that_is_in_use_again() -> None:
    now = {"compute-1": "planned: disks"}
    held = session("compute-1", holds=True)
    assert due(now, [], ()).to_open == now
    assert due(now, [], {"compute-1": "s"}).to_open == {}  # somebody has asked for it by hand
    assert due(now, [held], ()) == ({}, ())
    failed = replace(held, state=SessionState.FAILED)
    assert due(now, [failed], ()) == ({}, ())  # it is not tried over and over
    assert due({}, [failed], ()) == ({}, (failed,))
    assert due({}, [session("compute-1")], ()) == ({}, ())
