"""What every `Payload` must do. Its tests inherit the suite and give it messages as they were captured::

class TestMyPayload(PayloadContract):
    payload = payload
    begins = {...}  # something is wrong
    ends = {...}  # the same has ended

Nothing here needs a running source; that is for a test of your own.
"""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doctor.api.wire.payload import understand
from doctor.model.errors import RejectedError
from doctor.model.event import UP, RawEvent
from doctor.ports.payload import Payload, Stated, Told
from doctor.testing.contracts.monitor import MOST_DETAILS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOLD = Told("somebody", NOW)

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def _events(payload: Payload, document: Any, told: Told = TOLD) -> list[RawEvent]:
    readings = understand(json.dumps(document).encode(), payload, told).readings
    return [reading.event for reading in readings if isinstance(reading, Stated)]


def _mutants(document: Any) -> st.SearchStrategy[Any]:
    """Return strategies of the document with something wrong somewhere in it."""
    places = list(_places(document, ()))
    return st.tuples(st.sampled_from(places), documents).map(lambda one: _put(document, *one))


def _places(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))


def _put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


class PayloadContract:
    """The suite."""

    payload: ClassVar[Payload]
    begins: ClassVar[Any]
    ends: ClassVar[Any]
    says_times: ClassVar[bool] = (
        True  # what it says has a time in it, so that it is the same whenever it comes
    )

    def test_what_begins_and_ends_is_one_thing(self) -> None:
        """By type, resource and the id of the source."""
        begins, ends = _events(self.payload, self.begins), _events(self.payload, self.ends)
        assert begins
        assert all(event.status != UP for event in begins)
        assert all(event.status == UP for event in ends)
        assert [(one.type, one.resource, one.monitor_event_id) for one in begins] == [
            (one.type, one.resource, one.monitor_event_id) for one in ends
        ]

    def test_what_is_sent_again_is_the_same_event(self) -> None:
        """Whenever that comes, if the source says when it was."""
        later = Told(TOLD.source, NOW + timedelta(seconds=1)) if self.says_times else TOLD
        for document in (self.begins, self.ends):
            assert [one.identity for one in _events(self.payload, document)] == [
                one.identity for one in _events(self.payload, document, later)
            ]

    def test_who_sends_is_the_source(self) -> None:
        """And not what he says that he is."""
        assert {one.source for one in _events(self.payload, self.begins)} == {TOLD.source}

    def test_what_is_open_is_known_again_after_a_start(self) -> None:
        """By the details, which are kept with the fault."""
        for event in _events(self.payload, self.begins):
            known = {
                name: event.details.get(name) for name in ("source", "monitor_event_id", "type", "hostname")
            }
            assert known == {
                "source": event.source,
                "monitor_event_id": event.monitor_event_id,
                "type": event.type,
                "hostname": event.resource,
            }
            assert isinstance(event.details["monitor_id"], str)

    def test_any_document_is_understood_or_refused(self) -> None:
        """Nothing that anybody sends raises anything else, and what is understood can be kept."""

        @given(documents | _mutants(self.begins))
        @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def check(document: Any) -> None:
            try:
                events = _events(self.payload, document)
            except RejectedError as error:
                assert error.flaws or error.detail
                return
            for event in events:
                assert len(event.raw_details) <= MOST_DETAILS
                assert isinstance(event.details, dict)
                assert event.time.tzinfo is UTC

        check()
