-- The rules that are to be tried out with a generation, as their files have them: JSON;
-- none of a generation that an earlier release has begun.
ALTER TABLE generation ADD COLUMN rules TEXT;
