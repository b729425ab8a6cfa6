"""The wheel has all it needs: package data and the command."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_works_elsewhere(tmp_path: Path) -> None:
    """Built, unpacked far from the checkout, and used: the policy, the schema of the store and the doors are there."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
        entry_points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "doctor = doctor.cli.main:main" in archive.read(entry_points).decode()
    program = (
        "import doctor, sys; assert doctor.__file__.startswith(sys.argv.pop(1)), doctor.__file__;"
        " from doctor.cli.main import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(place)}
    for words, wanted in (
        (["serve", "--check"], "the settings are right"),
        (["demo", "--processes", "--json"], ""),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, str(place), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert wanted in done.stdout
