-- Sealed batches of a partition, from first_seq to last_seq: their keys are in
-- blocks, and no more in seen_batches, which keeps their marks. The clocks are
-- log_clock of the first and the last of them; keys counts different keys. The
-- filter tells which keys may be there: a binary fuse filter of 16 bits, with
-- seed, segment length, mask, segment count length and fingerprints in
-- little-endian.
CREATE TABLE seen_segments (
    partition BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    first_seq BIGINT NOT NULL,
    first_clock BIGINT NOT NULL,
    last_clock BIGINT NOT NULL,
    keys BIGINT NOT NULL,
    blocks BIGINT NOT NULL,
    filter BYTEA NOT NULL,
    PRIMARY KEY (partition, last_seq)
);

-- The keys of a segment, which is named by its last_seq. A key is in the block
-- floor(h * blocks / 2^64), where h is its first 8 bytes as a number. Each takes
-- 24 bytes: the key, and the log_clock when it was last seen, in big-endian, in
-- the order of the keys.
CREATE TABLE seen_blocks (
    partition BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    block BIGINT NOT NULL,
    entries BYTEA NOT NULL,
    PRIMARY KEY (partition, segment, block)
);
