-- The newest batch view of each version of a metric that was told: how far silver is in it, from
-- which windows on, and when all of them were computed last.
CREATE TABLE batch_views (
    metric      TEXT NOT NULL,
    version     TEXT NOT NULL,
    number      BIGINT NOT NULL,
    reach       TEXT NOT NULL,
    since       BIGINT NOT NULL,
    computed_at BIGINT NOT NULL,
    cells       BIGINT NOT NULL,
    whole_at    BIGINT NOT NULL,
    PRIMARY KEY (metric, version)
);

-- Orders to compute them now, and what became of each.
CREATE TABLE batch_orders (
    number     BIGINT PRIMARY KEY,
    whole      BIGINT NOT NULL,
    ordered_at BIGINT NOT NULL,
    done_at    BIGINT,
    failed     TEXT
);
