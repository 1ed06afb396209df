-- Which event did something to an order that was there, and where that stands in
-- order_changes: an event that was late, and comes again as history, is told what
-- it did. The event is a hash of its source and id. ingested_at is when ingestion
-- took it in, in milliseconds since the epoch.
CREATE TABLE order_events (
    partition BIGINT NOT NULL,
    event BLOB NOT NULL,
    raw_seq BIGINT NOT NULL,
    place BIGINT NOT NULL,
    ingested_at BIGINT NOT NULL,
    PRIMARY KEY (partition, event)
);
CREATE INDEX order_events_by_age ON order_events (partition, ingested_at);
