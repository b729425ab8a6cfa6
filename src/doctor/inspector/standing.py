"""What stands at a source, by what it says again and again.

Sources such as Prometheus do not report changes but send all that is wrong, each minute anew. In comes what one says;
out goes what of it is news. Several things of one type can stand on one resource (two links of a host): the fault is as
bad as the worst of them, and over when the last one is. What is not said again has not ended by that; it has when its
time is up and its source still speaks, or when the source was asked for all that stands.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from doctor.model.event import UP, RawEvent
from doctor.model.fault import SEVERITY_WORDS, Severity

MOST = 50_000  # things that stand at one source; what is more is passed on and not remembered
MOST_ENDED = 10_000
LATE = timedelta(seconds=5)  # by how much the clocks of a source and ours may differ

Group = tuple[str, str]


class Stand(msgspec.Struct, frozen=True, gc=False):
    """Something that stands: what was said of it, when last, and until when that holds (None: until it is said to end)."""

    event: RawEvent
    said: datetime
    until: datetime | None


class End(NamedTuple):
    """Something that has ended: when by its source, and when that was said."""

    time: datetime
    said: datetime


class Ledger:
    """What stands at one source."""

    def __init__(self) -> None:
        self._groups: dict[Group, dict[str, Stand]] = {}
        self._ended: dict[tuple[Group, str], End] = {}
        self._size = 0

    def __iter__(self) -> Iterator[Stand]:
        for group in self._groups.values():
            yield from group.values()

    def __len__(self) -> int:
        return self._size

    def restore(self, event: RawEvent, said: datetime, until: datetime | None) -> None:
        """Take over what stood before, as it was."""
        self._put(Stand(event, said, until))

    def heard(self, event: RawEvent, said: datetime, until: datetime | None = None) -> RawEvent | None:
        """Take what is said, and return what has to be judged for it; None if it is nothing new.

        ``said`` is as of when: of a list that was asked for it is when that was done, and what came since knows better.
        """
        return self._ends(event, said) if event.status == UP else self._stands(Stand(event, said, until))

    def _stands(self, stand: Stand) -> RawEvent | None:
        event, mark = stand.event, stand.event.monitor_event_id
        known = self._groups.get(_group(event), {}).get(mark)
        ended = self._ended.get((_group(event), mark))
        if (ended is not None and ended.said > stand.said) or (known is not None and known.said > stand.said):
            return None
        self._put(stand)
        if known is not None and known.event.identity == event.identity:
            # Who does not say how bad it is says nothing new.
            if event.severity in ("", known.event.severity):
                return None
            event = replace(event, time=stand.said)  # it goes on, and is better or worse than before
        return replace(event, severity=_worst(self._groups.get(_group(event), {}).values(), event))

    def _ends(self, event: RawEvent, said: datetime) -> RawEvent | None:
        group, mark = _group(event), event.monitor_event_id
        before = self._ended.pop((group, mark), None)
        self._ended[group, mark] = End(event.time, said)
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        ended = self._drop(group, mark)
        if ended is None and before is not None and before.time == event.time:
            return None
        rest = self._groups.get(group)
        if not rest:
            return event
        best = next(iter(rest.values())).event
        worst = _worst(rest.values(), best)
        if ended is not None and severity(ended.event.severity) > severity(worst):
            return replace(best, severity=worst, time=event.time)  # it goes on, and is not as bad as before
        return None

    def missing(self, listed: Collection[bytes], asked: datetime, within: str = "") -> list[RawEvent]:
        """Return the ends of what stands and is not ``listed`` (by `mark_of`) in all that stood when that was asked.

        With ``within`` only what has an id that begins so was asked for.
        """
        return [
            over(stand.event, asked)
            for stand in self
            if stand.said < asked
            and stand.event.monitor_event_id.startswith(within)
            and mark_of(stand.event) not in listed
        ]

    def expired(self, heard: datetime, now: datetime) -> list[RawEvent]:
        """Return the ends of what was not said again in time although the source spoke after that."""
        gone = [
            (stand.event, stand.until)
            for stand in self
            if stand.until is not None and stand.until + LATE < min(heard, now)
        ]
        return [over(event, until) for event, until in gone]

    def forget(self, event: RawEvent) -> None:
        """Know nothing of this any more: what was made of it was not kept."""
        self._drop(_group(event), event.monitor_event_id)
        self._ended.pop((_group(event), event.monitor_event_id), None)

    def _put(self, stand: Stand) -> None:
        event = stand.event
        group = self._groups.get(_group(event))
        if group is None or event.monitor_event_id not in group:
            if self._size >= MOST:
                return  # it is judged each time, and ends when that is said
            self._size += 1
        self._groups.setdefault(_group(event), {})[event.monitor_event_id] = stand

    def _drop(self, key: Group, mark: str) -> Stand | None:
        group = self._groups.get(key, {})
        found = group.pop(mark, None)
        if found is not None:
            self._size -= 1
        if not group:
            self._groups.pop(key, None)
        return found


def mark_of(event: RawEvent) -> bytes:
    """Return what tells one thing that stands from others."""
    return msgspec.json.encode((event.type, event.resource, event.monitor_event_id))


def over(event: RawEvent, time: datetime) -> RawEvent:
    """Return the event that something has ended which its source has not said to have."""
    details = event.details | {"status": UP, "cause": "is not there any more"}
    return replace(
        event,
        time=time,
        status=UP,
        severity=Severity.CLEARED.perceived,
        raw_details=msgspec.json.encode(details),
    )


def severity(word: str) -> Severity:
    """Return how bad a word is; none is not bad at all, since then the policy decides."""
    return SEVERITY_WORDS.get(word.lower(), Severity.CLEARED)


def _worst(stands: Collection[Stand], event: RawEvent) -> str:
    words = (event.severity, *(stand.event.severity for stand in stands))
    return max(words, key=severity)


def _group(event: RawEvent) -> Group:
    return event.type, event.resource
