-- What became known of products, customers and countries, in the order in
-- which it was accepted. valid_from is in milliseconds since the epoch; NULL
-- is the beginning of time.
CREATE TABLE reference_changes (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    valid_from BIGINT,
    attributes TEXT NOT NULL,
    PRIMARY KEY (kind, id, version)
);
CREATE UNIQUE INDEX reference_changes_by_version ON reference_changes (version);

-- The number of accepted changes. Writers take this row first, so that
-- versions become visible in their order.
CREATE TABLE reference_version (version BIGINT NOT NULL);
INSERT INTO reference_version (version) VALUES (0);

-- The content of each reference file that was last loaded.
CREATE TABLE reference_files (path TEXT PRIMARY KEY, digest TEXT NOT NULL);

-- Per partition of the log, the last batch that is done.
CREATE TABLE floors (partition BIGINT PRIMARY KEY, raw_seq BIGINT NOT NULL);

-- Per batch, the events in it: 16 bytes each, in order. log_clock is the
-- latest ingestion time up to the batch, in milliseconds since the epoch.
CREATE TABLE seen_batches (
    partition BIGINT NOT NULL,
    raw_seq BIGINT NOT NULL,
    log_clock BIGINT NOT NULL,
    keys BYTEA NOT NULL,
    PRIMARY KEY (partition, raw_seq)
);
