-- Of the duplicates, those by their business key.
ALTER TABLE books ADD COLUMN repeated BIGINT NOT NULL DEFAULT 0;
