//! Ranges of time, and whether whole windows make them up.

use tidemill_domain::Timestamp;
use tidemill_service::FieldError;

use crate::{calendar::Zone, error::Error, parameters::wrong};

#[cfg(test)]
mod tests;

/// Lengths that have a name, in milliseconds.
const UNITS: [(i64, &str); 4] = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second")];

/// Refuses a range that begins or ends within a window of `what`. They lie side
/// by side, counted from the epoch.
pub(crate) fn check(what: &str, millis: i64, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), Error> {
    let bounds = [("from", from), ("to", to)];
    let errors: Vec<FieldError> = bounds.into_iter().filter_map(|(name, bound)| fault(name, bound?, millis)).collect();
    if errors.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "{what}: its windows are {} long, counted from 1970-01-01T00:00:00Z; the nearest range that they make up is {}",
        length(millis),
        nearest(millis, from, to)
    );
    Err(Error::Unaligned { detail, errors })
}

/// A window of a metric that lies in two periods of a zone's calendar.
pub(crate) fn torn(metric: &str, millis: i64, start: Timestamp, zone: Zone) -> Error {
    let detail = format!(
        "metric {metric}: its windows are {} long, counted from 1970-01-01T00:00:00Z; the one that starts at {start} lies \
         in two periods of {zone}. Ask with `zone=UTC`, for a finer `resolution`, or for a metric of shorter windows",
        length(millis)
    );
    Error::Unaligned { detail, errors: Vec::new() }
}

fn fault(name: &str, bound: Timestamp, millis: i64) -> Option<FieldError> {
    let before = bound.floor_to(millis);
    let why = || format!("{bound} lies within the window from {before} to {}", before.plus_millis(millis));
    (before != bound).then(|| wrong(name, why()))
}

/// The nearest range of whole windows. It is empty only where the range is.
fn nearest(millis: i64, from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    let near = |bound: Timestamp| bound.plus_millis(millis / 2).floor_to(millis);
    let first = from.map(near);
    let last = match (from, to.map(near)) {
        (Some(from), Some(_)) if to == Some(from) => first,
        (_, last) => last.max(first.filter(|_| to.is_some()).map(|first| first.plus_millis(millis))),
    };
    let bounds = [("from", first), ("to", last)];
    let told = bounds.into_iter().filter_map(|(name, bound)| Some(format!("{name}={}", bound?)));
    told.collect::<Vec<_>>().join("&")
}

/// `1 day`, `15 minutes`, `90 seconds`.
pub(crate) fn length(millis: i64) -> String {
    let unit = UNITS.into_iter().find(|(unit, _)| millis % unit == 0);
    let (unit, name) = unit.unwrap_or((1, "millisecond"));
    let count = millis / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}
