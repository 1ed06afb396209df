-- What became of events that were sent again from dead letters: by the request
-- that sent them (the id of an action), and the batch of the log.
CREATE TABLE redriven (
    action    TEXT   NOT NULL,
    shard     BIGINT NOT NULL,
    raw_seq   BIGINT NOT NULL,
    counted   BIGINT NOT NULL,
    late      BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    PRIMARY KEY (action, shard, raw_seq)
);
