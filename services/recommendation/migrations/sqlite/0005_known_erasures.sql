-- Up to which time of intake replicas learn, as they say before they look who is forgotten: who
-- is forgotten behind that is so for at least as long.
ALTER TABLE erasure_turns ADD COLUMN learnt_until BIGINT NOT NULL DEFAULT 0;

-- How often PROFILES was told anew, since it was another stream or an older one; and its last
-- message by then, as far as it is written down.
CREATE TABLE published_stream (
    telling  BIGINT PRIMARY KEY,
    sequence BIGINT NOT NULL
);
INSERT INTO published_stream (telling, sequence) VALUES (0, 0);
-- Of which of these `published` and `published_erasure` are.
ALTER TABLE partitions ADD COLUMN published_telling BIGINT NOT NULL DEFAULT 0;
