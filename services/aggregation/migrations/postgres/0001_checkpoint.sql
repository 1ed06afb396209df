-- How far each partition has been applied. What is in the other tables is the
-- state at exactly this position: all are written in one transaction.
CREATE TABLE partitions (
    partition BIGINT PRIMARY KEY,
    floor BIGINT NOT NULL
);

-- Newest event time of each source.
CREATE TABLE clocks (
    partition BIGINT NOT NULL,
    source TEXT NOT NULL,
    newest BIGINT NOT NULL,
    PRIMARY KEY (partition, source)
);

-- Window totals; the id is a hash of partition, metric, version, start and
-- dimensions.
CREATE TABLE cells (
    id BYTEA PRIMARY KEY,
    partition BIGINT NOT NULL,
    metric TEXT NOT NULL,
    version TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    dimensions TEXT NOT NULL,
    totals TEXT NOT NULL,
    raw_seq BIGINT NOT NULL,
    exemplar TEXT
);

-- What changed since a position is published again after a crash.
CREATE INDEX cells_by_position ON cells (partition, raw_seq);

-- What exact distinct counts have seen: one row a value, only ever added.
CREATE TABLE seen (
    cell BYTEA NOT NULL,
    measure BIGINT NOT NULL,
    hash BIGINT NOT NULL,
    PRIMARY KEY (cell, measure, hash)
);

-- Outcomes by source and hour of ingestion.
CREATE TABLE books (
    partition BIGINT NOT NULL,
    source TEXT NOT NULL,
    hour BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    late BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    PRIMARY KEY (partition, source, hour)
);
