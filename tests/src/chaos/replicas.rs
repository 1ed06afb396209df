//! How many processes each service has, and their programs.

use crate::service::Service;

/// How many processes each service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// Of ingestion.
    pub ingestion: u8,
    /// Of enrichment.
    pub enrichment: u8,
    /// Of aggregation.
    pub aggregation: u8,
    /// Of alert.
    pub alert: u8,
    /// Of reporting.
    pub reporting: u8,
    /// Of recommendation, which may be left out.
    pub recommendation: u8,
    /// Of the lake, which may be left out.
    pub lake: u8,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { ingestion: 2, enrichment: 3, aggregation: 3, alert: 2, reporting: 2, recommendation: 2, lake: 2 }
    }
}

impl Replicas {
    /// The same for every service.
    pub fn all(n: u8) -> Self {
        Self { ingestion: n, enrichment: n, aggregation: n, alert: n, reporting: n, recommendation: n, lake: n }
    }

    /// One number for all, or one for each service, in the order of [`Service::ALL`].
    pub fn given(numbers: &[u8]) -> Option<Self> {
        match *numbers {
            [n] => Some(Self::all(n)),
            [ingestion, enrichment, aggregation, alert, reporting, recommendation, lake] => {
                Some(Self { ingestion, enrichment, aggregation, alert, reporting, recommendation, lake })
            }
            _ => None,
        }
    }

    /// Of one service.
    pub fn of(&self, service: Service) -> u8 {
        match service {
            Service::Ingestion => self.ingestion,
            Service::Enrichment => self.enrichment,
            Service::Aggregation => self.aggregation,
            Service::Alert => self.alert,
            Service::Reporting => self.reporting,
            Service::Recommendation => self.recommendation,
            Service::Lake => self.lake,
        }
    }

    /// The numbers with commas between them, as they are given.
    pub(super) fn text(&self) -> String {
        Service::ALL.map(|service| self.of(service).to_string()).join(",")
    }

    /// Services that have any.
    pub(super) fn services(&self) -> impl Iterator<Item = Service> {
        Service::ALL.into_iter().filter(|service| self.of(*service) > 0)
    }

    /// Every replica's service and name, for instance `alert-2`.
    pub(super) fn names(&self) -> Vec<(Service, String)> {
        let of = |service: Service| (1..=self.of(service)).map(move |n| (service, format!("{service}-{n}")));
        self.services().flat_map(of).collect()
    }
}
