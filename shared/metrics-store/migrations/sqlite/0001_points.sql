-- A point is told by measurement, tags (JSON, keys in order) and time
-- (milliseconds since 1970); writing it again replaces its fields.
CREATE TABLE points (
    measurement TEXT NOT NULL,
    tags TEXT NOT NULL,
    time BIGINT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (measurement, tags, time)
);
CREATE INDEX points_by_time ON points (measurement, time);
