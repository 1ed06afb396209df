-- What exact distinct counts have seen, a row for each checkpoint that had new
-- values of a cell: of a value the place of its measure in two bytes and its hash
-- in eight, big-endian, one value behind the other.
CREATE TABLE seen_values (
    cell BLOB NOT NULL,
    floor BIGINT NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (cell, floor)
) WITHOUT ROWID;
INSERT INTO seen_values (cell, floor, hashes)
SELECT cell, 0, unhex(group_concat(printf('%04x%016x', measure, hash), '')) FROM seen GROUP BY cell;
DROP TABLE seen;

-- Only a partition whose METRICS lost its end is asked by position. Without this
-- index the change of a total changes none.
DROP INDEX cells_by_position;
