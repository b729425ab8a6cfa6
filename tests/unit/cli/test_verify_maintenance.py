"""Whose host is spared, and what a round comes to; the whole way is played in tests/openstack."""

from typing import Any

import pytest
from click.testing import CliRunner

from doctor.cli.main import main
from doctor.cli.verify.cloud_maintenance import CHECKS, FIGURES, CloudMaintenanceTest
from doctor.cli.verify.cloud_settings import CloudTestSettings
from doctor.cli.verify.cloud_tests import Victim
from doctor.cli.verify.command import summary
from doctor.cli.verify.mailbox import VerifyError

VICTIM = Victim("vm-1", "compute-1", "compute-1", "")


class Cloud:
    """A cloud with these servers on its one host, which is enabled again when it was asked often enough."""

    def __init__(self, *servers: str, busy: int = 0) -> None:
        self._servers = servers
        self._busy = busy

    def items(self, service: str, path: str) -> list[dict[str, str]]:
        assert (service, path) == ("compute", "/servers?all_tenants=1&host=compute-1")
        return [{"id": one} for one in self._servers]

    def service_on(self, host: str) -> dict[str, str]:
        self._busy -= 1
        return {"status": "disabled" if self._busy > 0 else "enabled"}


class Doctor:
    """A Doctor that takes requests, and notes what is called off."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.called_off: list[str] = []

    def post(self, path: str, body: dict[str, Any]) -> dict[str, str]:
        assert path == "/v1/physical-resources/state"
        self.asked.append(body)
        return {"session_id": "s-1"}

    def delete(self, path: str) -> None:
        self.called_off.append(path)


def played(doctor: Doctor, cloud: Cloud, said: list[str], **settings: Any) -> CloudMaintenanceTest:
    return CloudMaintenanceTest(
        doctor,  # type: ignore[arg-type]  # of a client it uses these two methods
        cloud,  # type: ignore[arg-type]  # and of an account these
        CloudTestSettings(**settings),
        clouds_file=None,
        webhook=False,
        say=said.append,
    )


def test_a_host_on_which_others_have_servers_is_spared_unless_it_is_said_each_time() -> None:
    others = Cloud("vm-1", "somebody", "somebody-else")
    with pytest.raises(
        VerifyError, match="2 other servers run on compute-1, and would be asked to leave too"
    ):
        played(Doctor(), others, [])._guard("compute-1", "vm-1")
    played(Doctor(), others, [], shared=True)._guard("compute-1", "vm-1")
    played(Doctor(), Cloud("vm-1"), [])._guard("compute-1", "vm-1")


@pytest.mark.parametrize("end", [VerifyError, KeyboardInterrupt])
def test_whatever_happens_the_session_is_over_in_the_end(end: type[BaseException]) -> None:
    doctor, said = Doctor(), list[str]()

    def end_in_the_middle() -> None:
        with played(doctor, Cloud(busy=3), said, timeout=7.0)._asked_for(VICTIM) as session:
            assert session == "s-1"
            raise end

    with pytest.raises(end):
        end_in_the_middle()
    assert doctor.asked[0]["timeout"] == 7.0
    assert doctor.called_off == ["/v1/maintenance/s-1"]
    assert said == []


def test_a_host_that_stays_disabled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doctor.cli.verify.cloud_maintenance.DISABLED_SECONDS", 0.0)
    said: list[str] = []
    with played(Doctor(), Cloud(busy=99), said)._asked_for(VICTIM):
        pass
    assert said == ["compute-1 is disabled still: look after it"]


def test_a_round_that_passes_every_check_passes_with_its_figures() -> None:
    round_ = {**dict.fromkeys(CHECKS, True), **dict.fromkeys(FIGURES, 12.5)}
    report = summary([round_], CHECKS, FIGURES)
    assert report["ok"]
    assert {one["median"] for one in report["latencies_ms"].values()} == {12.5}
    assert not summary([round_, round_ | {"stayed": False}], CHECKS, FIGURES)["ok"]


def test_an_account_that_is_not_there_is_named(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clouds.yaml").write_text("clouds: {}")
    monkeypatch.setenv("DOCTOR_TOKEN", "t")
    line = ["verify", "maintenance", "--cloud", "nowhere", "--clouds-file", str(tmp_path / "clouds.yaml")]
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 1
    assert "nowhere" in done.output
