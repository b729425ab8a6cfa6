"""What has grown old: found beside the writer, and dropped by it in pieces so small that no commit waits long."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from doctor.drivers.stores.records import EVENT_ID_BYTES
from doctor.drivers.stores.sqlite_statements import (
    DROP_BATCH,
    DROP_CLEARED_ALARMS,
    DROP_DELIVERIES,
    DROP_FAULT,
    DROP_HISTORY,
    DROP_NOTIFICATION,
    DROP_REPEATS,
    DROP_TIMELINE,
    Row,
    Step,
    micros,
)
from doctor.model.ageing import Limit
from doctor.model.fault import Severity

ROWS_PER_ROUND = 200
BYTES_PER_PIECE = 1 << 20

Place = tuple[int, int]  # a time and the id of a row: where the round before has ended
START: Place = (-(1 << 62), 0)
LAST = (1 << 63) - 1


class Findings(msgspec.Struct):
    """What one round has found: the pieces to drop, each a change of its own, and how many things that forgets.

    ``last`` is where the next round begins, None after the last round.
    """

    pieces: list[list[Step]]
    count: int
    last: Place | None


Finder = Callable[[sqlite3.Connection, int, Place], Findings]


def old_batches(connection: sqlite3.Connection, before: int, _: Place) -> Findings:
    """Find batches of events that were received before. All that is found is dropped: each round begins anew."""
    rows = connection.execute(
        "SELECT received, id, length(body), length(event_ids) FROM batches"
        " WHERE received < ? ORDER BY received LIMIT ?",
        (before, ROWS_PER_ROUND),
    ).fetchall()
    pieces: list[list[Step]] = [[(DROP_BATCH, [row[1:2] for row in some])] for some in _by_size(rows)]
    return Findings(pieces, sum(row[3] for row in rows) // EVENT_ID_BYTES, _place(rows))


NOTIFICATIONS = """
SELECT created, id, length(body), subscription_id, sequence,
    NOT EXISTS (SELECT 1 FROM faults AS f WHERE f.fault_key = n.fault_key) AND (
    sequence <= (SELECT given_up FROM sequences AS s WHERE s.subscription_id = n.subscription_id)
    OR CASE WHEN EXISTS (SELECT 1 FROM subscriptions AS o WHERE o.subscription_id = n.subscription_id)
    THEN NOT EXISTS (
        SELECT 1 FROM endpoints AS e
        WHERE e.subscription_id = n.subscription_id AND e.since < n.sequence AND NOT EXISTS (
            SELECT 1 FROM deliveries AS d
            WHERE d.subscription_id = n.subscription_id AND d.sequence = n.sequence
            AND d.endpoint_id = e.endpoint_id
        )
    )
    ELSE EXISTS (
        SELECT 1 FROM deliveries AS d WHERE d.subscription_id = n.subscription_id AND d.sequence = n.sequence
    )
    END)
FROM notifications AS n WHERE (created, id) > (?, ?) AND created < ? ORDER BY created, id LIMIT ?
"""


def old_notifications(connection: sqlite3.Connection, before: int, after: Place) -> Findings:
    """Find notifications from before for which no endpoint waits: delivered, parked, or the subscription is forgotten.

    Those of a fault that is kept are part of its history, and stay as long as it does.
    The endpoints of a subscription that was never kept (it stands in the settings) are not known here: one delivery
    is enough then.
    """
    rows = connection.execute(NOTIFICATIONS, (*after, before, ROWS_PER_ROUND)).fetchall()
    settled = [row for row in rows if row[5]]
    pieces: list[list[Step]] = [
        [(DROP_NOTIFICATION, [row[1:2] for row in some]), (DROP_DELIVERIES, [row[3:5] for row in some])]
        for some in _by_size(settled)
    ]
    return Findings(pieces, len(settled), _place(rows))


CLEARED = (
    "SELECT cleared, f.id, length(record), fault_key FROM faults AS f LEFT JOIN cleared_alarms USING (fault_key)"
    " WHERE cleared IS NOT NULL AND coalesce(severity, 5) = ?"
)


def old_faults(severity: Severity, limit: Limit) -> Finder:
    """Return what finds the cleared faults of a severity that are beyond a limit, with all that belongs to them."""

    def find(connection: sqlite3.Connection, _: int, after: Place) -> Findings:
        bound = max(_too_old(limit), _too_many(connection, severity, limit))
        rows = connection.execute(
            f"{CLEARED} AND (cleared, f.id) > (?, ?) AND (cleared, f.id) <= (?, ?) ORDER BY cleared, f.id LIMIT ?",
            (severity, *after, *bound, ROWS_PER_ROUND),
        ).fetchall()
        pieces: list[list[Step]] = []
        for some in _by_size(rows):
            keys = [row[3:4] for row in some]
            drops = (DROP_FAULT, DROP_CLEARED_ALARMS, DROP_HISTORY, DROP_REPEATS)
            pieces.append([(drop, keys) for drop in drops])
        return Findings(pieces, len(rows), _place(rows))

    return find


def _too_old(limit: Limit) -> Place:
    return START if limit.before is None else (micros(limit.before) - 1, LAST)


def _too_many(connection: sqlite3.Connection, severity: Severity, limit: Limit) -> Place:
    """Return the newest fault that is one too many."""
    if limit.count is None:
        return START
    row = connection.execute(
        f"{CLEARED} ORDER BY cleared DESC, f.id DESC LIMIT 1 OFFSET ?", (severity, limit.count)
    ).fetchone()
    return START if row is None else (row[0], row[1])


def old_timelines(connection: sqlite3.Connection, before: int, after: Place) -> Findings:
    """Find timelines in which nothing has happened since."""
    rows = connection.execute(
        "SELECT newest, id FROM timelines WHERE (newest, id) > (?, ?) AND newest < ? ORDER BY newest, id LIMIT ?",
        (*after, before, ROWS_PER_ROUND),
    ).fetchall()
    pieces: list[list[Step]] = [[(DROP_TIMELINE, [row[1:2] for row in rows])]] if rows else []
    return Findings(pieces, len(rows), _place(rows))


def finders(faults: Mapping[Severity, Limit]) -> Iterator[Finder]:
    """Return what finds all that is old, in the order in which it may be dropped."""
    yield old_batches
    for severity, limit in faults.items():
        yield old_faults(severity, limit)
    yield old_notifications
    yield old_timelines


def _place(rows: list[Row]) -> Place | None:
    return (rows[-1][0], rows[-1][1]) if rows else None


def _by_size(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Split rows, of which the third column is their size."""
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += row[2]
        if size >= BYTES_PER_PIECE:
            yield some
            some, size = [], 0
    if some:
        yield some
