-- How often a source of the partition had been met when this one last was: of
-- more sources than have a clock, the one that was met least recently is
-- dropped.
ALTER TABLE clocks ADD COLUMN met BIGINT NOT NULL DEFAULT 0;

-- The furthest that any clock of the partition ever stood, dropped ones among
-- them: it decides what is kept.
ALTER TABLE partitions ADD COLUMN furthest BIGINT;
UPDATE partitions SET furthest = (SELECT MAX(newest) FROM clocks WHERE clocks.partition = partitions.partition);

-- Sources beyond the bound shared this one.
DELETE FROM clocks WHERE source = '(other)';
