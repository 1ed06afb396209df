-- By which step of its partition a profile was changed last, by the sequence of the step's
-- last batch in RAW; and up to which steps and erasures PROFILES has been told.
ALTER TABLE profiles ADD COLUMN changed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX profiles_by_change ON profiles (partition_no, changed, customer);
ALTER TABLE partitions ADD COLUMN published BIGINT NOT NULL DEFAULT -1;
ALTER TABLE partitions ADD COLUMN published_erasure BIGINT NOT NULL DEFAULT 0;
-- Whether it is of a customer, and not of a visit of theirs.
ALTER TABLE erasures ADD COLUMN is_customer BIGINT NOT NULL DEFAULT 0;
