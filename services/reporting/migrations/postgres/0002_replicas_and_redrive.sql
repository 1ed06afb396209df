-- A cell that was merged into another stays as a tombstone: it says that it
-- counts for nothing, and up to where.
ALTER TABLE cells ADD COLUMN retracted BIGINT NOT NULL DEFAULT 0;

-- Which cells each of the last folds changed, for the replicas that made none
-- of them: a JSON array of [metric, version, start, dimensions], '' for too
-- many to list.
CREATE TABLE changes (
    number BIGINT NOT NULL PRIMARY KEY,
    cells  TEXT   NOT NULL
);

-- The stream sequence of the transition that an alert took last.
ALTER TABLE alerts ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
CREATE INDEX alerts_changed ON alerts (sequence);

ALTER TABLE dead_letters ADD COLUMN source TEXT NOT NULL DEFAULT '';
UPDATE dead_letters SET source = COALESCE(letter::json ->> 'source', '');

-- Where dead letters stand that something was done about. It may know of one
-- before the list does.
CREATE TABLE dead_letter_states (
    letter     BIGINT NOT NULL PRIMARY KEY,
    state      TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    raw_seq    BIGINT,
    failed_as  BIGINT,
    changed_at BIGINT NOT NULL
);

-- Who had what done with which dead letter, and what came of it. A body is the
-- mended event, empty where the letter's own goes.
CREATE TABLE dead_letter_actions (
    number     BIGSERIAL PRIMARY KEY,
    id         TEXT   NOT NULL UNIQUE,
    request    TEXT   NOT NULL,
    letter     BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    ordered_by TEXT   NOT NULL,
    key_id     TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    ordered_at BIGINT NOT NULL,
    body       BYTEA  NOT NULL,
    settled_at BIGINT,
    raw_seq    BIGINT,
    failed_as  BIGINT
);
CREATE INDEX dead_letter_actions_of_letter ON dead_letter_actions (letter, number);
CREATE INDEX dead_letter_actions_of_request ON dead_letter_actions (request, state);
CREATE INDEX dead_letter_actions_to_send ON dead_letter_actions (state, number);
