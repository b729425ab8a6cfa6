"""Server-sent events, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.client.stream import ServerSentEvent, events, lines

STREAM = (
    b': hello\n\nid: 1\nevent: fault\ndata: {"a":\ndata:  1}\n\ndata:x\r\n\r\nretry: 5\nid: 3\n\ndata: lost'
)


def test_events_are_read() -> None:
    assert list(events(lines([STREAM]))) == [
        ServerSentEvent('{"a":\n 1}', "fault", "1"),
        ServerSentEvent("x", "message", "1"),
    ]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_where_the_network_cuts_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert list(events(lines(chunks))) == list(events(lines([STREAM])))


@pytest.mark.parametrize("garbage", [b"", b"\n\n\n", b"data\n\n", b"\xff\xfe\n\n", b"event: x\n\n"])
def test_garbage_is_no_event_or_an_empty_one(garbage: bytes) -> None:
    assert all(event.data == "" for event in events(lines([garbage])))
