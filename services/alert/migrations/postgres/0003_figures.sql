-- Where rules stand with figures of the lake: by rule, table and measure as JSON, what
-- was measured last, and since when the rule holds.
CREATE TABLE figures (
    figure      TEXT   PRIMARY KEY,
    measured_at BIGINT NOT NULL,
    measured    DOUBLE PRECISION NOT NULL,
    since       BIGINT
);
