//! Of points that are read in about the order of their times, the first.

use tidemill_definitions::MetricDefinition;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::CellUpdate;
use tidemill_metrics_store::Point;

use crate::fold::points::point_of;

/// The first points of all that are met.
pub(super) struct FirstPoints<'m> {
    pub(super) metric: &'m MetricDefinition,
    pub(super) limit: usize,
    points: Vec<Point>,
}

impl<'m> FirstPoints<'m> {
    pub(super) fn new(metric: &'m MetricDefinition, limit: usize) -> Self {
        Self { metric, limit, points: Vec::new() }
    }

    /// Whether a point of this time may be among them.
    pub(super) fn may_take(&mut self, time: Timestamp) -> bool {
        if self.points.len() < self.limit {
            return true;
        }
        self.cut();
        self.points.last().is_some_and(|last| time <= last.time)
    }

    pub(super) fn add(&mut self, cell: &CellUpdate, partition: Partition) {
        self.points.extend(point_of(cell, partition, self.metric));
        // Not at each one: sorting costs.
        if self.points.len() >= self.limit.saturating_mul(2).max(1_000) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.points.sort_by(|a, b| (a.time, &a.tags).cmp(&(b.time, &b.tags)));
        self.points.truncate(self.limit);
    }

    /// All of them, by time and tags.
    pub(super) fn taken(mut self) -> Vec<Point> {
        self.cut();
        self.points
    }
}
