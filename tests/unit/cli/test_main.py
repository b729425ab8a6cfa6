"""The command as a whole: help, errors, exit codes."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from doctor import __version__
from doctor.cli.main import COMMANDS, SECTIONS, main
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import FakeDoctor, problem

MINE = (
    "alarm",
    "completion",
    "event",
    "fault",
    "notification",
    "policy",
    "resource",
    "subscription",
    "timeline",
    "token",
)


def commands_below(group: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(group, click.Group):
        return [words]
    context = click.Context(group)
    found = [] if not words else [words]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if words or name in MINE:
            found += commands_below(command, (*words, name))
    return found


def test_help_names_every_command_and_imports_none() -> None:
    code = (
        "import sys; from doctor.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'urllib3', 'msgspec', 'yaml', 'doctor.client', 'doctor.model'}\n"
        "sys.exit(', '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert all(f"{title}:" in done.stdout for title in SECTIONS)


def test_help_is_as_narrow_as_a_terminal(run: Run) -> None:
    assert max(map(len, run("--help").stdout.splitlines())) <= 80


@pytest.mark.parametrize("words", commands_below(main), ids=" ".join)
def test_every_command_explains_itself(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "Usage: main " + " ".join(words) in result.stdout
    if "COMMAND" not in result.stdout.splitlines()[0]:
        assert "Example" in result.stdout or words == ("completion",)
        assert f"doctor {' '.join(words)}" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    "words",
    [words for words in commands_below(main) if len(words) >= 2 or words == ("timeline",)],
    ids=" ".join,
)
def test_every_answer_comes_as_json_too(run: Run, words: tuple[str, ...]) -> None:
    told = run(*words, "--help").stdout
    assert "--json" in told or "COMMAND" in told.splitlines()[0]


def test_the_version(run: Run) -> None:
    assert run("--version").stdout == f"doctor {__version__}\n"


def test_a_command_that_is_none_gets_the_nearest(run: Run) -> None:
    result = run("alrm")
    assert result.exit_code == 2
    assert "Did you mean 'alarm'?" in result.stderr


def test_a_part_that_is_not_installed_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "demo", "doctor.cli.nowhere.command:demo")
    for words in (["demo"], ["demo", "--json", "fast"], ["demo", "--help"]):
        result = run(*words)
        assert result.exit_code == 1
        assert result.stderr == "Error: `doctor demo` is not part of this installation\n"


def test_a_part_that_is_broken_is_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_part.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "demo", "broken_part:demo")
    result = CliRunner().invoke(main, ["demo"])
    assert isinstance(result.exception, ModuleNotFoundError)
    monkeypatch.setitem(COMMANDS, "demo", "pathlib:Path")
    assert isinstance(CliRunner().invoke(main, ["demo"]).exception, TypeError)


def test_nobody_answers(run: Run) -> None:
    result = run("--url", "http://127.0.0.1:9", "alarm", "list", "--json")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr == "Error: no Doctor answers at http://127.0.0.1:9: is `doctor serve` running?\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--url", "doctor"], "no address of a Doctor"),
        (["--token-file", "/nowhere"], "cannot read the token file /nowhere"),
    ],
)
def test_where_to_ask_is_written_wrongly(run: Run, words: list[str], why: str) -> None:
    result = run(*words, "alarm", "list")
    assert result.exit_code == 2
    assert why in result.stderr


def test_a_refusal_points_to_each_place(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers(
        "GET", "/v1/alarms", problem(400, "2 places are wrong", __state="no state", __limit="too large")
    )
    result = run("alarm", "list")
    assert result.exit_code == 1
    assert result.stderr == "Error: 2 places are wrong\n  /state: no state\n  /limit: too large\n"


def test_a_token_is_taken_from_a_file_and_never_shown(run: Run, doctor: FakeDoctor, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("very-secret\n")
    doctor.answers("GET", "/v1/alarms", problem(401, "who are you?"))
    result = run("--token-file", str(file), "alarm", "list")
    assert doctor.last.headers["authorization"] == "Bearer very-secret"
    assert "does not know the token that was sent" in result.stderr
    assert "very-secret" not in result.output


def test_without_a_token_it_is_said_where_one_goes(
    run: Run, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCTOR_TOKEN")
    monkeypatch.setattr("doctor.client.access.find_access.__defaults__", (None, None, {}, Path("/nowhere")))
    monkeypatch.setenv("HOME", "/nowhere")
    doctor.answers("GET", "/v1/alarms", problem(401, "who are you?"))
    assert (
        "set DOCTOR_TOKEN, or name its file with --token-file"
        in run("--url", doctor.url, "alarm", "list").stderr
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completion(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_DOCTOR_COMPLETE" in result.stdout


def test_commands_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DOCTOR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "doctor al")
    monkeypatch.setenv("COMP_CWORD", "1")
    result = CliRunner().invoke(main, prog_name="doctor")
    assert result.stdout == "plain,alarm\n"
