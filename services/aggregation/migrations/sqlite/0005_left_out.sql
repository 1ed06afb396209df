-- Events that are in no total, being late or refused by the store: one that comes
-- again as history is counted. By a hash of source and id, since when by the
-- log's clock.
CREATE TABLE left_out (
    partition BIGINT NOT NULL,
    event BLOB NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (partition, event)
);
CREATE INDEX left_out_by_age ON left_out (partition, since);
