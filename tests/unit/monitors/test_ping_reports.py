"""An event tells all that is known of a change, in the words of the policy."""

from datetime import UTC, datetime

from doctor.drivers.monitors.ping.judging import Change, Rule, Status
from doctor.drivers.monitors.ping.reports import Words, report
from doctor.model.vantage import Sight

NOW = datetime(2026, 3, 4, 5, 6, 7, 500_000, tzinfo=UTC)
RULE = Rule(interval=0.1, timeout=0.025, misses=3, recover=2, start_grace=1.0)
SIGHT = Sight(vantage="ping", hosts=3, hosts_heard=2)
WORDS = Words("as the test says", "raw")
ADDRESSES = ("198.18.0.1", "198.18.1.1")


def test_down() -> None:
    change = Change("compute-1", Status.DOWN, RULE, ADDRESSES, heard=99.7)

    event = report(change, WORDS, SIGHT, now=NOW, monotonic=100.0)

    assert (event.type, event.resource, event.resource_type) == ("compute.host.down", "compute-1", "host")
    assert (event.source, event.status, event.severity) == ("ping", "down", "critical")
    assert (event.time, event.monitor_event_id) == (NOW, "compute-1")
    assert event.sight == SIGHT
    assert event.details == {
        "hostname": "compute-1",
        "status": "down",
        "severity": "critical",
        "source": "ping",
        "monitor_id": "ping",
        "monitor_event_id": "compute-1",
        "cause": "as the test says",
        "method": "raw",
        "misses": 3,
        "interval_ms": 100,
        "addresses": ["198.18.0.1", "198.18.1.1"],
        "last_seen": "2026-03-04T05:06:07.200000Z",
    }


def test_down_of_a_host_that_was_never_seen() -> None:
    change = Change("compute-1", Status.DOWN, RULE, ADDRESSES, heard=None)

    assert report(change, WORDS, SIGHT, now=NOW, monotonic=100.0).details["last_seen"] is None


def test_up_after_a_failure() -> None:
    change = Change("compute-1", Status.UP, RULE, ADDRESSES, heard=100.0, silent_for=12.3456)

    event = report(change, WORDS, SIGHT, now=NOW, monotonic=100.0)

    assert (event.type, event.status, event.severity) == ("compute.host.down", "up", "cleared")
    assert event.details["down_for_ms"] == 12346


def test_up_at_the_start() -> None:
    change = Change("compute-1", Status.UP, RULE, ADDRESSES, heard=100.0)

    assert report(change, WORDS, SIGHT, now=NOW, monotonic=100.0).details["down_for_ms"] is None


def test_down_and_up_are_different_events_however_close() -> None:
    down = Change("compute-1", Status.DOWN, RULE, ADDRESSES, heard=99.7)
    up = Change("compute-1", Status.UP, RULE, ADDRESSES, heard=100.0, silent_for=0.3)

    identities = {report(change, WORDS, SIGHT, now=NOW, monotonic=100.0).identity for change in (down, up)}

    assert len(identities) == 2
