-- Since when totals are kept of a version that has batch views, whose past the lake has: windows
-- that start earlier are gone, or about to be deleted, and stay out whatever comes of them. It
-- never goes back.
CREATE TABLE kept_totals (
    metric  TEXT   NOT NULL,
    version TEXT   NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (metric, version)
);
