-- Locked by whoever writes erasures without holding the rows of all partitions: erasures
-- are seen in the order of their numbers.
CREATE TABLE erasure_turns (
    turn BIGINT PRIMARY KEY
);
INSERT INTO erasure_turns (turn) VALUES (0);
