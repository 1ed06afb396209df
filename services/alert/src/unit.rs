//! The parts of the service's work.

use std::fmt;

/// A part of the work that one replica does at a time.
///
/// Event rules are one unit, and not one a partition: their counters go across
/// partitions (orders from one address belong to many customers, and so to
/// many partitions), so whoever counts has to see all of them. Metric rules
/// are one unit because a group's total is the sum over all partitions. Both
/// do little work for each message; what grows with the load is read in
/// parallel within the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AlertUnit {
    /// Event rules over every partition of `ENRICHED`.
    Events,
    /// Metric rules over `METRICS`.
    Metrics,
    /// What was recorded goes out: to `ALERTS`, and to Slack.
    Outbox,
}

impl AlertUnit {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Events, Self::Metrics, Self::Outbox];

    /// As it stands in leases, in the store and in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Metrics => "metrics",
            Self::Outbox => "outbox",
        }
    }
}

impl fmt::Display for AlertUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
