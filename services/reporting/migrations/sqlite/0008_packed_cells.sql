-- Totals as releases before this one wrote them, a row for each. What a fold
-- touches of them, it moves to where they are packed. The name is another one, so
-- that a release which knows no other place fails, and does not answer without
-- what is packed.
ALTER TABLE cells RENAME TO unpacked_cells;

-- Furthest totals of every partition, by window: a line for each combination of
-- dimensions and partition (dimensions, partition, position, end and totals, with
-- tabs between them). A window has `1 << depth` rows, and the hash of the
-- dimensions says in which of them a line is. `states`: the kinds of the totals.
CREATE TABLE packed_cells (
    metric       TEXT   NOT NULL,
    version      TEXT   NOT NULL,
    window_start BIGINT NOT NULL,
    bucket       BIGINT NOT NULL,
    depth        BIGINT NOT NULL,
    states       TEXT   NOT NULL,
    cells        TEXT   NOT NULL,
    PRIMARY KEY (metric, version, window_start, bucket)
) WITHOUT ROWID;

-- What an earlier release could not read of METRICS, it set aside and went on. So the
-- stream is read once more from its beginning: totals are cumulative, and the furthest
-- stays.
DELETE FROM positions WHERE name = 'metrics';
