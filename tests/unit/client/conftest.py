"""A fake Doctor for each test."""

from collections.abc import Iterator

import pytest

from tests.unit.client.fake_doctor import FakeDoctor


@pytest.fixture
def doctor() -> Iterator[FakeDoctor]:
    with FakeDoctor() as fake:
        yield fake
