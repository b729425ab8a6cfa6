-- The isolation of hosts. A step is kept only if what it was decided on still holds: ``fits`` says so, and whoever writes
-- something that does not fit is refused by the CHECK.

CREATE TABLE fencing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    authorised INTEGER NOT NULL DEFAULT 0,
    fits INTEGER NOT NULL CHECK (fits)
);
INSERT INTO fencing VALUES (1, 0, 0, 1);

CREATE TABLE fence_jobs (
    host TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    record BLOB NOT NULL,
    fits INTEGER NOT NULL CHECK (fits)
) WITHOUT ROWID;

-- Nothing takes a row out of here.
CREATE TABLE fence_decisions (
    id INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    record BLOB NOT NULL
);
CREATE INDEX fence_decisions_by_host ON fence_decisions (host, id);
