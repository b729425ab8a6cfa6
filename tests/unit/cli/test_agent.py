"""``doctor agent``: keys are made and never shown, settings that are wrong are said."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from doctor.cli.main import main
from doctor.kit.beat import derived
from doctor.kit.key_file import read_key


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["agent", *words])


def test_a_key_of_a_host_belongs_to_the_master_key(folder: Path) -> None:
    assert run("key", "--new-master", "m.key").exit_code == 0
    made = run("key", "compute-1", "--master", "m.key", "--out", "c1.key")
    assert made.exit_code == 0
    key = read_key(folder / "c1.key", "x")
    assert key == derived(read_key(folder / "m.key", "x"), "compute-1")
    assert key.hex() not in made.output
    assert (folder / "c1.key").stat().st_mode & 0o777 == 0o600


def test_a_key_may_stand_alone(folder: Path) -> None:
    assert run("key", "compute-1").exit_code == 0
    assert run("key", "compute-2").exit_code == 0
    assert read_key(folder / "compute-1.key", "x") != read_key(folder / "compute-2.key", "x")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param(("key",), 2, "name a host, or a file", id="nothing"),
        pytest.param(("key", "c1", "--new-master", "m.key"), 2, "name a host, or a file", id="both"),
        pytest.param(("key", "c1", "--master", "none"), 1, "No such file", id="no master"),
        pytest.param(("key", "c1", "--out", "taken"), 1, "is there already", id="written over"),
        pytest.param(("key", "c1", "--out", "no/such/folder"), 1, "No such file", id="no folder"),
        pytest.param(("--config", "none.yaml"), 2, "none.yaml: No such file", id="no settings"),
        pytest.param(("--config", "bad.yaml"), 2, "heartbeat: required, or doctor", id="empty settings"),
        pytest.param(("--config", "keyless.yaml"), 1, "heartbeat.key_file: ", id="no key"),
        pytest.param(("--config", "elsewhere.yaml"), 1, "cannot run here", id="not our address"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, words: tuple[str, ...], code: int, message: str) -> None:
    (folder / "taken").touch()
    (folder / "bad.yaml").write_text("host: c1\n")
    heartbeat = "heartbeat: {key_file: %s, networks: [{name: mgmt, to: '127.0.0.1:9', source: %s}]}\n"
    (folder / "keyless.yaml").write_text(heartbeat % ("none.key", "127.0.0.1"))
    run("key", "c9")
    (folder / "elsewhere.yaml").write_text(heartbeat % ("c9.key", "192.0.2.77"))

    result = run(*words)

    assert result.exit_code == code
    assert message in result.output
