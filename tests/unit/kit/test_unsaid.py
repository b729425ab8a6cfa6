"""What did not happen is not logged, and everything else is."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from doctor.kit.unsaid import drop_unsaid, unsaid


def said() -> dict[str, object] | None:
    """Return what comes out of the first two processors, as the service has them; None: it was dropped."""
    event = structlog.contextvars.merge_contextvars(
        None, "info", {"event": "host.fenced", "host": "compute-1"}
    )
    try:
        return dict(drop_unsaid(None, "info", event))
    except structlog.DropEvent:
        return None


def test_in_a_rehearsal_nothing_is_said_and_behind_it_everything_is() -> None:
    assert said() == {"event": "host.fenced", "host": "compute-1"}
    with unsaid():
        assert said() is None
    assert said() == {"event": "host.fenced", "host": "compute-1"}


def test_it_is_over_when_the_rehearsal_fails() -> None:
    with pytest.raises(ZeroDivisionError), unsaid():
        raise ZeroDivisionError
    assert said() is not None


def test_others_say_what_they_do_meanwhile() -> None:
    with unsaid(), ThreadPoolExecutor(1) as others:
        assert others.submit(said).result() is not None
