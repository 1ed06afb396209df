//! Since when a version of a metric counts, and what it has not counted.

use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_events::UncountedSpan;
use utoipa::ToSchema;

#[cfg(test)]
mod tests;

/// What a version of a metric has not counted, by when it came in. Nobody may take a
/// 0, or less than before, for what was sold then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counting {
    /// Events that came in until then are not counted: the definition is newer.
    /// Absent where the version counts all of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) counted_from: Option<Timestamp>,
    /// Events that came in then are not counted: another definition was in force.
    /// Earliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) uncounted: Vec<UncountedTime>,
}

/// A time in which a version was not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct UncountedTime {
    /// Since then.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) from: Timestamp,
    /// Until then; `null` while it is not in force.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
}

impl Counting {
    /// Of all partitions together: what any of them has not counted.
    pub(crate) fn of(partitions: &[Vec<UncountedSpan>]) -> Self {
        let spans = || partitions.iter().flatten();
        let first = |span: &UncountedSpan| span.up_to.filter(|_| span.after.is_none()).map(|at| at.ingested_at);
        let counted_from = spans().filter_map(first).max();
        let time = |span: &UncountedSpan| {
            let (after, up_to) = (span.after?, span.up_to);
            // Nothing lies in between where both are one place.
            let is_empty = up_to.is_some_and(|up_to| up_to.raw_seq == after.raw_seq);
            let is_before = up_to.is_some_and(|up_to| Some(up_to.ingested_at) <= counted_from);
            let time = UncountedTime { from: after.ingested_at, to: up_to.map(|at| at.ingested_at) };
            (!is_empty && !is_before).then_some(time)
        };
        let mut times: Vec<UncountedTime> = spans().filter_map(time).collect();
        times.sort_by_key(|time| time.from);
        Self { counted_from, uncounted: united(times) }
    }

    /// What of it matters to a question that begins then. Events come in when they
    /// happen or later, so what was not counted before that is not asked for.
    pub(crate) fn since(self, from: Option<Timestamp>) -> Self {
        let matters = |until: Option<Timestamp>| until.is_none() || from.is_none() || from < until;
        let Self { counted_from, mut uncounted } = self;
        uncounted.retain(|time| matters(time.to));
        Self { counted_from: counted_from.filter(|until| matters(Some(*until))), uncounted }
    }
}

/// Times in order, of which those that overlap are one.
fn united(times: Vec<UncountedTime>) -> Vec<UncountedTime> {
    let mut united: Vec<UncountedTime> = Vec::new();
    for time in times {
        match united.last_mut() {
            Some(last) if last.to.is_none_or(|to| time.from <= to) => {
                last.to = last.to.and_then(|to| time.to.map(|end| end.max(to)));
            }
            _ => united.push(time),
        }
    }
    united
}
