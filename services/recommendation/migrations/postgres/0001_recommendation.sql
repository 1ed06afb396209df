-- How far each partition is kept, and by which take-over. The pages are the index as it
-- was behind the batch `pages_at`, under the settings `settings`: it had counted `learnt`
-- interactions, up to the event time `newest`, and forgotten the visitors of all erasures
-- up to `erasure`.
CREATE TABLE partitions (
    partition_no BIGINT PRIMARY KEY,
    epoch        BIGINT NOT NULL,
    floor        BIGINT NOT NULL,
    pages_at     BIGINT NOT NULL,
    learnt       BIGINT NOT NULL,
    newest       BIGINT,
    erasure      BIGINT NOT NULL,
    settings     TEXT   NOT NULL
);
CREATE TABLE pages (
    partition_no BIGINT NOT NULL,
    page         BIGINT NOT NULL,
    body         BYTEA  NOT NULL,
    PRIMARY KEY (partition_no, page)
);

-- What events behind the pages told of visitors, as the index learns it. `raw_seq` is of
-- the last batch in it.
CREATE TABLE journal (
    partition_no BIGINT NOT NULL,
    raw_seq      BIGINT NOT NULL,
    body         BYTEA  NOT NULL,
    PRIMARY KEY (partition_no, raw_seq)
);

-- What is known of products by the events of a partition: the last one tells.
CREATE TABLE items (
    partition_no BIGINT NOT NULL,
    item         BYTEA  NOT NULL,
    raw_seq      BIGINT NOT NULL,
    told_at      BIGINT NOT NULL,
    body         BYTEA  NOT NULL,
    PRIMARY KEY (partition_no, item)
);
CREATE INDEX items_by_time ON items (told_at);

-- What is known of a customer by the events of one partition.
CREATE TABLE profiles (
    partition_no BIGINT NOT NULL,
    customer     BYTEA  NOT NULL,
    last_active  BIGINT NOT NULL,
    body         BYTEA  NOT NULL,
    PRIMARY KEY (partition_no, customer)
);
CREATE INDEX profiles_of_customer ON profiles (customer);
CREATE INDEX profiles_by_activity ON profiles (last_active);

-- Which visits belong to which customer: both are forgotten together.
CREATE TABLE visits (
    customer BYTEA  NOT NULL,
    visit    BYTEA  NOT NULL,
    seen_at  BIGINT NOT NULL,
    PRIMARY KEY (customer, visit)
);
CREATE INDEX visits_by_time ON visits (seen_at);

-- Who is forgotten: no event of theirs that was taken in up to `until` is learnt.
CREATE TABLE erasures (
    number    BIGINT NOT NULL,
    visitor   BYTEA  NOT NULL,
    until     BIGINT NOT NULL,
    erased_at BIGINT NOT NULL,
    erased_by TEXT   NOT NULL,
    PRIMARY KEY (number, visitor)
);
CREATE INDEX erasures_of_visitor ON erasures (visitor);
CREATE INDEX erasures_by_time ON erasures (erased_at);
