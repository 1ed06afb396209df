-- Which batches of a partition the versions of metrics have not counted, as JSON, and
-- the position and time at which aggregation said so.
CREATE TABLE counting (
    metric    TEXT   NOT NULL,
    version   TEXT   NOT NULL,
    shard     BIGINT NOT NULL,
    raw_seq   BIGINT NOT NULL,
    as_of     BIGINT NOT NULL,
    uncounted TEXT   NOT NULL,
    PRIMARY KEY (metric, version, shard)
) WITHOUT ROWID;
