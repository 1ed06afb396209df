//! The queries.

use serde::Serialize;

/// A query of Nexmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NexmarkQuery {
    /// Currency conversion.
    Q1,
    /// Selection.
    Q2,
    /// Hot items.
    Q5,
    /// Highest bid.
    Q7,
    /// User sessions.
    Q11,
    /// Bounded side input.
    Q13,
}

impl NexmarkQuery {
    /// All that are asked.
    pub const ALL: [Self; 6] = [Self::Q1, Self::Q2, Self::Q5, Self::Q7, Self::Q11, Self::Q13];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q1 => "q1",
            Self::Q2 => "q2",
            Self::Q5 => "q5",
            Self::Q7 => "q7",
            Self::Q11 => "q11",
            Self::Q13 => "q13",
        }
    }

    /// The metric that answers it.
    pub(super) const fn definition(self) -> &'static str {
        match self {
            Self::Q1 => include_str!("metrics/q1.yaml"),
            Self::Q2 => include_str!("metrics/q2.yaml"),
            Self::Q5 => include_str!("metrics/q5.yaml"),
            Self::Q7 => include_str!("metrics/q7.yaml"),
            Self::Q11 => include_str!("metrics/q11.yaml"),
            Self::Q13 => include_str!("metrics/q13.yaml"),
        }
    }

    /// What is asked of it beside the range.
    pub(super) const fn parameters(self) -> &'static str {
        match self {
            Self::Q1 => "group_by=auction,bidder&convert=true",
            Self::Q2 => "group_by=auction",
            Self::Q5 => "group_by=auction&top=1&top_by=bids",
            Self::Q7 => "group_by=auction,bidder&top=1&top_by=price",
            Self::Q11 => "group_by=bidder",
            Self::Q13 => "group_by=auction,value",
        }
    }
}
