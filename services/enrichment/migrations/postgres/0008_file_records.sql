-- The records of the file that was last loaded: a hash of kind, id and valid_from
-- each, 8 bytes in big-endian, in their order. NULL in rows of before.
ALTER TABLE reference_files ADD COLUMN records BYTEA;
