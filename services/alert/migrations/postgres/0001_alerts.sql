-- Every alert, with what became of it. `published` counts the transitions that
-- stand in ALERTS; `notification` is pending until it is settled.
CREATE TABLE alerts (
    id           TEXT   PRIMARY KEY,
    rule         TEXT   NOT NULL,
    fired_at     BIGINT NOT NULL,
    firing       TEXT   NOT NULL,
    parent       TEXT,
    published    BIGINT NOT NULL DEFAULT 0,
    notification TEXT   NOT NULL,
    settled_at   BIGINT,
    reason       TEXT
);
CREATE INDEX alerts_newest ON alerts (fired_at, id);
CREATE INDEX alerts_by_rule ON alerts (rule, fired_at, id);
CREATE INDEX alerts_unsent ON alerts (rule, fired_at) WHERE notification = 'pending';
CREATE INDEX alerts_unpublished ON alerts (fired_at) WHERE published = 0 OR (published = 1 AND notification = 'sent');

-- How far each consumer has come in each partition, and for metrics what the
-- partition said of its event time.
CREATE TABLE progress (
    consumer     TEXT   NOT NULL,
    partition_no BIGINT NOT NULL,
    raw_seq      BIGINT NOT NULL,
    watermark    BIGINT,
    as_of        BIGINT,
    PRIMARY KEY (consumer, partition_no)
);

-- What the counters of event rules counted, in the order of arrival.
CREATE TABLE observations (
    partition_no BIGINT NOT NULL,
    raw_seq      BIGINT NOT NULL,
    arrived      BIGINT NOT NULL,
    body         TEXT   NOT NULL,
    PRIMARY KEY (partition_no, raw_seq)
);
CREATE INDEX observations_by_arrival ON observations (partition_no, arrived);

-- The furthest totals of each partition, for the windows that rules need.
CREATE TABLE cells (
    metric       TEXT   NOT NULL,
    version      TEXT   NOT NULL,
    start_ms     BIGINT NOT NULL,
    dimensions   TEXT   NOT NULL,
    partition_no BIGINT NOT NULL,
    end_ms       BIGINT NOT NULL,
    raw_seq      BIGINT NOT NULL,
    totals       TEXT   NOT NULL,
    exemplar     TEXT,
    PRIMARY KEY (metric, version, start_ms, dimensions, partition_no)
);
