"""What is read from the database, each query a function of a connection that can only read."""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from doctor.drivers.stores.records import EPOCH, EVENT_ID_BYTES, with_ended
from doctor.drivers.stores.sqlite_statements import MICROSECOND, fingerprint, from_micros, micros
from doctor.model.alarm import AlarmedFault
from doctor.model.checkpoint import Timeline
from doctor.model.event import EventBatch
from doctor.model.fence_job import FenceDecision, FenceJob
from doctor.model.history import FaultHistory, HistoryEntry
from doctor.model.identity import Token
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.model.subscription import Subscription
from doctor.ports.store import Outgoing, Snapshot, StoredPolicy

decode_fault = msgspec.msgpack.Decoder(AlarmedFault).decode
decode_entry = msgspec.msgpack.Decoder(HistoryEntry).decode
decode_subscription = msgspec.msgpack.Decoder(Subscription).decode
decode_token = msgspec.msgpack.Decoder(Token).decode
decode_timeline = msgspec.msgpack.Decoder(Timeline).decode
decode_fence_job = msgspec.msgpack.Decoder(FenceJob).decode
decode_fence_decision = msgspec.msgpack.Decoder(FenceDecision).decode
decode_policy = msgspec.msgpack.Decoder(StoredPolicy).decode


def load(connection: sqlite3.Connection, recent_events: int) -> Snapshot:
    """Return everything a starting Doctor needs, as it was at one moment."""
    connection.execute("BEGIN")
    try:
        return _load(connection, recent_events)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _load(connection: sqlite3.Connection, recent_events: int) -> Snapshot:
    execute = connection.execute
    (secret,) = execute("SELECT secret FROM instance").fetchone()
    policies = execute("SELECT record FROM policies ORDER BY version DESC LIMIT 1").fetchone()
    resource_map = execute("SELECT content FROM resource_map").fetchone()
    epoch, authorised = execute("SELECT epoch, authorised FROM fencing").fetchone()
    digest = execute("SELECT digest FROM fence_decisions ORDER BY id DESC LIMIT 1").fetchone()
    return Snapshot(
        instance_secret=secret,
        event_ids=_newest_event_ids(connection, recent_events),
        faults=[
            decode_fault(record)
            for (record,) in execute("SELECT record FROM faults WHERE cleared IS NULL ORDER BY id")
        ],
        repeats=dict(
            execute(
                "SELECT fault_key, count FROM faults JOIN repeats USING (fault_key) WHERE cleared IS NULL"
            ).fetchall()
        ),
        subscriptions=[
            decode_subscription(record)
            for (record,) in execute("SELECT record FROM subscriptions ORDER BY rowid")
        ],
        sequences=dict(execute("SELECT subscription_id, last FROM sequences").fetchall()),
        tokens=[decode_token(record) for (record,) in execute("SELECT record FROM tokens ORDER BY rowid")],
        policy=decode_policy(policies[0]) if policies else None,
        memos=_memos(connection),
        resource_map=resource_map[0] if resource_map else None,
        fence_jobs=[
            decode_fence_job(record) for (record,) in execute("SELECT record FROM fence_jobs ORDER BY host")
        ],
        fence_epoch=epoch,
        fences_authorised=authorised,
        fence_digest=digest[0] if digest else "",
    )


def _memos(connection: sqlite3.Connection) -> dict[str, dict[str, bytes]]:
    memos: dict[str, dict[str, bytes]] = {}
    for kind, key, record in connection.execute("SELECT kind, key, record FROM memos"):
        memos.setdefault(kind, {})[key] = record
    return memos


def _newest_event_ids(connection: sqlite3.Connection, count: int) -> bytes:
    wanted = count * EVENT_ID_BYTES
    found: list[bytes] = []
    size = 0
    if wanted:
        for (event_ids,) in connection.execute(
            "SELECT event_ids FROM batches ORDER BY received DESC, event_ids DESC"
        ):
            found.append(event_ids)
            size += len(event_ids)
            if size >= wanted:
                break
    return b"".join(reversed(found))[-wanted:] if wanted else b""


def pending(
    connection: sqlite3.Connection, subscription_id: str, endpoint_id: str, after: int, limit: int
) -> list[StoredNotification]:
    """Return what has no delivery to this endpoint yet."""
    rows = connection.execute(
        "SELECT notification_id, subscription_id, sequence, fault_key, created, body FROM notifications AS n"
        " WHERE subscription_id = ? AND sequence > ? AND NOT EXISTS ("
        "SELECT 1 FROM deliveries AS d WHERE d.subscription_id = n.subscription_id"
        " AND d.sequence = n.sequence AND d.endpoint_id = ?) ORDER BY sequence LIMIT ?",
        (subscription_id, after, endpoint_id, limit),
    )
    return list(_notifications(rows))


def notifications(
    connection: sqlite3.Connection, subscription_id: str, after: int, limit: int
) -> list[StoredNotification]:
    """Return a page of the notifications of a subscription."""
    rows = connection.execute(
        "SELECT notification_id, subscription_id, sequence, fault_key, created, body FROM notifications"
        " WHERE subscription_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        (subscription_id, after, limit),
    )
    return list(_notifications(rows))


def notification(connection: sqlite3.Connection, notification_id: str) -> StoredNotification | None:
    """Return one notification."""
    rows = connection.execute(
        "SELECT notification_id, subscription_id, sequence, fault_key, created, body FROM notifications"
        " WHERE notification_id = ?",
        (notification_id,),
    )
    return next(_notifications(rows), None)


def _notifications(rows: sqlite3.Cursor) -> Iterator[StoredNotification]:
    for notification_id, subscription_id, sequence, fault_key, created, body in rows.fetchall():
        yield StoredNotification(
            notification_id=notification_id,
            subscription_id=subscription_id,
            sequence=sequence,
            fault_key=fault_key,
            created=EPOCH + created * MICROSECOND,
            body=body,
        )


def deliveries(
    connection: sqlite3.Connection,
    subscription_id: str,
    after: int,
    limit: int,
    state: DeliveryState | None,
) -> list[Delivery]:
    """Return the deliveries (in this state, if one is given) of the next ``limit`` sequences that have any."""
    rows = connection.execute(
        "SELECT subscription_id, sequence, endpoint_id, state, attempts, told, received, error FROM deliveries"
        " WHERE subscription_id = ?1 AND (?4 IS NULL OR state = ?4) AND sequence IN (SELECT DISTINCT sequence"
        " FROM deliveries WHERE subscription_id = ?1 AND sequence > ?2 AND (?4 IS NULL OR state = ?4)"
        " ORDER BY sequence LIMIT ?3) ORDER BY sequence, endpoint_id",
        (subscription_id, after, limit, None if state is None else state.value),
    )
    return [
        Delivery(
            subscription_id=subscription,
            sequence=sequence,
            endpoint_id=endpoint_id,
            state=DeliveryState(state),
            attempts=attempts,
            told=from_micros(told),
            received=from_micros(received),
            error=error,
        )
        for subscription, sequence, endpoint_id, state, attempts, told, received, error in rows.fetchall()
    ]


def closed_faults(
    connection: sqlite3.Connection, before: tuple[datetime, str] | None, limit: int
) -> list[AlarmedFault]:
    """Return a page of the cleared faults, the last cleared first."""
    if before is None:
        rows = connection.execute(
            "SELECT record FROM faults WHERE cleared IS NOT NULL ORDER BY cleared DESC, fault_key DESC LIMIT ?",
            (limit,),
        )
    else:
        rows = connection.execute(
            "SELECT record FROM faults WHERE cleared IS NOT NULL AND (cleared, fault_key) < (?, ?)"
            " ORDER BY cleared DESC, fault_key DESC LIMIT ?",
            (micros(before[0]), before[1], limit),
        )
    return [decode_fault(record) for (record,) in rows.fetchall()]


def fault_of_alarm(connection: sqlite3.Connection, alarm_id: str) -> AlarmedFault | None:
    """Return the fault of a cleared alarm."""
    candidates = connection.execute(
        "SELECT record FROM cleared_alarms JOIN faults USING (fault_key)"
        " WHERE instr(fingerprints, ?) AND cleared IS NOT NULL",
        (fingerprint(alarm_id),),
    ).fetchall()
    for (record,) in candidates:
        fault = decode_fault(record)
        if any(alarm_id == alarm.alarm_id for alarm in fault.alarms.values()):
            return fault
    return _fault_of_ended(connection, alarm_id)


def _fault_of_ended(connection: sqlite3.Connection, alarm_id: str) -> AlarmedFault | None:
    rows = connection.execute(
        "SELECT history.record, faults.record FROM history JOIN faults USING (fault_key)"
        " WHERE ended IS NOT NULL AND instr(ended, ?)",
        (fingerprint(alarm_id),),
    ).fetchall()
    for entry, record in rows:
        for alarm in decode_entry(entry).ended:
            if alarm.alarm_id == alarm_id:
                return with_ended(decode_fault(record), alarm)
    return None


def fault_history(connection: sqlite3.Connection, fault_key: str) -> FaultHistory:
    """Return what is kept of the past of a fault."""
    rows = connection.execute("SELECT record FROM history WHERE fault_key = ? ORDER BY id", (fault_key,))
    entries = tuple(decode_entry(record) for (record,) in rows.fetchall())
    row = connection.execute("SELECT count FROM repeats WHERE fault_key = ?", (fault_key,)).fetchone()
    return FaultHistory(entries=entries, repeats=row[0] if row else 0)


def kept_faults(connection: sqlite3.Connection, fault_keys: Sequence[str]) -> set[str]:
    """Return which of these faults are kept."""
    wanted = "SELECT fault_key FROM faults WHERE fault_key = ?"
    return {key for key in fault_keys if connection.execute(wanted, (key,)).fetchone()}


def outgoing(connection: sqlite3.Connection, notification_ids: Sequence[str], naming: str) -> list[Outgoing]:
    """Return notifications without their bodies, with their deliveries."""
    found = []
    for notification_id in notification_ids:
        row = connection.execute(
            "SELECT subscription_id, sequence, created FROM notifications"
            " WHERE notification_id = ? AND instr(body, ?)",
            (notification_id, naming.encode()),
        ).fetchone()
        if row is not None:
            ends = deliveries(connection, row[0], row[1] - 1, 1, None)
            found.append(
                Outgoing(
                    notification_id=notification_id,
                    subscription_id=row[0],
                    sequence=row[1],
                    created=EPOCH + row[2] * MICROSECOND,
                    deliveries=tuple(one for one in ends if one.sequence == row[1]),
                )
            )
    return found


def timelines(connection: sqlite3.Connection, before: str | None, limit: int) -> list[Timeline]:
    """Return a page of the timelines, the one that began last first."""
    if before is None:
        rows = connection.execute("SELECT record FROM timelines ORDER BY id DESC LIMIT ?", (limit,))
    else:
        rows = connection.execute(
            "SELECT record FROM timelines WHERE id < (SELECT id FROM timelines WHERE fault_id = ?)"
            " ORDER BY id DESC LIMIT ?",
            (before, limit),
        )
    return [decode_timeline(record) for (record,) in rows.fetchall()]


def timeline(connection: sqlite3.Connection, fault_id: str) -> Timeline | None:
    """Return the timeline of one fault."""
    row = connection.execute("SELECT record FROM timelines WHERE fault_id = ?", (fault_id,)).fetchone()
    return decode_timeline(row[0]) if row else None


def batches(
    connection: sqlite3.Connection, since: datetime, after: int, limit: int
) -> list[tuple[int, EventBatch]]:
    """Return a page of the journal.

    The index by age tells where to begin; from there rows are read as they lie, which is in the order of arrival.
    """
    first = connection.execute("SELECT min(id) FROM batches WHERE received >= ?", (micros(since),)).fetchone()
    if first[0] is None:
        return []
    rows = connection.execute(
        "SELECT id, received, source, event_ids, body FROM batches NOT INDEXED"
        " WHERE id >= ? AND received >= ? ORDER BY id LIMIT ?",
        (max(first[0], after + 1), micros(since), limit),
    )
    return [
        (
            place,
            EventBatch(
                received_time=EPOCH + received * MICROSECOND, source=source, event_ids=event_ids, body=body
            ),
        )
        for place, received, source, event_ids, body in rows.fetchall()
    ]


def policies(connection: sqlite3.Connection, before: int | None, limit: int) -> list[StoredPolicy]:
    """Return a page of the policies, newest first."""
    rows = connection.execute(
        "SELECT record FROM policies WHERE ?1 IS NULL OR version < ?1 ORDER BY version DESC LIMIT ?2",
        (before, limit),
    )
    return [decode_policy(record) for (record,) in rows.fetchall()]


def fence_decisions(
    connection: sqlite3.Connection, host: str | None, before: int | None, limit: int
) -> list[tuple[int, FenceDecision]]:
    """Return a page of the decisions on fencing, newest first."""
    rows = connection.execute(
        "SELECT id, record FROM fence_decisions WHERE (?1 IS NULL OR host = ?1) AND (?2 IS NULL OR id < ?2)"
        " ORDER BY id DESC LIMIT ?3",
        (host, before, limit),
    )
    return [(place, _fence_decision(place, record)) for place, record in rows.fetchall()]


def _fence_decision(place: int, record: bytes) -> FenceDecision:
    try:
        return decode_fence_decision(record)
    except msgspec.MsgspecError as error:
        raise msgspec.DecodeError(f"decision {place} of the fencing log: {error}") from error


def damage(connection: sqlite3.Connection) -> list[str]:
    """Read the whole database and return what is wrong with it."""
    return [text for (text,) in connection.execute("PRAGMA quick_check").fetchall() if text != "ok"]
