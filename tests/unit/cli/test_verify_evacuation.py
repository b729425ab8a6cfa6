"""What keeps a host from being isolated is said before it is harmed; the whole way is played in tests/openstack."""

from typing import Any

import pytest

from doctor.cli.verify.cloud_evacuation import CHECKS, FIGURES, CloudEvacuationTest
from doctor.cli.verify.cloud_settings import CloudTestSettings
from doctor.cli.verify.cloud_tests import Victim
from doctor.cli.verify.command import summary
from doctor.cli.verify.mailbox import VerifyError
from doctor.client.errors import ApiError

VICTIM = Victim("vm-1", "compute-1", "compute-1", "")


class Doctor:
    """A Doctor that has these checks of a host, and gives it back when it was asked often enough."""

    def __init__(self, *checks: tuple[str, bool], busy: int = 0) -> None:
        self._checks = [{"brake": name, "passes": passes, "detail": "no"} for name, passes in checks]
        self._busy = busy
        self.state = "fenced"

    def get(self, path: str, **query: Any) -> Any:
        if path == "/v1/isolations":
            return {"items": [{"state": self.state}]}
        assert path == "/v1/isolations/compute-1"
        return {"checks": self._checks}

    def post(self, path: str, body: Any) -> Any:
        assert path == "/v1/isolations/compute-1/return"
        if self._busy:
            self._busy -= 1
            raise ApiError(409, "its machines are still on their way")
        self.state = "observed"


def played(doctor: Doctor) -> CloudEvacuationTest:
    return CloudEvacuationTest(
        doctor,  # type: ignore[arg-type]  # of a client it uses these two methods
        None,  # type: ignore[arg-type]  # the cloud is not asked
        CloudTestSettings(),
        clouds_file=None,
        webhook=False,
        monitors=False,
        say=lambda words: None,
    )


def test_what_would_keep_doctor_from_it_is_named_before() -> None:
    """That the host lives is no obstacle: it is about to fail."""
    played(Doctor(("evidence", False), ("mode", True)))._check_fence(VICTIM)
    with pytest.raises(VerifyError, match=r"would not isolate compute-1 \(mode: no; levels: no\)"):
        played(Doctor(("evidence", False), ("mode", False), ("levels", False)))._check_fence(VICTIM)


def test_a_host_is_given_back_when_nothing_is_on_its_way_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    doctor = Doctor(busy=2)
    played(doctor)._give_back(VICTIM)
    assert doctor.state == "observed"


def test_a_round_that_passes_every_check_passes() -> None:
    timeline = {"I1": 20.0, "M1": 1500.0, "I2": 4000.0}
    round_ = {**dict.fromkeys(CHECKS, True), "told_after_ms": 9.0, "timeline_ms": timeline}
    report = summary([round_], CHECKS, FIGURES)
    assert report["ok"]
    assert report["latencies_ms"]["M1"]["median"] == 1500.0
