"""Keeps when each fault passed which checkpoint [D 3.3].

Stamping costs a dict entry; writing down is put off, since a lost stamp harms nobody.
"""

from collections import OrderedDict
from datetime import datetime

from doctor.model.checkpoint import Checkpoint, ConsumerTimeline, Timeline
from doctor.ports.store import Change, Store

REMEMBERED = 2_000


class Timelines:
    """The timelines of the newest faults, and the way of older ones into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, Timeline] = OrderedDict()
        self._dirty: dict[str, Timeline] = {}
        self._handed: Timeline | None = None  # to the store, which has not said yet that it is there

    def start(self, timeline: Timeline) -> None:
        """Begin the timeline of a fault."""
        self._remember(timeline)
        self._dirty[timeline.fault_id] = timeline

    def _remember(self, timeline: Timeline) -> None:
        self._known[timeline.fault_id] = timeline
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def get(self, fault_id: str) -> Timeline | None:
        """Return the timeline of a recent fault, or None."""
        return self._known.get(fault_id)

    def stamp(self, fault_id: str, checkpoint: Checkpoint, time: datetime) -> None:
        """Note that a fault passed a checkpoint; only the first time counts."""
        timeline = self._known.get(fault_id)
        if timeline is not None and checkpoint not in timeline.checkpoints:
            timeline.checkpoints[checkpoint] = time
            self._dirty[fault_id] = timeline

    def told(
        self, fault_id: str, subscription_id: str, notification_id: str, told: datetime, received: datetime
    ) -> None:
        """Note that a Consumer was told (T6) and answered (T7)."""
        timeline = self._known.get(fault_id)
        if timeline is None:
            return
        entry = _entry(timeline, subscription_id, notification_id)
        if entry.received is None:
            entry.told, entry.received = told, received
        self.stamp(fault_id, Checkpoint.TOLD, told)
        self.stamp(fault_id, Checkpoint.RECEIVED, received)
        self._dirty[fault_id] = timeline

    def handled(self, fault_id: str, subscription_id: str, notification_id: str, time: datetime) -> None:
        """Note that a Consumer said that it has handled the fault (T8)."""
        timeline = self._known.get(fault_id)
        if timeline is None:
            return
        entry = _entry(timeline, subscription_id, notification_id)
        if entry.handled is None:
            entry.handled = time
        self.stamp(fault_id, Checkpoint.HANDLED, time)
        self._dirty[fault_id] = timeline

    def flush(self) -> None:
        """Hand what is new to the store."""
        if self._dirty:
            timelines = list(self._dirty.values())
            self._store.later(Change(timelines=timelines))
            self._dirty, self._handed = {}, timelines[-1]

    async def save(self) -> None:
        """Make what is new durable, so that a listing has it: what was handed over is there before what is committed."""
        timelines = list(self._dirty.values())
        if not timelines and self._handed is not None:
            timelines = [self._handed]
        if timelines:
            self._dirty, self._handed = {}, None
            await self._store.commit(Change(timelines=timelines))

    async def recall(self, fault_id: str) -> Timeline | None:
        """Return the timeline of any fault, or None; one of an older fault can be stamped again afterwards."""
        found = self._known.get(fault_id)
        if found is None:
            found = await self._store.timeline(fault_id)
            if found is not None:
                self._remember(found)
        return found


def _entry(timeline: Timeline, subscription_id: str, notification_id: str) -> ConsumerTimeline:
    for entry in timeline.consumers:
        if entry.notification_id == notification_id:
            return entry
    entry = ConsumerTimeline(subscription_id=subscription_id, notification_id=notification_id)
    timeline.consumers.append(entry)
    return entry
