"""The command line against a fake Doctor."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from doctor.cli.main import main
from tests.unit.client.fake_doctor import FakeDoctor

Run = Callable[..., Result]


@pytest.fixture
def doctor() -> Iterator[FakeDoctor]:
    with FakeDoctor() as fake:
        yield fake


@pytest.fixture
def run(doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Call the command line with words; it asks the fake Doctor, as ``secret``."""
    monkeypatch.setenv("DOCTOR_URL", doctor.url)
    monkeypatch.setenv("DOCTOR_TOKEN", "secret")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def call(*words: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(main, words, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call
