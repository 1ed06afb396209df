-- How often each unit of the work was taken over. Whoever takes one over raises
-- its epoch, and every later write of the unit names the epoch that it is of:
-- one of an earlier owner changes nothing.
CREATE TABLE units (
    unit  TEXT   PRIMARY KEY,
    epoch BIGINT NOT NULL
);

-- Whether the cell was taken back, as a session that was merged into another.
ALTER TABLE cells ADD COLUMN retracted BIGINT NOT NULL DEFAULT 0;
