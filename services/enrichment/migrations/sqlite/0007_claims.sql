-- When the event happened that claims a change of a customer, in milliseconds since
-- the epoch; NULL for what a person has set, and in rows of before.
ALTER TABLE reference_changes ADD COLUMN claimed_at BIGINT;

-- How many customers were first known by a claim.
ALTER TABLE reference_version ADD COLUMN claimed_customers BIGINT NOT NULL DEFAULT 0;
