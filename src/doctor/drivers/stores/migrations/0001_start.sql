-- The first schema. Times are microseconds since 1970, UTC; records are MessagePack.

CREATE TABLE instance (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    secret BLOB NOT NULL
);

CREATE TABLE resource_map (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    content BLOB NOT NULL
);

-- The journal: one row per request that brought events.
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    received INTEGER NOT NULL,
    source TEXT NOT NULL,
    event_ids BLOB NOT NULL,
    body BLOB NOT NULL
);
-- With the ids, so that a start reads the newest of them without the bodies.
CREATE INDEX batches_by_age ON batches (received, event_ids);

CREATE TABLE faults (
    id INTEGER PRIMARY KEY,
    fault_key TEXT NOT NULL UNIQUE,
    cleared INTEGER,
    record BLOB NOT NULL
);
CREATE INDEX faults_open ON faults (id) WHERE cleared IS NULL;
CREATE INDEX faults_closed ON faults (cleared, fault_key) WHERE cleared IS NOT NULL;

-- Apart from the faults: SQLite rewrites a whole row, and the record of a fault can be megabytes.
CREATE TABLE repeats (
    fault_key TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;

-- Which alarms a cleared fault had: a CRC-32 of each id, to be searched as a whole, which takes milliseconds for a
-- million alarms. A row per alarm would take a storm of thousands of them longer to clear than to raise.
CREATE TABLE cleared_alarms (
    fault_key TEXT PRIMARY KEY,
    fingerprints BLOB NOT NULL
);

CREATE TABLE subscriptions (
    subscription_id TEXT PRIMARY KEY,
    record BLOB NOT NULL
);

CREATE TABLE endpoints (
    subscription_id TEXT NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    endpoint_id TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (subscription_id, endpoint_id)
) WITHOUT ROWID;

-- The outbox.
CREATE TABLE notifications (
    id INTEGER PRIMARY KEY,
    notification_id TEXT NOT NULL UNIQUE,
    subscription_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    fault_key TEXT NOT NULL,
    created INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (subscription_id, sequence)
);
CREATE INDEX notifications_by_age ON notifications (created);

-- The last sequence of each subscription outlives its notifications, so that counting goes on.
-- Up to given_up nobody waits for them: the subscription was forgotten after that.
CREATE TABLE sequences (
    subscription_id TEXT PRIMARY KEY,
    last INTEGER NOT NULL,
    given_up INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE deliveries (
    subscription_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    endpoint_id TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    told INTEGER,
    received INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (subscription_id, sequence, endpoint_id)
) WITHOUT ROWID;

CREATE TABLE tokens (
    token_id TEXT PRIMARY KEY,
    record BLOB NOT NULL
);

CREATE TABLE timelines (
    id INTEGER PRIMARY KEY,
    fault_id TEXT NOT NULL UNIQUE,
    newest INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX timelines_by_age ON timelines (newest);

CREATE TABLE policies (
    version INTEGER PRIMARY KEY,
    record BLOB NOT NULL
);
