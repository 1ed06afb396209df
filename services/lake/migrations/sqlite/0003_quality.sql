-- What was counted of the files of tables. A file never changes, so nothing here can
-- be wrong; what is missing is counted again.
CREATE TABLE quality_files (
    table_name TEXT NOT NULL,
    file TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (table_name, file)
);
