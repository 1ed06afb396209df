-- What the store is of, where it is that of a generation that is counted beside the live
-- one: at most one row. `inputs` and `progress` are JSON; `wanted` is what the replay is to
-- do (run, pause, cancel), and `rate` how many events a second it may count (0 for any).
CREATE TABLE generation (
    name     TEXT   NOT NULL PRIMARY KEY,
    inputs   TEXT   NOT NULL,
    wanted   TEXT   NOT NULL,
    rate     BIGINT NOT NULL,
    progress TEXT   NOT NULL
);
