-- Cells of one hour or day, added up over windows and partitions. A span takes
-- as many parts as it needs: each holds some combinations of dimensions, as
-- JSON members that a reader puts brackets around.
CREATE TABLE rollups (
    level      TEXT   NOT NULL,
    metric     TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    span_start BIGINT NOT NULL,
    part       BIGINT NOT NULL,
    span_end   BIGINT NOT NULL,
    cells      TEXT   NOT NULL,
    PRIMARY KEY (level, metric, version, span_start, part)
) WITHOUT ROWID;

-- Spans whose roll-up is not what their cells are. `touched` never has a value
-- again: whoever makes the roll-up takes the mark away only if it is still the
-- one that was seen before the cells were read.
CREATE TABLE rollup_marks (
    level      TEXT   NOT NULL,
    metric     TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    span_start BIGINT NOT NULL,
    touched    BIGINT NOT NULL,
    due        BIGINT NOT NULL,
    latest     BIGINT NOT NULL,
    PRIMARY KEY (level, metric, version, span_start)
) WITHOUT ROWID;
CREATE INDEX rollup_marks_due ON rollup_marks (due);

-- Where the roll-ups of a version begin. Spans before it were stored earlier,
-- and are rolled up from the newest to the oldest; those behind it are either
-- right or marked.
CREATE TABLE rollup_frontiers (
    level   TEXT   NOT NULL,
    metric  TEXT   NOT NULL,
    version TEXT   NOT NULL,
    below   BIGINT NOT NULL,
    PRIMARY KEY (level, metric, version)
) WITHOUT ROWID;

-- `marked`: the stream sequence up to which folds have marked what they
-- touched. `step`: how many steps the making of roll-ups has taken.
CREATE TABLE rollup_state (
    name   TEXT   NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
) WITHOUT ROWID;
