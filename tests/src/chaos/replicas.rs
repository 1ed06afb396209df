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
}

impl Default for Replicas {
    fn default() -> Self {
        Self { ingestion: 2, enrichment: 3, aggregation: 3, alert: 2, reporting: 2 }
    }
}

impl Replicas {
    /// The same for every service.
    pub fn all(n: u8) -> Self {
        Self { ingestion: n, enrichment: n, aggregation: n, alert: n, reporting: n }
    }

    /// Of one service.
    pub fn of(&self, service: Service) -> u8 {
        match service {
            Service::Ingestion => self.ingestion,
            Service::Enrichment => self.enrichment,
            Service::Aggregation => self.aggregation,
            Service::Alert => self.alert,
            Service::Reporting => self.reporting,
        }
    }

    /// Every replica's service and name, for instance `alert-2`.
    pub(super) fn names(&self) -> Vec<(Service, String)> {
        let of = |service: Service| (1..=self.of(service)).map(move |n| (service, format!("{service}-{n}")));
        Service::ALL.into_iter().flat_map(of).collect()
    }
}
