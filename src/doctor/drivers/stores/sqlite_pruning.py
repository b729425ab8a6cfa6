"""What has grown old: found beside the writer, and dropped by it in pieces so small that no commit waits long."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator

import msgspec

from doctor.drivers.stores.records import EVENT_ID_BYTES
from doctor.drivers.stores.sqlite_statements import (
    DROP_BATCH,
    DROP_CLEARED_ALARMS,
    DROP_DELIVERIES,
    DROP_FAULT,
    DROP_NOTIFICATION,
    DROP_REPEATS,
    DROP_TIMELINE,
    Row,
    Step,
)

ROWS_PER_ROUND = 200
BYTES_PER_PIECE = 1 << 20

Place = tuple[int, int]  # a time and the id of a row: where the round before has ended
START: Place = (-(1 << 62), 0)


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
    END
FROM notifications AS n WHERE (created, id) > (?, ?) AND created < ? ORDER BY created, id LIMIT ?
"""


def old_notifications(connection: sqlite3.Connection, before: int, after: Place) -> Findings:
    """Find notifications from before for which no endpoint waits: delivered, parked, or the subscription is forgotten.

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


def old_faults(connection: sqlite3.Connection, before: int, after: Place) -> Findings:
    """Find faults that were cleared before."""
    rows = connection.execute(
        "SELECT cleared, id, length(record), fault_key FROM faults"
        " WHERE (cleared, id) > (?, ?) AND cleared < ? ORDER BY cleared, id LIMIT ?",
        (*after, before, ROWS_PER_ROUND),
    ).fetchall()
    pieces: list[list[Step]] = []
    for some in _by_size(rows):
        keys = [row[3:4] for row in some]
        pieces.append([(DROP_FAULT, keys), (DROP_CLEARED_ALARMS, keys), (DROP_REPEATS, keys)])
    return Findings(pieces, len(rows), _place(rows))


def old_timelines(connection: sqlite3.Connection, before: int, after: Place) -> Findings:
    """Find timelines in which nothing has happened since."""
    rows = connection.execute(
        "SELECT newest, id FROM timelines WHERE (newest, id) > (?, ?) AND newest < ? ORDER BY newest, id LIMIT ?",
        (*after, before, ROWS_PER_ROUND),
    ).fetchall()
    pieces: list[list[Step]] = [[(DROP_TIMELINE, [row[1:2] for row in rows])]] if rows else []
    return Findings(pieces, len(rows), _place(rows))


FINDERS: tuple[Finder, ...] = (old_batches, old_notifications, old_faults, old_timelines)


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
