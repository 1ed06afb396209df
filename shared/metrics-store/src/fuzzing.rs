//! What `tests/fuzz-targets` calls: points as line protocol, without a server.

use crate::{Error, Point, influx};

/// The line that is sent to InfluxDB for a point.
pub fn line(point: &Point) -> Result<Vec<u8>, Error> {
    influx::line(point)
}

/// A tag's value as a reader gets it back.
pub fn read_tag(value: &str) -> String {
    influx::unguarded(value)
}
