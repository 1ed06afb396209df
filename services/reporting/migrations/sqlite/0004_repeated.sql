-- Of the duplicates, those by their business key.
ALTER TABLE outcomes ADD COLUMN repeated BIGINT NOT NULL DEFAULT 0;
