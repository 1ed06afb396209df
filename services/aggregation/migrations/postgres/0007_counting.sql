-- When ingestion took in the last batch that was applied; until one is, the time of
-- the last that changed a total.
ALTER TABLE partitions ADD COLUMN log_time BIGINT;
UPDATE partitions SET log_time =
    (SELECT MAX(changed_at) FROM cells WHERE cells.partition = partitions.partition AND changed_at > 0);

-- Which batches the versions of metrics have not counted, as JSON. A version without
-- a row has counted none of what is applied.
CREATE TABLE counting (
    partition BIGINT NOT NULL,
    metric TEXT NOT NULL,
    version TEXT NOT NULL,
    uncounted TEXT NOT NULL,
    PRIMARY KEY (partition, metric, version)
);

-- What has totals by now has counted from the start, as far as anybody knows.
INSERT INTO counting (partition, metric, version, uncounted)
    SELECT partitions.partition, known.metric, known.version, '[]'
    FROM partitions CROSS JOIN (SELECT DISTINCT metric, version FROM cells) AS known;
