-- When a generation that something else was cut over from is to be retired, unless it
-- answers again by then.
ALTER TABLE generations ADD COLUMN retire_at BIGINT;
