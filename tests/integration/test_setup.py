"""The set-up of a checkout, as far as it can be tried without a network."""

import subprocess
from pathlib import Path
from shutil import copy

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing in it but the script."""
    scripts = tmp_path / "checkout" / "scripts"
    scripts.mkdir(parents=True)
    copy(ROOT / "scripts" / "setup", scripts)
    return scripts.parent


@pytest.mark.parametrize("kind", ["run", "dev"])
@pytest.mark.parametrize("is_there", [True, False], ids=["another-environment", "nothing-there"])
def test_an_environment_that_is_a_link_is_refused_and_left_alone(
    checkout: Path, kind: str, is_there: bool
) -> None:
    """It would empty the environment of another checkout."""
    theirs = checkout.parent / "theirs"
    if is_there:
        theirs.mkdir()
        (theirs / "pyvenv.cfg").write_text("home = /usr/bin")
    (checkout / ".venv").symlink_to(theirs)
    done = subprocess.run(
        [checkout / "scripts" / "setup", kind],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 1
    assert f".venv is a link to {theirs}" in done.stderr
    assert "rm .venv" in done.stderr
    assert (checkout / ".venv").is_symlink()
    assert theirs.exists() == is_there
    if is_there:
        assert [one.name for one in theirs.iterdir()] == ["pyvenv.cfg"]
    assert not (checkout / "build").exists()
