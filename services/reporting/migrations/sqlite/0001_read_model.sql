-- Furthest totals of every partition, by window and dimensions. The dimensions
-- are keyed by their hash: their text may be of any length.
CREATE TABLE cells (
    metric        TEXT   NOT NULL,
    version       TEXT   NOT NULL,
    window_start  BIGINT NOT NULL,
    dimensions_id BLOB   NOT NULL,
    shard         BIGINT NOT NULL,
    window_end    BIGINT NOT NULL,
    dimensions    TEXT   NOT NULL,
    raw_seq       BIGINT NOT NULL,
    totals        TEXT   NOT NULL,
    PRIMARY KEY (metric, version, window_start, dimensions_id, shard)
) WITHOUT ROWID;

-- Versions of metrics: their definition ('' while unknown) and when the first
-- data of them came (0 for none).
CREATE TABLE versions (
    metric     TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    definition TEXT   NOT NULL,
    data_since BIGINT NOT NULL,
    PRIMARY KEY (metric, version)
) WITHOUT ROWID;

-- How far aggregation has come in every partition.
CREATE TABLE progress (
    shard     BIGINT NOT NULL PRIMARY KEY,
    raw_seq   BIGINT NOT NULL,
    as_of     BIGINT NOT NULL,
    part      BIGINT NOT NULL,
    watermark BIGINT,
    idle      BIGINT NOT NULL,
    folded_at BIGINT NOT NULL
);

-- The books, aggregation's side: cumulative, by partition.
CREATE TABLE outcomes (
    source    TEXT   NOT NULL,
    hour      BIGINT NOT NULL,
    shard     BIGINT NOT NULL,
    raw_seq   BIGINT NOT NULL,
    counted   BIGINT NOT NULL,
    late      BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    PRIMARY KEY (source, hour, shard)
) WITHOUT ROWID;

-- The books, the log's side: increments, guarded by positions.
CREATE TABLE intake (
    source        TEXT   NOT NULL,
    hour          BIGINT NOT NULL,
    accepted      BIGINT NOT NULL,
    rejected      BIGINT NOT NULL,
    dead_lettered BIGINT NOT NULL,
    PRIMARY KEY (source, hour)
) WITHOUT ROWID;

-- Stream sequences that are folded: of a stream, and of its partitions.
CREATE TABLE positions (
    name     TEXT   NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE alerts (
    id       TEXT   NOT NULL PRIMARY KEY,
    rule     TEXT   NOT NULL,
    fired_at BIGINT NOT NULL,
    alert    TEXT   NOT NULL
);
CREATE INDEX alerts_newest ON alerts (fired_at DESC, id);
CREATE INDEX alerts_of_rule ON alerts (rule, fired_at DESC, id);

-- What a list of dead letters shows; the bodies stay in the stream.
CREATE TABLE dead_letters (
    sequence  BIGINT NOT NULL PRIMARY KEY,
    service   TEXT   NOT NULL,
    code      TEXT   NOT NULL,
    failed_at BIGINT NOT NULL,
    letter    TEXT   NOT NULL
);
CREATE INDEX dead_letters_by_age ON dead_letters (failed_at);
