-- A letter's own name. One whose publish was repeated after the stream had
-- forgotten the first is in the stream twice, and here once.
ALTER TABLE dead_letters ADD COLUMN id TEXT NOT NULL DEFAULT '';
UPDATE dead_letters SET id = 'sequence-' || sequence;
CREATE UNIQUE INDEX dead_letters_by_id ON dead_letters (id);
