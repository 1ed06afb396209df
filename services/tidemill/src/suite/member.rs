//! The services of a suite.

use tidemill_aggregation::AggregationService;
use tidemill_alert::AlertService;
use tidemill_enrichment::EnrichmentService;
use tidemill_ingestion::IngestionService;
use tidemill_recommendation::RecommendationService;
use tidemill_reporting::ReportingService;
use tidemill_service::Service;

use super::watched::Defines;
use crate::profile::{ProfilePart, SuiteProfile};

/// A service of a suite, in the order of the chain, which is that of draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SuiteMember {
    Ingestion,
    Enrichment,
    Aggregation,
    Alert,
    Recommendation,
    Reporting,
}

impl SuiteMember {
    pub(super) const ALL: [Self; 6] =
        [Self::Ingestion, Self::Enrichment, Self::Aggregation, Self::Alert, Self::Recommendation, Self::Reporting];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ingestion => IngestionService::NAME,
            Self::Enrichment => EnrichmentService::NAME,
            Self::Aggregation => AggregationService::NAME,
            Self::Alert => AlertService::NAME,
            Self::Recommendation => RecommendationService::NAME,
            Self::Reporting => ReportingService::NAME,
        }
    }

    /// Those that a profile has; all without one.
    pub(super) fn of(profile: Option<SuiteProfile>) -> Vec<Self> {
        Self::ALL.into_iter().filter(|member| profile.is_none_or(|profile| profile.has(member.part()))).collect()
    }

    const fn part(self) -> ProfilePart {
        match self {
            Self::Ingestion => ProfilePart::Ingestion,
            Self::Enrichment => ProfilePart::Enrichment,
            Self::Aggregation => ProfilePart::Aggregation,
            Self::Alert => ProfilePart::Alert,
            Self::Recommendation => ProfilePart::Recommendation,
            Self::Reporting => ProfilePart::Reporting,
        }
    }

    /// Those that have to start anew to work with other definitions. Ingestion
    /// exchanges its schemas while it runs, and recommendation its rules.
    pub(super) const fn reading(defines: Defines) -> &'static [Self] {
        match defines {
            Defines::Schemas | Defines::Recommendation => &[],
            Defines::Metrics => &[Self::Aggregation, Self::Alert, Self::Reporting],
            Defines::Rules => &[Self::Alert],
            Defines::Learning => &[Self::Recommendation],
            Defines::Shop | Defines::Countries | Defines::Reference => &[Self::Enrichment],
        }
    }
}
