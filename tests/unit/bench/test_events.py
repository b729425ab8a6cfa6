"""What the bench sends is what Doctor takes, in the mix that the figures are said to be of."""

from collections import Counter

from doctor.api.wire.event import MAX_EVENTS, parse_events
from doctor.cli.bench import events


def test_readings_are_accepted_all_different_and_one_in_a_hundred_is_named() -> None:
    parsed = parse_events(events.bulk(0, MAX_EVENTS), source="test")
    assert not parsed.rejected
    assert len({event.identity for event in parsed.events}) == MAX_EVENTS
    assert Counter(event.type for event in parsed.events) == {events.READING: 990, events.NAMED: 10}


def test_the_next_readings_are_others() -> None:
    first = parse_events(events.bulk(0, 100), source="test").events
    second = parse_events(events.bulk(100, 100), source="test").events
    assert not {event.monitor_event_id for event in first} & {event.monitor_event_id for event in second}


def test_an_event_is_of_ordinary_size() -> None:
    (reading,) = events.readings(1, 1)
    assert 180 < len(reading) < 260


def test_outages_come_in_pairs_and_their_notifications_can_be_told_apart() -> None:
    made = list(events.outages(0, 400, every=100, host="compute-0"))
    marks = [what for _, what in made if what is not None]
    parsed = [
        parse_events(events.wrapped(text), source="test").events[0] for text, what in made if what is not None
    ]
    assert len(made) == 400
    assert [event.status for event in parsed] == ["down", "up", "down", "up"]
    assert {event.resource for event in parsed} == {"compute-0"}
    assert [what.partition(" ")[0] for what in marks] == ["fault", "fault_cleared"] * 2
    assert marks[0].partition(" ")[2] == marks[1].partition(" ")[2]  # the return tells the time of the outage
    assert len(set(marks)) == 4
