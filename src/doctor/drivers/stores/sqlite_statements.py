"""What a change is in SQL: a list of steps, each a statement and its rows.

Records are encoded here, when the change is handed in: what its maker does to them later does not matter.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import chain
from typing import Any
from zlib import crc32

import msgspec

from doctor.drivers.stores.records import EPOCH, newest
from doctor.model.alarm import Alarm
from doctor.model.errors import StoreError
from doctor.model.notification import Delivery
from doctor.ports.store import Change, FenceChange

Row = tuple[Any, ...]
Rows = Sequence[Row]

MICROSECOND = timedelta(microseconds=1)
# Statements are prepared for these numbers of rows, and for each smaller one: few enough to stay prepared.
ROWS_AT_ONCE = (1024, 512, 256, 128)
BYTES_PER_ROW = 100

_encode = msgspec.msgpack.Encoder().encode


class Insert:
    """An INSERT of many rows by one statement.

    Each execution of a statement costs the writer the interpreter lock several times over, and while the event loop
    is busy it waits for it each time: hence many rows at once, and not `executemany`.
    """

    ordered = False

    def __init__(self, head: str, width: int, tail: str = "") -> None:
        """Take the statement up to VALUES, the number of columns, and what follows the rows."""
        self._head = head
        self._row = "(" + ", ".join("?" * width) + ")"
        self._tail = tail
        self.text: Callable[[int], str] = cache(self._text)

    def _text(self, rows: int) -> str:
        return f"{self._head} VALUES {', '.join([self._row] * rows)} {self._tail}"

    def execute(self, connection: sqlite3.Connection, rows: Rows) -> None:
        """Execute the statement for all rows."""
        while rows:
            number = next((number for number in ROWS_AT_ONCE if number <= len(rows)), len(rows))
            connection.execute(self.text(number), tuple(chain.from_iterable(rows[:number])))
            rows = rows[number:]


class Each:
    """A statement for one row at a time."""

    def __init__(self, text: str, *, ordered: bool = False) -> None:
        """Take the statement; ``ordered`` if it may undo what another one has done or the other way round."""
        self._text = text
        self.ordered = ordered

    def execute(self, connection: sqlite3.Connection, rows: Rows) -> None:
        """Execute the statement for each row."""
        connection.executemany(self._text, rows)


Statement = Insert | Each
Step = tuple[Statement, Rows]

INSERT_BATCH = Insert("INSERT INTO batches (received, source, event_ids, body)", 4)
SAVE_FAULT = Insert(
    "INSERT INTO faults (fault_key, cleared, record)",
    3,
    "ON CONFLICT (fault_key) DO UPDATE SET cleared = excluded.cleared, record = excluded.record",
)
SAVE_CLEARED_ALARMS = Insert("INSERT OR REPLACE INTO cleared_alarms (fault_key, severity, fingerprints)", 3)
INSERT_HISTORY = Insert("INSERT INTO history (fault_key, ended, record)", 3)
ADD_REPEATS = Insert(
    "INSERT INTO repeats (fault_key, count)",
    2,
    "ON CONFLICT (fault_key) DO UPDATE SET count = count + excluded.count",
)
# The same notification again is nothing new; another one with its sequence is a mistake, and fails.
INSERT_NOTIFICATION = Insert(
    "INSERT INTO notifications (notification_id, subscription_id, sequence, fault_key, created, body)",
    6,
    "ON CONFLICT (notification_id) DO NOTHING",
)
SAVE_SEQUENCE = Insert(
    "INSERT INTO sequences (subscription_id, last)",
    2,
    "ON CONFLICT (subscription_id) DO UPDATE SET last = max(last, excluded.last)",
)
SAVE_DELIVERY = Insert(
    "INSERT OR REPLACE INTO deliveries"
    " (subscription_id, sequence, endpoint_id, state, attempts, told, received, error)",
    8,
)
SAVE_TIMELINE = Insert(
    "INSERT INTO timelines (fault_id, newest, record)",
    3,
    "ON CONFLICT (fault_id) DO UPDATE SET newest = excluded.newest, record = excluded.record",
)

SAVE_SUBSCRIPTION = Each(
    "INSERT INTO subscriptions (subscription_id, record) VALUES (?, ?)"
    " ON CONFLICT (subscription_id) DO UPDATE SET record = excluded.record",
    ordered=True,
)
FORGET_ENDPOINTS = Each("DELETE FROM endpoints WHERE subscription_id = ?", ordered=True)
SAVE_ENDPOINT = Each(
    "INSERT OR REPLACE INTO endpoints (subscription_id, endpoint_id, since) VALUES (?, ?, ?)", ordered=True
)
FORGET_SUBSCRIPTION = Each("DELETE FROM subscriptions WHERE subscription_id = ?", ordered=True)
GIVE_UP = Each("UPDATE sequences SET given_up = last WHERE subscription_id = ?", ordered=True)
SAVE_TOKEN = Each(
    "INSERT INTO tokens (token_id, record) VALUES (?, ?)"
    " ON CONFLICT (token_id) DO UPDATE SET record = excluded.record",
    ordered=True,
)
FORGET_TOKEN = Each("DELETE FROM tokens WHERE token_id = ?", ordered=True)
# Policies are history: one that was kept is never replaced, the same again is nothing new.
INSERT_POLICY = Each(
    "INSERT INTO policies (version, record) SELECT ?1, ?2"
    " WHERE NOT EXISTS (SELECT 1 FROM policies WHERE version = ?1 AND record = ?2)",
    ordered=True,
)
SAVE_MEMO = Each("INSERT OR REPLACE INTO memos (kind, key, record) VALUES (?, ?, ?)", ordered=True)
FORGET_MEMO = Each("DELETE FROM memos WHERE kind = ? AND key = ?", ordered=True)
# Each of these breaks a CHECK, and with it the whole change, if the change was decided on something else than is kept.
TAKE_OFFICE = Each("UPDATE fencing SET fits = (epoch = ?1 - 1), epoch = ?1", ordered=True)
HOLD_OFFICE = Each("UPDATE fencing SET fits = (epoch = ?1)", ordered=True)
COUNT_AUTHORISED = Each(
    "UPDATE fencing SET fits = (authorised = ?1), authorised = authorised + 1", ordered=True
)
MOVE_FENCE_JOB = Each(
    "UPDATE fence_jobs SET fits = (revision = ?2 - 1), revision = ?2, record = ?3 WHERE host = ?1",
    ordered=True,
)
FIRST_FENCE_JOB = Each(
    "INSERT INTO fence_jobs (host, revision, record, fits) SELECT ?1, ?2, ?3, ?2 = 1"
    " WHERE NOT EXISTS (SELECT 1 FROM fence_jobs WHERE host = ?1)",
    ordered=True,
)
ADD_FENCE_DECISION = Each("INSERT INTO fence_decisions (host, digest, record) VALUES (?, ?, ?)", ordered=True)
SAVE_RESOURCE_MAP = Each("INSERT OR REPLACE INTO resource_map (id, content) VALUES (1, ?)", ordered=True)

DROP_BATCH = Each("DELETE FROM batches WHERE id = ?")
DROP_NOTIFICATION = Each("DELETE FROM notifications WHERE id = ?")
DROP_DELIVERIES = Each("DELETE FROM deliveries WHERE subscription_id = ? AND sequence = ?")
DROP_CLEARED_ALARMS = Each("DELETE FROM cleared_alarms WHERE fault_key = ?")
DROP_HISTORY = Each("DELETE FROM history WHERE fault_key = ?")
DROP_REPEATS = Each("DELETE FROM repeats WHERE fault_key = ?")
DROP_FAULT = Each("DELETE FROM faults WHERE fault_key = ? AND cleared IS NOT NULL")
DROP_TIMELINE = Each("DELETE FROM timelines WHERE id = ?")


def micros(time: datetime) -> int:
    """Return the time as a column keeps it."""
    return (time - EPOCH) // MICROSECOND


def micros_or_none(time: datetime | None) -> int | None:
    """Return the time as a column keeps it, if there is one."""
    return None if time is None else (time - EPOCH) // MICROSECOND


def from_micros(value: int | None) -> datetime | None:
    """Read a time back from its column."""
    return None if value is None else EPOCH + timedelta(microseconds=value)


def fingerprint(alarm_id: str) -> bytes:
    """Return what stands for an alarm id where many are kept; others may have the same one."""
    return crc32(alarm_id.encode()).to_bytes(4)


def fingerprints(alarms: Iterable[Alarm]) -> bytes:
    """Return what stands for many alarms, to be searched as a whole."""
    return b"".join([fingerprint(alarm.alarm_id) for alarm in alarms])


def steps_of(change: Change) -> list[Step]:
    """Return what to execute for a change, in this order.

    Raises:
        StoreError: a record has something in it that cannot be encoded.
    """
    try:
        return [*_hot_steps(change), *_cold_steps(change)]
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StoreError(f"this change cannot be kept: {error}") from error


def _hot_steps(change: Change) -> Iterator[Step]:
    if batches := change.batches:
        yield (
            INSERT_BATCH,
            [(micros(batch.received_time), batch.source, batch.event_ids, batch.body) for batch in batches],
        )
    if change.faults:
        yield from _fault_steps(change)
    if change.history:
        yield (
            INSERT_HISTORY,
            [(one.fault_key, fingerprints(one.ended) or None, _encode(one)) for one in change.history],
        )
    if change.repeats:
        yield ADD_REPEATS, list(change.repeats.items())
    if notifications := change.notifications:
        yield (
            INSERT_NOTIFICATION,
            [
                (n.notification_id, n.subscription_id, n.sequence, n.fault_key, micros(n.created), n.body)
                for n in notifications
            ],
        )
        yield SAVE_SEQUENCE, [(n.subscription_id, n.sequence) for n in notifications]
    if change.deliveries:
        yield SAVE_DELIVERY, [_delivery_row(delivery) for delivery in change.deliveries]
    if change.timelines:
        yield SAVE_TIMELINE, [(t.fault_id, micros(newest(t)), _encode(t)) for t in change.timelines]


def _fault_steps(change: Change) -> Iterator[Step]:
    yield (
        SAVE_FAULT,
        [(r.fault.fault_key, micros_or_none(r.fault.cleared_time), _encode(r)) for r in change.faults],
    )
    cleared = [
        (record.fault.fault_key, int(record.worst_severity), fingerprints(record.alarms.values()))
        for record in change.faults
        if not record.fault.is_open
    ]
    if cleared:
        yield SAVE_CLEARED_ALARMS, cleared


def _delivery_row(delivery: Delivery) -> Row:
    return (
        delivery.subscription_id,
        delivery.sequence,
        delivery.endpoint_id,
        delivery.state.value,
        delivery.attempts,
        micros_or_none(delivery.told),
        micros_or_none(delivery.received),
        delivery.error,
    )


def _cold_steps(change: Change) -> Iterator[Step]:
    for subscription in change.subscriptions:
        key = subscription.subscription_id
        yield SAVE_SUBSCRIPTION, [(key, _encode(subscription))]
        yield FORGET_ENDPOINTS, [(key,)]
        yield SAVE_ENDPOINT, [(key, one.endpoint_id, one.since) for one in subscription.endpoints]
    if change.forget_subscriptions:
        yield FORGET_SUBSCRIPTION, _keys(change.forget_subscriptions)
        yield GIVE_UP, _keys(change.forget_subscriptions)
    if change.tokens:
        yield SAVE_TOKEN, [(token.token_id, _encode(token)) for token in change.tokens]
    if change.forget_tokens:
        yield FORGET_TOKEN, _keys(change.forget_tokens)
    if change.policies:
        yield INSERT_POLICY, [(policy.version, _encode(policy)) for policy in change.policies]
    for memo in change.memos:
        if memo.record is None:
            yield FORGET_MEMO, [(memo.kind, memo.key)]
        else:
            yield SAVE_MEMO, [(memo.kind, memo.key, memo.record)]
    if change.fencing is not None:
        yield from _fence_steps(change.fencing)
    if change.resource_map is not None:
        yield SAVE_RESOURCE_MAP, [(change.resource_map,)]


def _fence_steps(change: FenceChange) -> Iterator[Step]:
    yield (TAKE_OFFICE if change.takes_office else HOLD_OFFICE), [(change.epoch,)]
    if change.authorised is not None:
        yield COUNT_AUTHORISED, [(change.authorised,)]
    for job in change.jobs:
        row = (job.host, job.revision, _encode(job))
        yield MOVE_FENCE_JOB, [row]
        yield FIRST_FENCE_JOB, [row]
    if change.decisions:
        yield ADD_FENCE_DECISION, [(one.host, one.digest, _encode(one)) for one in change.decisions]


def _keys(ids: Iterable[str]) -> list[Row]:
    return [(key,) for key in ids]


def in_order(changes: Iterable[Sequence[Step]]) -> Iterator[Step]:
    """Join the steps of many changes: rows of one statement together, as long as that changes nothing.

    Statements that are not ordered touch different rows or add up, so that only the order within each one counts.
    """
    joined: dict[Statement, list[Row]] = {}
    for steps in changes:
        if any(statement.ordered for statement, _ in steps):
            yield from joined.items()
            joined = {}
            yield from steps
        else:
            for statement, rows in steps:
                joined.setdefault(statement, []).extend(rows)
    yield from joined.items()


def execute(connection: sqlite3.Connection, steps: Iterable[Step]) -> int:
    """Execute the steps in one transaction and return about how many bytes they wrote.

    One statement alone is a transaction by itself, and three times cheaper.
    """
    steps = list(steps)
    if len(steps) == 1 and len(steps[0][1]) <= ROWS_AT_ONCE[-1] and isinstance(steps[0][0], Insert):
        return run(connection, steps)
    connection.execute("BEGIN IMMEDIATE")
    size = run(connection, steps)
    connection.execute("COMMIT")
    return size


def run(connection: sqlite3.Connection, steps: Iterable[Step]) -> int:
    """Execute the steps within whatever transaction there is, and return about how many bytes they wrote."""
    size = 0
    for statement, rows in steps:
        statement.execute(connection, rows)
        size += sum([BYTES_PER_ROW + (len(row[-1]) if type(row[-1]) is bytes else 0) for row in rows])
    return size
