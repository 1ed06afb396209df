-- Who owns a partition: whoever claims it counts the epoch up, and what is
-- written under an older one is refused.
ALTER TABLE partitions ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- Sessions are found by what they have in common: a hash of partition, metric,
-- version and dimensions. Windows have none.
ALTER TABLE cells ADD COLUMN session_group BLOB;
CREATE INDEX cells_by_group ON cells (session_group, window_end) WHERE session_group IS NOT NULL;

-- When the cell was last published, by the log's clock; what ended long
-- ago is deleted, if a retention is set.
ALTER TABLE cells ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX cells_by_end ON cells (partition, window_end);

-- Published sessions that are no more, as readers are told of it: they are told
-- again if METRICS lost it. The id is a hash of what readers know it by.
CREATE TABLE retractions (
    id BLOB PRIMARY KEY,
    partition BIGINT NOT NULL,
    raw_seq BIGINT NOT NULL,
    noted_at BIGINT NOT NULL,
    cell TEXT NOT NULL
);
CREATE INDEX retractions_by_position ON retractions (partition, raw_seq);
CREATE INDEX retractions_by_age ON retractions (partition, noted_at);

-- Notes of owners that lost a partition while they wrote points: those of what
-- changed after the position may be older than they should be.
CREATE TABLE stale_points (
    id TEXT PRIMARY KEY,
    partition BIGINT NOT NULL,
    raw_seq BIGINT NOT NULL
);
