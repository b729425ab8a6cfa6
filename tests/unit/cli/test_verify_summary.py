"""What a run of the acceptance test comes to, and how a cloud says that it is to be tested."""

import sys
from typing import Any

import pytest
from click.testing import CliRunner

from doctor.cli.main import main
from doctor.cli.verify.cloud_settings import carry_out, settings_of
from doctor.cli.verify.command import summary
from doctor.cli.verify.mailbox import VerifyError

NAMES = {"told_in_time": "told", "cleared": "cleared"}
FIGURES = {"told_after_ms": "told", "T7": "received", "M3": "marked"}
COMMANDS = {"fail": "kill {host}", "recover": "start {host}"}


def test_one_round_that_fails_one_check_fails_the_run() -> None:
    good = {"told_in_time": True, "cleared": True, "told_after_ms": 4.0, "timeline_ms": {"T7": 5.0}}
    bad: dict[str, Any] = {"told_in_time": False, "cleared": True, "told_after_ms": None, "timeline_ms": {}}
    report = summary([good, bad, good], NAMES, FIGURES)
    assert not report["ok"]
    assert report["passed"] == {"told_in_time": 2, "cleared": 3}
    assert report["latencies_ms"]["T7"] == {"median": 5.0, "p99": 5.0, "max": 5.0}
    assert report["latencies_ms"]["M3"]["median"] is None


def test_the_median_and_the_worst_are_of_all_rounds() -> None:
    rounds = [{"told_in_time": True, "cleared": True, "told_after_ms": float(ms)} for ms in range(1, 101)]
    assert summary(rounds, NAMES, FIGURES)["told_after_ms"] == {"median": 50.0, "p99": 99.0, "max": 100.0}


def test_the_command_line_counts_more_than_clouds_yaml() -> None:
    config = {"doctor_verify": COMMANDS | {"seconds": "5", "shared": "True"}}
    settings = settings_of(config, {"seconds": 7.0, "owner": None})
    assert (settings.seconds, settings.shared, settings.fail) == (7.0, True, "kill {host}")


def test_where_no_host_is_made_to_fail_nobody_need_say_how() -> None:
    assert settings_of({}, {"timeout": 30.0}, fails=False).timeout == 30.0
    with pytest.raises(VerifyError, match="timeout"):
        settings_of({}, {"timeout": 0.5}, fails=False)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        pytest.param({}, "--fail and --recover", id="nobody-says-how"),
        pytest.param({"doctor_verify": {"fail": "kill"}}, "--fail and --recover", id="and-nobody-how-back"),
        pytest.param({"doctor_verify": COMMANDS | {"second": 1}}, "second", id="a-word-that-is-none"),
        pytest.param({"doctor_verify": COMMANDS | {"seconds": "-1"}}, "seconds", id="no-time"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, object], why: str) -> None:
    with pytest.raises(VerifyError, match=why):
        settings_of(config, {})


def test_a_command_gets_the_host_as_one_word_and_no_shell() -> None:
    script = "import sys; sys.exit(0 if sys.argv[1:] == ['a; b', '10.0.0.1'] else 3)"
    carry_out(f'{sys.executable} -c "{script}" {{host}} {{address}}', "a; b", "10.0.0.1")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        pytest.param(f"{sys.executable} -c \"import sys; sys.exit('no power')\"", "no power", id="fails"),
        pytest.param("/no/such/program", "No such file", id="is-not-there"),
    ],
)
def test_a_command_that_comes_to_nothing_says_why(command: str, why: str) -> None:
    with pytest.raises(VerifyError, match=why):
        carry_out(command, "compute-1", "")


def test_maintenance_needs_a_cloud() -> None:
    done = CliRunner().invoke(main, ["verify", "maintenance"])
    assert done.exit_code == 2
    assert "--cloud" in done.output


def test_what_needs_a_cloud_says_so() -> None:
    done = CliRunner().invoke(main, ["verify", "fault", "--fail", "true"])
    assert done.exit_code == 2
    assert "--cloud" in done.output
