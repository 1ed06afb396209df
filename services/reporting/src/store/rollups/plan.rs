//! Which parts of a range are read rolled up.

use std::collections::BTreeSet;

use tidemill_domain::Timestamp;

use super::{
    level::{HOUR, RollupLevel},
    standing::{DayStanding, RollupStanding},
};

#[cfg(test)]
mod tests;

/// The longest range that is read rolled up: more than a century.
const LONGEST: i64 = 40_000 * 24 * HOUR;
/// Segments that a range is read in, each by a statement. Where there would be
/// more, short ones between others are read with them, cell by cell.
const MOST: usize = 1000;

/// The spans within which an answer adds cells up. It knows no difference
/// between cells of one span.
pub(crate) enum MergeScope {
    /// All of them together.
    Everything,
    /// Spans of so many milliseconds, counted from 1970.
    Tiles(i64),
    /// Periods of a day or longer, side by side: the first instant of the one
    /// that holds a time, and the first after it.
    Periods(Box<dyn Fn(Timestamp) -> (Timestamp, Timestamp) + Send + Sync>),
}

impl MergeScope {
    /// Whether one span holds all from `start` to `end`.
    fn holds(&self, start: Timestamp, end: Timestamp) -> bool {
        match self {
            Self::Everything => true,
            Self::Tiles(millis) => end <= start.floor_to(*millis).plus_millis(*millis),
            Self::Periods(period) => end <= period(start).1,
        }
    }

    /// The hours of a range that lie in two spans; `None` where it is not worth
    /// while to look for them.
    fn torn_hours(&self, from: Timestamp, to: Timestamp) -> Option<BTreeSet<Timestamp>> {
        let mut torn = BTreeSet::new();
        match self {
            Self::Everything => {}
            Self::Tiles(millis) if millis % HOUR == 0 => {}
            Self::Tiles(_) => return None,
            Self::Periods(period) => {
                let mut end = period(from).1;
                while end < to {
                    let (hour, next) = (end.floor_to(HOUR), period(end).1);
                    if hour != end {
                        torn.insert(hour);
                    }
                    if next <= end {
                        return None;
                    }
                    end = next;
                }
            }
        }
        Some(torn)
    }
}

/// A part of a range that is read in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadSegment {
    /// `None` for the cells themselves.
    pub(super) level: Option<RollupLevel>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// How the windows that start between `from` and `to` (exclusive) are read, in
/// the order of time. `tile` is the length of a window.
pub(super) fn plan(
    from: Timestamp,
    to: Timestamp,
    tile: i64,
    standing: &RollupStanding,
    scope: &MergeScope,
) -> Vec<ReadSegment> {
    let cells = || vec![ReadSegment { level: None, from, to }];
    if to.millis().saturating_sub(from.millis()) > LONGEST {
        return cells();
    }
    let Some(torn) = scope.torn_hours(from, to) else { return cells() };
    let not_hours: BTreeSet<Timestamp> = torn.union(&standing.stale_hours).copied().collect();
    let mut segments = Segments::default();
    match standing.days.as_ref() {
        None => segments.hours(from, to, standing.hours_from, &not_hours),
        Some(days) => {
            let mut at = from;
            while at < to {
                let (start, end) = days.zone.day_of(at);
                if start == at && end <= to && is_day_right(start, end, tile, days, standing) && scope.holds(start, end)
                {
                    segments.push(Some(RollupLevel::Day(days.zone)), start, end);
                } else {
                    segments.hours(at, end.min(to), standing.hours_from, &not_hours);
                }
                at = end.min(to);
            }
        }
    }
    segments.few()
}

/// Whether the roll-up of a day is what its cells are, and no window of it ends
/// after it.
fn is_day_right(start: Timestamp, end: Timestamp, tile: i64, days: &DayStanding, standing: &RollupStanding) -> bool {
    let first_hour = start.floor_to(HOUR);
    start.floor_to(tile) == start
        && end.floor_to(tile) == end
        && start >= days.from
        && !days.stale.contains(&start)
        && first_hour >= standing.hours_from
        && standing.stale_hours.range(first_hour..end).next().is_none()
}

#[derive(Default)]
struct Segments(Vec<ReadSegment>);

impl Segments {
    fn push(&mut self, level: Option<RollupLevel>, from: Timestamp, to: Timestamp) {
        if from >= to {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.level == level && last.to == from => last.to = to,
            _ => self.0.push(ReadSegment { level, from, to }),
        }
    }

    /// A stretch of whole hours, but for those that are `not_hours` and for its ends.
    fn hours(&mut self, from: Timestamp, to: Timestamp, hours_from: Timestamp, not_hours: &BTreeSet<Timestamp>) {
        let whole = from.floor_to(HOUR);
        let first = if whole == from { from } else { whole.plus_millis(HOUR) }.max(hours_from);
        let last = to.floor_to(HOUR);
        if first >= last {
            return self.push(None, from, to);
        }
        self.push(None, from, first);
        let mut at = first;
        for hour in not_hours.range(first..last) {
            self.push(Some(RollupLevel::Hour), at, *hour);
            at = hour.plus_millis(HOUR);
            self.push(None, *hour, at);
        }
        self.push(Some(RollupLevel::Hour), at, last);
        self.push(None, last, to);
    }

    /// Not too many of them: to read cells is right everywhere.
    fn few(self) -> Vec<ReadSegment> {
        let Self(mut segments) = self;
        let mut short = HOUR;
        while segments.len() > MOST {
            short = short.saturating_mul(2);
            let mut fewer = Self::default();
            for ReadSegment { level, from, to } in segments {
                let is_short = to.millis().saturating_sub(from.millis()) < short;
                fewer.push(level.filter(|_| !is_short), from, to);
            }
            Self(segments) = fewer;
        }
        segments
    }
}
