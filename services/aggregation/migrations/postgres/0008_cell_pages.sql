-- Totals of windows, many in a row. A page is what lies together by start and id, of
-- one version of a metric; its rows are runs, and the later one says what a cell is.
-- Rows of windows in cells and seen_values are taken over bit by bit.
CREATE TABLE cell_pages (
    partition BIGINT NOT NULL,
    page BIGINT NOT NULL,
    run BIGINT NOT NULL,
    metric TEXT NOT NULL,
    version TEXT NOT NULL,
    -- The names of the dimensions, as JSON.
    dimensions TEXT NOT NULL,
    first_start BIGINT NOT NULL,
    first_id BYTEA NOT NULL,
    last_start BIGINT NOT NULL,
    last_id BYTEA NOT NULL,
    -- The greatest of its cells.
    window_end BIGINT NOT NULL,
    raw_seq BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    -- How many cells, distinct values and bytes there are.
    cells BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    size BIGINT NOT NULL,
    entries BYTEA NOT NULL,
    PRIMARY KEY (partition, page, run)
);

-- To compress them costs more than to write them.
ALTER TABLE cell_pages ALTER COLUMN entries SET STORAGE EXTERNAL;
