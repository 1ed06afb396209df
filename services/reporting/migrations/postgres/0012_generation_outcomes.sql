-- What became of events in a generation, as `outcomes` has it of the live totals: by it is seen
-- which events were late for one of the two alone.
CREATE TABLE generation_outcomes (
    generation TEXT   NOT NULL,
    source     TEXT   NOT NULL,
    hour       BIGINT NOT NULL,
    shard      BIGINT NOT NULL,
    raw_seq    BIGINT NOT NULL,
    counted    BIGINT NOT NULL,
    late       BIGINT NOT NULL,
    duplicate  BIGINT NOT NULL,
    PRIMARY KEY (generation, source, hour, shard)
);
