-- The name by which tables know this lake.
CREATE TABLE lake (
    one BIGINT PRIMARY KEY,
    name TEXT NOT NULL
);

-- How far silver is in a partition, as a sequence of RAW. Clocks and what was left
-- out are as of there.
CREATE TABLE partitions (
    partition BIGINT PRIMARY KEY,
    floor BIGINT NOT NULL,
    furthest BIGINT
);

-- The newest event time of each source: what decides which of its events are late.
CREATE TABLE clocks (
    partition BIGINT NOT NULL,
    source TEXT NOT NULL,
    newest BIGINT NOT NULL,
    met BIGINT NOT NULL,
    PRIMARY KEY (partition, source)
);

-- Events that were late: one that comes again as history is not. By a hash of source
-- and id, since when by the log's clock.
CREATE TABLE left_out (
    partition BIGINT NOT NULL,
    event BYTEA NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (partition, event)
);
CREATE INDEX left_out_by_age ON left_out (partition, since);
