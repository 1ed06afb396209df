-- Keys of sealed batches, from first_seq to last_seq: in blocks, and no more in
-- seen_batches, which keeps their marks. In place of seen_segments, whose rows stay
-- until they leave the horizon. A run is named by the number of its first block; its
-- blocks follow each other. lane is the range of keys, by their first four bits; NULL
-- is all of them. The clocks are log_clock of the first and the last batch. fences has
-- the first 32 bits of the first key of each block, in little-endian. The filter tells
-- which keys may be there, by their first 64 bits: a binary fuse filter, of 16 bits
-- where lane is NULL and of 8 elsewhere, as in seen_segments.
CREATE TABLE seen_runs (
    partition BIGINT NOT NULL,
    run BIGINT NOT NULL,
    lane BIGINT,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    first_clock BIGINT NOT NULL,
    last_clock BIGINT NOT NULL,
    keys BIGINT NOT NULL,
    fences BYTEA NOT NULL,
    filter BYTEA NOT NULL,
    PRIMARY KEY (partition, run)
);

-- The blocks of runs: the first 80 bits of each key, and log_clock when it was last
-- seen, in ticks (services/enrichment/src/duplicates/block.rs).
CREATE TABLE seen_run_blocks (
    partition BIGINT NOT NULL,
    block BIGINT NOT NULL,
    entries BYTEA NOT NULL,
    PRIMARY KEY (partition, block)
);

-- How many blocks of runs a partition has had: the number of the next.
ALTER TABLE floors ADD COLUMN run_blocks BIGINT NOT NULL DEFAULT 0;

-- Neither shrinks. Two blocks fill a page, and are read with it.
ALTER TABLE seen_runs ALTER COLUMN filter SET STORAGE EXTERNAL;
ALTER TABLE seen_run_blocks ALTER COLUMN entries SET STORAGE MAIN;
ALTER TABLE seen_run_blocks SET (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02);
