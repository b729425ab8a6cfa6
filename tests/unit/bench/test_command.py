"""How `doctor bench` is called."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from doctor.cli.bench import command, machine, run
from doctor.cli.main import main


@pytest.mark.parametrize(
    ("given", "names"),
    [
        pytest.param((), command.MEASUREMENTS, id="all"),
        pytest.param(("map", "single"), ("single", "map"), id="said-twice"),
        pytest.param(("map,single",), ("single", "map"), id="with-a-comma"),
    ],
)
def test_measurements_are_made_in_their_order(given: tuple[str, ...], names: tuple[str, ...]) -> None:
    option = next(one for one in command.bench.params if one.name == "only")
    assert option.callback is not None
    context = command.bench.make_context("bench", [])
    assert option.callback(context, option, given) == names


def test_every_measurement_that_can_be_asked_for_is_there() -> None:
    assert tuple(run.MEASUREMENTS) == command.MEASUREMENTS


def test_a_measurement_that_does_not_exist_is_refused() -> None:
    answer = CliRunner().invoke(main, ["bench", "--only", "everything"])
    assert answer.exit_code == 2
    assert "'everything' is none of floors, single" in answer.output


def test_an_earlier_result_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "earlier.json"
    file.write_text("[]")
    answer = CliRunner().invoke(main, ["bench", "--compare", str(file)])
    assert answer.exit_code == 2
    assert "is no result of `doctor bench --json`" in answer.output


def test_the_facts_of_the_machine_are_there(tmp_path: Path) -> None:
    facts = machine.machine(tmp_path)
    assert facts["cores"] >= 1
    assert facts["filesystem"] != "unknown"
    assert "msgspec" in machine.versions()


def test_what_others_use_of_the_processors_is_a_share() -> None:
    with machine.Elsewhere() as elsewhere:
        sum(range(200_000))
    assert 0 <= elsewhere.percent <= 100
