//! How windows are put together in an answer.

use chrono::{Datelike, Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use utoipa::ToSchema;

use crate::{
    calendar::Zone,
    catalogue::Metric,
    error::Error,
    range,
    store::{MergeScope, StoredCell},
};

#[cfg(test)]
mod tests;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Points that a line of a series has at most where no resolution is named: the
/// minutes of two days, the hours of five months, the days of ten years.
const LINE: i64 = 4000;

/// How finely a series is told. Minutes and hours are those of UTC, days and
/// what is longer those of the zone; weeks begin on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Resolution {
    /// The metric's own windows.
    Window,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Resolution {
    /// How long it is at least, in milliseconds; `None` for windows.
    pub(super) fn least_millis(self) -> Option<i64> {
        match self {
            Self::Window => None,
            Self::Minute => Some(MINUTE),
            Self::Hour => Some(60 * MINUTE),
            Self::Day => Some(DAY),
            Self::Week => Some(7 * DAY),
            Self::Month => Some(28 * DAY),
            Self::Year => Some(365 * DAY),
        }
    }

    /// Whether windows of the metric may make it up, whatever the zone. Months and
    /// years differ in length, so theirs are looked at one by one.
    pub(super) fn is_made_of(self, metric: &Metric) -> bool {
        match (self.least_millis(), metric.tile_millis()) {
            (Some(millis), Some(window)) => millis >= window && (self >= Self::Month || millis % window == 0),
            (None, _) | (_, None) => true,
        }
    }

    /// The resolutions for a span of so many milliseconds, the finest that has few
    /// points first.
    pub(super) fn fitting(metric: &Metric, span: i64) -> Vec<Self> {
        let window = metric.window.seconds.saturating_mul(1000).max(1);
        if !metric.has_disjoint_windows() {
            return vec![Self::Window];
        }
        let all = [Self::Window, Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Year].into_iter();
        let length = |resolution: &Self| resolution.least_millis().unwrap_or(window);
        let coarser = all.filter(|one| *one == Self::Window || one.is_made_of(metric) && length(one) > window);
        let (fine, few): (Vec<Self>, Vec<Self>) = coarser.partition(|one| span / length(one) > LINE);
        if few.is_empty() { fine.into_iter().last().into_iter().collect() } else { few }
    }

    /// The period that holds `time`: its first instant, and the first after it.
    fn period(self, zone: Zone, time: Timestamp) -> (Timestamp, Timestamp) {
        if let Some(millis) = self.least_millis().filter(|millis| *millis < DAY) {
            let start = time.floor_to(millis);
            return (start, start.plus_millis(millis));
        }
        let mut first = self.first_day(zone.date_of(time));
        // A clock that is put back over midnight shows a date that has ended: the
        // next one has begun, and goes on.
        while let Some(next) = self.after(first).filter(|next| zone.day_begins(*next) <= time) {
            first = next;
        }
        let end = self.after(first).map(|next| zone.day_begins(next));
        (zone.day_begins(first), end.unwrap_or(Timestamp::saturating_from_millis(i64::MAX)))
    }

    /// The first day of the period that holds a day.
    fn first_day(self, date: NaiveDate) -> NaiveDate {
        let first = match self {
            Self::Week => date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into())),
            Self::Month => date.with_day(1),
            Self::Year => date.with_ordinal(1),
            Self::Window | Self::Minute | Self::Hour | Self::Day => Some(date),
        };
        first.unwrap_or(date)
    }

    /// The first day of the period after the one that begins with a day.
    fn after(self, first: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Week => first.checked_add_days(Days::new(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
            Self::Year => first.checked_add_months(Months::new(12)),
            Self::Window | Self::Minute | Self::Hour | Self::Day => first.succ_opt(),
        }
    }
}

/// How cells are put together over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollup {
    /// Not at all: each window by itself.
    Windows,
    /// By spans of so many milliseconds: the windows of another metric.
    Tiles(i64),
    /// By periods of a zone, the first and the last of which end at the bounds
    /// of the question.
    Periods { resolution: Resolution, zone: Zone, from: Option<Timestamp>, to: Option<Timestamp> },
    /// All windows in one.
    Whole,
}

impl Rollup {
    /// What a point is of.
    pub(super) fn resolution(self) -> Resolution {
        match self {
            Self::Periods { resolution, .. } => resolution,
            Self::Windows | Self::Tiles(_) | Self::Whole => Resolution::Window,
        }
    }

    /// The spans within which cells may come rolled up; `None` where they are
    /// shorter than any roll-up.
    pub(super) fn scope(self) -> Option<MergeScope> {
        match self {
            Self::Windows => None,
            Self::Whole => Some(MergeScope::Everything),
            Self::Tiles(millis) => Some(MergeScope::Tiles(millis)),
            Self::Periods { resolution, zone, .. } => match resolution.least_millis()? {
                millis if millis < DAY => Some(MergeScope::Tiles(millis)),
                _ => Some(MergeScope::Periods(Box::new(move |time| resolution.period(zone, time)))),
            },
        }
    }

    /// The point that a sum from `start` on belongs to. A total over all windows begins
    /// with the first that there is, which may be another one in each row and metric.
    pub(super) fn point(self, start: Timestamp) -> Option<Timestamp> {
        (self != Self::Whole).then_some(start)
    }

    /// Whose days the periods have, if it has periods.
    pub(super) fn zone(self) -> Option<Zone> {
        match self {
            Self::Periods { zone, .. } => Some(zone),
            Self::Windows | Self::Tiles(_) | Self::Whole => None,
        }
    }
}

/// The span of time that a cell is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RollupSpan {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// Finds the span of each cell. Cells come by window, the earliest first.
pub(super) struct Roller<'a> {
    metric: &'a Metric,
    rollup: Rollup,
    /// The period of the last cell, from its first instant to its end.
    period: (Timestamp, Timestamp),
}

impl<'a> Roller<'a> {
    pub(super) fn new(metric: &'a Metric, rollup: Rollup) -> Self {
        Self { metric, rollup, period: (Timestamp::EPOCH, Timestamp::EPOCH) }
    }

    /// Whether a cell belongs to a sum that spans from `start` on, if its own
    /// span is this one.
    pub(super) fn is_same(&self, start: Timestamp, span: RollupSpan) -> bool {
        self.rollup == Rollup::Whole || start == span.start
    }

    /// The span of a cell; refused if its window lies in two periods.
    pub(super) fn span(&mut self, cell: &StoredCell<'_>) -> Result<RollupSpan, Error> {
        if let Rollup::Tiles(millis) = self.rollup {
            let start = cell.start.floor_to(millis);
            return Ok(RollupSpan { start, end: start.plus_millis(millis) });
        }
        let Rollup::Periods { resolution, zone, from, to } = self.rollup else {
            return Ok(RollupSpan { start: cell.start, end: cell.end });
        };
        if !(self.period.0..self.period.1).contains(&cell.start) {
            self.period = resolution.period(zone, cell.start);
        }
        let (start, end) = self.period;
        if let Some(millis) = self.metric.tile_millis()
            && cell.end > end
        {
            return Err(range::torn(&self.metric.name, millis, cell.start, zone));
        }
        Ok(RollupSpan { start: from.map_or(start, |from| from.max(start)), end: to.map_or(end, |to| to.min(end)) })
    }
}
