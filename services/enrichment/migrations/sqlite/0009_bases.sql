-- The base currency of the shop when a rate was accepted: the rate says what one of
-- its currency is in that one. NULL for what is no rate, and in rows of before.
ALTER TABLE reference_changes ADD COLUMN base TEXT;

-- The base currency when a file was last loaded. NULL in rows of before.
ALTER TABLE reference_files ADD COLUMN base TEXT;
