"""Keep state in memory: for trying Doctor out and for tests. A restart of the process forgets all of it."""

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime

import msgspec

from doctor.drivers.stores.records import EVENT_ID_BYTES, newest, with_ended
from doctor.model.ageing import Limit, all_of
from doctor.model.alarm import AlarmedFault
from doctor.model.checkpoint import Timeline
from doctor.model.errors import StoreError
from doctor.model.event import EventBatch
from doctor.model.fault import Severity
from doctor.model.fence_job import FenceDecision, FenceJob
from doctor.model.history import FaultHistory, HistoryEntry
from doctor.model.identity import Token
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.model.subscription import Subscription
from doctor.ports.store import Change, FenceChange, Outgoing, Snapshot, StoredPolicy


class MemoryStore:
    """The twin of the other stores, in plain dicts; see `doctor.ports.store.Store` for what is promised.

    ``later`` is at once here. What was closed still has everything when it is loaded again.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._batches: list[tuple[int, EventBatch]] = []
        self._places = itertools.count(1)
        self._faults: dict[str, AlarmedFault] = {}
        self._repeats: dict[str, int] = {}
        self._notifications: dict[str, dict[int, StoredNotification]] = {}
        self._by_id: dict[str, StoredNotification] = {}
        self._sequences: dict[str, int] = {}
        self._given_up: dict[str, int] = {}
        self._deliveries: dict[tuple[str, int], dict[str, Delivery]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._tokens: dict[str, Token] = {}
        self._timelines: dict[str, Timeline] = {}
        self._policies: dict[int, StoredPolicy] = {}
        self._memos: dict[str, dict[str, bytes]] = {}
        self._history: dict[str, list[HistoryEntry]] = {}
        self._resource_map: bytes | None = None
        self._fence_jobs: dict[str, FenceJob] = {}
        self._fence_decisions: list[FenceDecision] = []
        self._fence_epoch = 0
        self._fences_authorised = 0

    async def load(self, *, recent_events: int) -> Snapshot:
        """Return the state to start from."""
        batches = sorted(
            (batch for _, batch in self._batches), key=lambda batch: (batch.received_time, batch.event_ids)
        )
        event_ids = b"".join(batch.event_ids for batch in batches)
        first = max(0, len(event_ids) - recent_events * EVENT_ID_BYTES)
        return Snapshot(
            instance_secret=self._secret,
            event_ids=event_ids[first:],
            faults=[record for record in self._faults.values() if record.fault.is_open],
            repeats={
                key: count
                for key, count in self._repeats.items()
                if key in self._faults and self._faults[key].fault.is_open
            },
            subscriptions=list(self._subscriptions.values()),
            sequences=dict(self._sequences),
            tokens=list(self._tokens.values()),
            memos={kind: dict(kept) for kind, kept in self._memos.items() if kept},
            policy=self._policies[max(self._policies)] if self._policies else None,
            resource_map=self._resource_map,
            fence_jobs=[self._fence_jobs[host] for host in sorted(self._fence_jobs)],
            fence_epoch=self._fence_epoch,
            fences_authorised=self._fences_authorised,
            fence_digest=self._fence_decisions[-1].digest if self._fence_decisions else "",
        )

    async def commit(self, change: Change) -> None:
        """Keep the change."""
        self._keep(change)

    def later(self, change: Change) -> None:
        """Keep the change."""
        self._keep(change)

    def _keep(self, change: Change) -> None:
        change = _as_read_back(change)
        news = list(self._new_notifications(change))
        policies = self._new_policies(change)
        if change.fencing is not None:
            self._keep_fencing(change.fencing)
        self._batches += [(next(self._places), batch) for batch in change.batches]
        for record in change.faults:
            self._faults[record.fault.fault_key] = record
        for entry in change.history:
            self._history.setdefault(entry.fault_key, []).append(entry)
        for key, count in change.repeats.items():
            self._repeats[key] = self._repeats.get(key, 0) + count
        for notification in news:
            self._keep_notification(notification)
        for delivery in change.deliveries:
            self._deliveries.setdefault((delivery.subscription_id, delivery.sequence), {})[
                delivery.endpoint_id
            ] = delivery
        for timeline in change.timelines:
            self._timelines[timeline.fault_id] = timeline
        self._subscriptions.update((one.subscription_id, one) for one in change.subscriptions)
        for key in change.forget_subscriptions:
            self._subscriptions.pop(key, None)
            self._given_up[key] = self._sequences.get(key, 0)
        self._tokens.update((token.token_id, token) for token in change.tokens)
        for key in change.forget_tokens:
            self._tokens.pop(key, None)
        self._policies.update(policies)
        for memo in change.memos:
            kept = self._memos.setdefault(memo.kind, {})
            if memo.record is None:
                kept.pop(memo.key, None)
            else:
                kept[memo.key] = memo.record
        if change.resource_map is not None:
            self._resource_map = change.resource_map

    def _new_notifications(self, change: Change) -> Iterator[StoredNotification]:
        ids: set[str] = set()
        places: set[tuple[str, int]] = set()
        for notification in change.notifications:
            if notification.notification_id in self._by_id or notification.notification_id in ids:
                continue
            place = (notification.subscription_id, notification.sequence)
            if place in places or place[1] in self._notifications.get(place[0], {}):
                raise StoreError(
                    f"this change contradicts what is kept: {place[0]} has another notification {place[1]}"
                )
            ids.add(notification.notification_id)
            places.add(place)
            yield notification

    def _new_policies(self, change: Change) -> dict[int, StoredPolicy]:
        policies: dict[int, StoredPolicy] = {}
        for policy in change.policies:
            if policies.get(policy.version, self._policies.get(policy.version, policy)) != policy:
                raise StoreError(
                    f"this change contradicts what is kept: there is another policy {policy.version}"
                )
            policies[policy.version] = policy
        return policies

    def _keep_fencing(self, change: FenceChange) -> None:
        """Keep a step of fencing if what it was decided on still holds."""
        known = {one.digest for one in self._fence_decisions}
        fits = (
            self._fence_epoch == change.epoch - change.takes_office
            and change.authorised in (None, self._fences_authorised)
            and all(
                job.revision
                == (self._fence_jobs[job.host].revision + 1 if job.host in self._fence_jobs else 1)
                for job in change.jobs
            )
            and not any(one.digest in known for one in change.decisions)
        )
        if not fits:
            raise StoreError("this change contradicts what is kept: fencing has gone on without it")
        self._fence_epoch = change.epoch
        self._fences_authorised += change.authorised is not None
        self._fence_jobs.update((job.host, job) for job in change.jobs)
        self._fence_decisions += change.decisions

    def _keep_notification(self, notification: StoredNotification) -> None:
        key, sequence = notification.subscription_id, notification.sequence
        self._by_id[notification.notification_id] = notification
        self._notifications.setdefault(key, {})[sequence] = notification
        self._sequences[key] = max(sequence, self._sequences.get(key, sequence))

    async def pending(
        self, subscription_id: str, endpoint_id: str, *, after: int, limit: int
    ) -> Sequence[StoredNotification]:
        """Return undelivered notifications of an endpoint."""
        return [
            notification
            for notification in self._after(subscription_id, after)
            if endpoint_id not in self._deliveries.get((subscription_id, notification.sequence), {})
        ][:limit]

    async def notifications(
        self, subscription_id: str, *, after: int, limit: int
    ) -> Sequence[StoredNotification]:
        """Return notifications of a subscription."""
        return self._after(subscription_id, after)[:limit]

    def _after(self, subscription_id: str, after: int) -> list[StoredNotification]:
        found = self._notifications.get(subscription_id, {})
        return [found[sequence] for sequence in sorted(found) if sequence > after]

    async def notification(self, notification_id: str) -> StoredNotification | None:
        """Return one notification, or None."""
        return self._by_id.get(notification_id)

    async def deliveries(
        self, subscription_id: str, *, after: int, limit: int, state: DeliveryState | None = None
    ) -> Sequence[Delivery]:
        """Return how notifications ended; those of one sequence are never torn apart by the limit."""
        ended = sorted(
            sequence for key, sequence in self._deliveries if key == subscription_id and sequence > after
        )
        found: list[list[Delivery]] = []
        for sequence in ended:
            rows = self._deliveries[subscription_id, sequence]
            if together := [one for _, one in sorted(rows.items()) if state in (None, one.state)]:
                found.append(together)
            if len(found) == limit:
                break
        return [one for together in found for one in together]

    async def closed_faults(
        self, *, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[AlarmedFault]:
        """Return cleared faults, the last cleared first."""
        closed = sorted(
            (
                (record.fault.cleared_time, key)
                for key, record in self._faults.items()
                if record.fault.cleared_time is not None
            ),
            reverse=True,
        )
        return [self._faults[place[1]] for place in closed if before is None or place < before][:limit]

    async def fault_of_alarm(self, alarm_id: str) -> AlarmedFault | None:
        """Return the fault that this cleared alarm belonged to, or None."""
        for record in self._faults.values():
            if not record.fault.is_open and any(alarm_id == one.alarm_id for one in record.alarms.values()):
                return record
        for entry in (entry for entries in self._history.values() for entry in entries):
            for alarm in entry.ended:
                if alarm.alarm_id == alarm_id and entry.fault_key in self._faults:
                    return with_ended(self._faults[entry.fault_key], alarm)
        return None

    async def fault_history(self, fault_key: str) -> FaultHistory:
        """Return the past of a fault."""
        entries = tuple(self._history.get(fault_key, ()))
        return FaultHistory(entries=entries, repeats=self._repeats.get(fault_key, 0))

    async def kept_faults(self, fault_keys: Sequence[str]) -> set[str]:
        """Return which of these faults are kept."""
        return {key for key in fault_keys if key in self._faults}

    async def outgoing(self, notification_ids: Sequence[str], *, naming: str) -> Sequence[Outgoing]:
        """Return notifications that name something, and how each ended."""
        found = (self._by_id[key] for key in notification_ids if key in self._by_id)
        return [self._outgoing(one) for one in found if naming.encode() in one.body]

    def _outgoing(self, notification: StoredNotification) -> Outgoing:
        key, sequence = notification.subscription_id, notification.sequence
        return Outgoing(
            notification_id=notification.notification_id,
            subscription_id=key,
            sequence=sequence,
            created=notification.created,
            deliveries=tuple(one for _, one in sorted(self._deliveries.get((key, sequence), {}).items())),
        )

    async def timelines(self, *, before: str | None, limit: int) -> Sequence[Timeline]:
        """Return timelines, newest fault first."""
        newest_first = list(reversed(self._timelines))
        if before is not None:
            newest_first = newest_first[newest_first.index(before) + 1 :] if before in self._timelines else []
        return [deepcopy(self._timelines[key]) for key in newest_first[:limit]]

    async def timeline(self, fault_id: str) -> Timeline | None:
        """Return the timeline of one fault, or None."""
        return deepcopy(self._timelines.get(fault_id))

    async def batches(self, *, since: datetime, after: int, limit: int) -> Sequence[tuple[int, EventBatch]]:
        """Return a page of the journal."""
        found = (one for one in self._batches if one[0] > after and one[1].received_time >= since)
        return list(itertools.islice(found, limit))

    async def fence_decisions(
        self, *, host: str | None = None, before: int | None = None, limit: int = 100
    ) -> Sequence[tuple[int, FenceDecision]]:
        """Return a page of the decisions on fencing."""
        found = (
            (place, one)
            for place, one in reversed(list(enumerate(self._fence_decisions, 1)))
            if host in (None, one.host) and (before is None or place < before)
        )
        return list(itertools.islice(found, limit))

    async def policies(self, *, before: int | None = None, limit: int = 1000) -> Sequence[StoredPolicy]:
        """Return policies that were applied, newest first."""
        versions = sorted(self._policies, reverse=True)
        return [self._policies[one] for one in versions if before is None or one < before][:limit]

    async def prune(self, *, before: datetime, faults: Mapping[Severity, Limit] | None = None) -> int:
        """Forget what is older."""
        events = sum(len(one.event_ids) for _, one in self._batches if one.received_time < before)
        self._batches = [one for one in self._batches if one[1].received_time >= before]
        old = list(self._old_faults(all_of(before) if faults is None else faults))
        for key in old:
            del self._faults[key]
            self._repeats.pop(key, None)
            self._history.pop(key, None)
        notifications = [
            one
            for one in self._by_id.values()
            if one.created < before and one.fault_key not in self._faults and self._is_settled(one)
        ]
        for notification in notifications:
            key, sequence = notification.subscription_id, notification.sequence
            del self._by_id[notification.notification_id]
            del self._notifications[key][sequence]
            self._deliveries.pop((key, sequence), None)
        timelines = [key for key, timeline in self._timelines.items() if newest(timeline) < before]
        for key in timelines:
            del self._timelines[key]
        return events // EVENT_ID_BYTES + len(notifications) + len(old) + len(timelines)

    def _old_faults(self, limits: Mapping[Severity, Limit]) -> Iterator[str]:
        for severity, limit in limits.items():
            newest_first = sorted(
                (
                    (_cleared(record), -place, key)
                    for place, (key, record) in enumerate(reversed(self._faults.items()))
                    if not record.fault.is_open and record.worst_severity is severity
                ),
                reverse=True,
            )
            for number, (cleared, _, key) in enumerate(newest_first):
                is_old = limit.before is not None and cleared < limit.before
                if is_old or (limit.count is not None and number >= limit.count):
                    yield key

    def _is_settled(self, notification: StoredNotification) -> bool:
        """Tell whether no endpoint waits for it; for a subscription that was never kept one delivery is enough."""
        key, sequence = notification.subscription_id, notification.sequence
        delivered = self._deliveries.get((key, sequence), {})
        if sequence <= self._given_up.get(key, 0):
            return True
        if key not in self._subscriptions:
            return bool(delivered)
        endpoints = self._subscriptions[key].endpoints
        return all(one.endpoint_id in delivered or sequence <= one.since for one in endpoints)

    async def close(self) -> None:
        """Do nothing: there are no files."""


def _as_read_back(change: Change) -> Change:
    """Return what a store with files would read: a copy, or an error when something cannot be written."""
    try:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(change), type=Change)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StoreError(f"this change cannot be kept: {error}") from error


def _cleared(record: AlarmedFault) -> datetime:
    """Return when the fault was cleared; an open one is for ever."""
    return record.fault.cleared_time or datetime.max.replace(tzinfo=UTC)
