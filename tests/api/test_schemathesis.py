"""Whatever is sent to the doors, the answer is one that the OpenAPI document has, and never a 5xx."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from doctor.api.doors import document
from doctor.testing.running import RunningDoctor

EXAMPLES = 400 if os.environ.get("DOCTOR_SOAK") else 25

CHECKS = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)


@pytest.fixture(scope="module")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoctor]:
    """A real Doctor, with something in it."""
    folder: Path = tmp_path_factory.mktemp("schemathesis")
    with RunningDoctor(folder, auth={"anonymous_events_from": ["127.0.0.0/8"]}) as running:
        yield running


schema = schemathesis.openapi.from_dict(document())


@schema.exclude(path="/v1/notifications/stream").parametrize()  # a stream does not end
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_documented(case: schemathesis.Case[Any], doctor: RunningDoctor) -> None:
    """Positive and negative data alike."""
    headers = {"Authorization": f"Bearer {doctor.token}"}
    case.call_and_validate(base_url=doctor.url, headers=headers, checks=list(CHECKS), timeout=20)
