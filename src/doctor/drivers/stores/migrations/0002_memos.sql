-- Small records that the flows want back after a restart, by kind and key.

CREATE TABLE memos (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
