-- Batch views of metrics that the lake has computed: their totals stand among the others, under
-- the version with @batch behind it. What the newest one that was told to its end covers:
-- windows that start at `since` or later, and by partition the RAW sequence, as JSON.
CREATE TABLE batch_views (
    metric      TEXT   NOT NULL,
    version     TEXT   NOT NULL,
    number      BIGINT NOT NULL,
    since       BIGINT NOT NULL,
    computed_at BIGINT NOT NULL,
    landed_at   BIGINT NOT NULL,
    reaches     TEXT   NOT NULL,
    compared    BIGINT NOT NULL,
    PRIMARY KEY (metric, version)
);

-- The view that is being told: how many of its totals have come, and how many of them were
-- compared with the stream's.
CREATE TABLE batch_arrivals (
    metric   TEXT   NOT NULL,
    version  TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    cells    BIGINT NOT NULL,
    compared BIGINT NOT NULL,
    PRIMARY KEY (metric, version)
);

-- Totals of which the stream and a batch view say something else at one place in the log. The
-- stream's stay, and answer. `cell` is the hash of the dimensions; '' for a side that has none.
CREATE TABLE drift (
    metric       TEXT   NOT NULL,
    version      TEXT   NOT NULL,
    window_start BIGINT NOT NULL,
    cell         BIGINT NOT NULL,
    shard        BIGINT NOT NULL,
    window_end   BIGINT NOT NULL,
    dimensions   TEXT   NOT NULL,
    raw_seq      BIGINT NOT NULL,
    speed        TEXT   NOT NULL,
    batch        TEXT   NOT NULL,
    found_at     BIGINT NOT NULL,
    PRIMARY KEY (metric, version, window_start, cell, shard)
);
