-- The business keys that a batch has made known, or that came again in it: 16
-- bytes each. NULL where there are none, and in rows of before.
ALTER TABLE seen_batches ADD COLUMN business_keys BLOB;

-- Which of the duplicates in `marks` are repetitions of a business key under
-- another source or id: bits as there, up to the last one. NULL where there are
-- none, and in rows of before.
ALTER TABLE seen_batches ADD COLUMN repeated BLOB;
