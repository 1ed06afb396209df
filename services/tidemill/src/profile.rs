//! Parts of the suite that run by themselves.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of the suite that runs by itself. The chart has a file of values for each,
/// in helm/tidemill/profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SuiteProfile {
    /// Layers alone: tables of events, and what they come to
    Medallion,
    /// The layers, and live numbers beside them
    MedallionStreaming,
    /// Live numbers alone, and the log to count them once more
    Kappa,
    /// Live numbers, and batch views that answers are merged from
    Lambda,
    /// Live numbers and batch views, alerts, and recommendations
    Full,
}

/// A service that a profile may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfilePart {
    /// Takes events in.
    Ingestion,
    /// Marks duplicates and adds what is known.
    Enrichment,
    /// Keeps totals.
    Aggregation,
    /// Evaluates rules.
    Alert,
    /// Learns what visitors want next.
    Recommendation,
    /// Answers.
    Reporting,
    /// Keeps everything as tables.
    Lake,
}

impl ProfilePart {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Ingestion => "ingestion",
            Enrichment => "enrichment",
            Aggregation => "aggregation",
            Alert => "alert",
            Recommendation => "recommendation",
            Reporting => "reporting",
            Lake => "lake",
        }
    }
}

use ProfilePart::{Aggregation, Alert, Enrichment, Ingestion, Lake, Recommendation, Reporting};

impl SuiteProfile {
    /// In the order of the path from one to the next: each has what the one before can answer, or more, but that
    /// kappa has no tables.
    pub const ALL: [Self; 5] = [Self::Medallion, Self::MedallionStreaming, Self::Kappa, Self::Lambda, Self::Full];

    /// As it is written in files and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Medallion => "medallion",
            Self::MedallionStreaming => "medallion-streaming",
            Self::Kappa => "kappa",
            Self::Lambda => "lambda",
            Self::Full => "full",
        }
    }

    /// Its services.
    pub const fn parts(self) -> &'static [ProfilePart] {
        match self {
            Self::Medallion => &[Ingestion, Enrichment, Lake],
            Self::MedallionStreaming | Self::Lambda => &[Ingestion, Enrichment, Aggregation, Reporting, Lake],
            Self::Kappa => &[Ingestion, Enrichment, Aggregation, Reporting],
            Self::Full => &[Ingestion, Enrichment, Aggregation, Alert, Recommendation, Reporting, Lake],
        }
    }

    /// Whether the lake tells batch views, which answers are merged from.
    pub const fn merges(self) -> bool {
        matches!(self, Self::Lambda | Self::Full)
    }

    /// Whether a service is among them.
    pub fn has(self, part: ProfilePart) -> bool {
        self.parts().contains(&part)
    }
}
