-- Generations of totals that are counted beside the live one. Their totals stand among the
-- others, under versions with the generation's name behind an @. `inputs`: what it is
-- counted by, as JSON. A retired one is gone, and what still comes of it is passed over.
CREATE TABLE generations (
    name       TEXT   NOT NULL PRIMARY KEY,
    inputs     TEXT   NOT NULL,
    known_at   BIGINT NOT NULL,
    retired_at BIGINT
);

-- How far each is in every partition.
CREATE TABLE generation_progress (
    generation TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    raw_seq    BIGINT NOT NULL,
    as_of      BIGINT NOT NULL,
    part       BIGINT NOT NULL,
    watermark  BIGINT,
    idle       BIGINT NOT NULL,
    PRIMARY KEY (generation, shard)
);

-- Which version of a metric is served, where it is not the live one.
CREATE TABLE served_versions (
    metric  TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL
);

-- Who changed what is served, from which version to which ('' for the live one), and who
-- retired a generation ('' for the metric).
CREATE TABLE generation_changes (
    number     BIGSERIAL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    generation TEXT   NOT NULL,
    metric     TEXT   NOT NULL,
    before     TEXT   NOT NULL,
    after      TEXT   NOT NULL,
    ordered_by TEXT   NOT NULL,
    key_id     TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    ordered_at BIGINT NOT NULL
);
CREATE INDEX generation_changes_of_metric ON generation_changes (metric, number);
