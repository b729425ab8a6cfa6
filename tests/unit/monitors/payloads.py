"""Payloads of others, read as their door reads them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from doctor.api.wire.payload import Understood, understand
from doctor.model.event import RawEvent
from doctor.ports.payload import Payload, Reading, Stated, Told

SAMPLES = Path(__file__).parents[2] / "samples"
NOW = datetime(2026, 11, 21, 1, 0, 0, tzinfo=UTC)
TOLD = Told("somebody", NOW)


def sample(name: str) -> Any:
    """Return the body of a captured message."""
    document = json.loads((SAMPLES / name).read_text())
    return document["body"] if isinstance(document, dict) and "body" in document else document


def read(payload: Payload, document: Any) -> list[Reading]:
    """Return what a document says."""
    return understood(payload, document).readings


def understood(payload: Payload, document: Any) -> Understood:
    """Return what a document says, and what of it is wrong."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return understand(body, payload, TOLD)


def the_event(payload: Payload, document: Any) -> RawEvent:
    """Return the one event of a document."""
    (reading,) = read(payload, document)
    assert isinstance(reading, Stated)
    return reading.event
