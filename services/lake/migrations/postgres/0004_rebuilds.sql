-- The newest rebuild of a layer: whoever holds it goes on with it until then, so that
-- there is one at a time.
CREATE TABLE rebuilds (
    one BIGINT PRIMARY KEY,
    id TEXT NOT NULL,
    told TEXT NOT NULL,
    held_until BIGINT NOT NULL,
    stop BIGINT NOT NULL
);
