-- What the record of a fault does not say of its past: one row per step that changed it, none for raise and clear.
-- The alarms that ended while their fault went on are found by a CRC-32 of each id, as in cleared_alarms.

CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    fault_key TEXT NOT NULL,
    ended BLOB,
    record BLOB NOT NULL
);
CREATE INDEX history_by_fault ON history (fault_key);
CREATE INDEX history_ended ON history (id) WHERE ended IS NOT NULL;

-- How bad a cleared fault was at its worst; those from before this was kept count as critical.
ALTER TABLE cleared_alarms ADD COLUMN severity INTEGER NOT NULL DEFAULT 5;
