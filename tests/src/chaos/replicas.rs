//! How many processes each service has, and their programs.

use std::{fs, path::Path};

use crate::{error::Error, service::Service};

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

/// Puts the services' programs into `folder`: from where this program is, or
/// from the folder above, as cargo lays them out. A build during the run then
/// changes nothing in it.
pub(super) fn stage_binaries(folder: &Path) -> Result<(), Error> {
    let own = std::env::current_exe().map_err(Error::program("this program"))?;
    let beside = own.ancestors().skip(1).take(2);
    let complete = |folder: &&Path| Service::ALL.iter().all(|service| folder.join(service.binary()).is_file());
    let Some(source) = beside.clone().find(complete) else {
        let place = beside.last().unwrap_or(&own);
        let missing = Service::ALL.iter().map(|s| s.binary()).filter(|name| !place.join(name).is_file());
        return Err(Error::Binaries { folder: place.into(), missing: missing.collect::<Vec<_>>().join(", ") });
    };
    fs::create_dir_all(folder).map_err(Error::file(folder))?;
    for service in Service::ALL {
        let (from, to) = (source.join(service.binary()), folder.join(service.binary()));
        // A build replaces a program's file; it does not write into it.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(Error::file(&from))?;
    }
    Ok(())
}
