-- Which events of a batch were duplicates, one bit each, the first in the
-- lowest bit of the first byte: what the batch became can be made again, also
-- when the events that decided it are forgotten. NULL in rows of before.
ALTER TABLE seen_batches ADD COLUMN marks BYTEA;
