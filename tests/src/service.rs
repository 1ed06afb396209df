//! The services of a suite.

use std::fmt;

use serde::Serialize;
use tidemill::profile::ProfilePart;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Takes events in.
    Ingestion,
    /// Marks duplicates and adds what is known.
    Enrichment,
    /// Keeps totals.
    Aggregation,
    /// Evaluates rules.
    Alert,
    /// Answers.
    Reporting,
    /// Learns what visitors want next.
    Recommendation,
    /// Keeps everything as tables.
    Lake,
}

impl Service {
    /// Those that an event goes through until its number is told, in this order.
    pub const CHAIN: [Self; 5] = [Self::Ingestion, Self::Enrichment, Self::Aggregation, Self::Alert, Self::Reporting];
    /// Those that the chart installs by itself.
    pub const SUITE: [Self; 6] =
        [Self::Ingestion, Self::Enrichment, Self::Aggregation, Self::Alert, Self::Reporting, Self::Recommendation];
    /// These, and those that read along.
    pub const ALL: [Self; 7] = [
        Self::Ingestion,
        Self::Enrichment,
        Self::Aggregation,
        Self::Alert,
        Self::Reporting,
        Self::Recommendation,
        Self::Lake,
    ];

    /// The one that a profile names.
    pub(crate) const fn of(part: ProfilePart) -> Self {
        match part {
            ProfilePart::Ingestion => Self::Ingestion,
            ProfilePart::Enrichment => Self::Enrichment,
            ProfilePart::Aggregation => Self::Aggregation,
            ProfilePart::Alert => Self::Alert,
            ProfilePart::Recommendation => Self::Recommendation,
            ProfilePart::Reporting => Self::Reporting,
            ProfilePart::Lake => Self::Lake,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingestion => "ingestion",
            Self::Enrichment => "enrichment",
            Self::Aggregation => "aggregation",
            Self::Alert => "alert",
            Self::Reporting => "reporting",
            Self::Recommendation => "recommendation",
            Self::Lake => "lake",
        }
    }

    /// Its program's name.
    pub(crate) fn binary(self) -> String {
        format!("tidemill-{}", self.name())
    }

    /// Whether it has a database.
    pub(crate) fn has_store(self) -> bool {
        self != Self::Ingestion
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
