-- Orders, and what refers to them: as JSON. The id is a hash of the order's.
-- touched is when ingestion took in the last event about it, in milliseconds since
-- the epoch; placed is 0 while only what refers to it has come.
CREATE TABLE orders (
    partition BIGINT NOT NULL,
    id BLOB NOT NULL,
    touched BIGINT NOT NULL,
    placed BIGINT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (partition, id)
);
CREATE INDEX orders_by_age ON orders (partition, touched);
CREATE INDEX orders_waiting ON orders (partition) WHERE placed = 0;

-- What the events of a batch did to orders that were there: as JSON, by the
-- events' places in the batch. What the batch became can be made again.
CREATE TABLE order_changes (
    partition BIGINT NOT NULL,
    raw_seq BIGINT NOT NULL,
    ingested_at BIGINT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (partition, raw_seq)
);
CREATE INDEX order_changes_by_age ON order_changes (partition, ingested_at);
