-- What is to be taken out of the quarantine. Which rows a redrive takes stands in the
-- table of the quarantine alone.
CREATE TABLE redrives (
    number BIGINT PRIMARY KEY,
    rule TEXT,
    received_from BIGINT,
    received_to BIGINT,
    ordered_at BIGINT NOT NULL,
    done_at BIGINT,
    released BIGINT
);
