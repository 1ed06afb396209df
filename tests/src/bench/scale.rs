//! How large a suite is that is measured, where it is not as it is by default.

use std::path::Path;

use tidemill::profile::SuiteProfile;

use super::settings::{REFERENCE_JOB, REFERENCE_METRIC};
use crate::{error::Error, service::Service};

/// What is set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scale {
    /// Partitions of the log.
    pub(super) partitions: Option<u64>,
    /// Metrics over invoice lines; one without.
    pub(super) metrics: u64,
    /// Rules over invoice lines beside the built-in ones, none of which fires: one
    /// half over events, the other over totals.
    pub(super) rules: u64,
    /// Interactions that recommendation keeps in each partition; without, it does not run.
    pub(super) interactions: Option<u64>,
    /// Whether the lake runs.
    pub(super) with_lake: bool,
    /// The part of the suite that runs, in place of what is said above.
    pub(super) profile: Option<SuiteProfile>,
    /// Seconds between two computations of gold; without, it is never computed.
    pub(super) gold_seconds: Option<u32>,
    /// Bytes that readers may have before them until senders are to wait.
    pub(super) backlog_bytes: Option<u64>,
}

const RULES: [(&str, &str); 2] = [
    ("fraud_detection", include_str!("../../../services/alert/rules/fraud_detection.yaml")),
    ("revenue_spike", include_str!("../../../services/alert/rules/revenue_spike.yaml")),
];

impl Scale {
    /// The services that run.
    pub(super) fn services(&self) -> Vec<Service> {
        if let Some(profile) = self.profile {
            return profile.parts().iter().map(|part| Service::of(*part)).collect();
        }
        let lake = self.with_lake.then_some(Service::Lake);
        Service::CHAIN.into_iter().chain(self.interactions.map(|_| Service::Recommendation)).chain(lake).collect()
    }

    /// How much less of a busy processor a service gets. Where recommendation is asked, the
    /// others weigh a third of it, as in a cluster: the chart requests 250 thousandths of a
    /// processor for it, and 75 for most of them. Five steps of nice(1) are a third.
    pub(super) const fn nice(&self, of: Service) -> u8 {
        match (self.interactions, of) {
            (None, _) | (Some(_), Service::Recommendation) => 0,
            (Some(_), _) => 5,
        }
    }

    /// Writes the metrics beyond the first into the folder of metrics.
    pub(super) fn write_metrics(&self, folder: &Path) -> Result<(), Error> {
        for n in 1..self.metrics {
            let name = format!("{REFERENCE_JOB}_{n}");
            let text = REFERENCE_METRIC.replacen(REFERENCE_JOB, &name, 1);
            write(folder, &name, &text)?;
        }
        Ok(())
    }

    /// Writes all rules into a folder.
    pub(super) fn write_rules(&self, folder: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        RULES.into_iter().try_for_each(|(name, text)| write(folder, name, text))?;
        for n in 0..self.rules {
            let over = match n % 2 {
                0 => "on: event\ntypes: [invoice.line]\nsignals:\n  - {name: many, when: \"data.quantity > 1000000.0\", score: 1}\n\
                      fire_at: 1\n"
                    .to_owned(),
                _ => format!("on: metric\nmetric: {REFERENCE_JOB}\ngroup_by: [category]\ncondition: \"quantity > 1e12\"\n"),
            };
            let head =
                format!("rule: BENCH_{n}\nseverity: info\ndescription: Never fires\ntitle: Never\nsummary: Never\n");
            write(folder, &format!("bench_{n}"), &(head + &over))?;
        }
        Ok(())
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Error> {
    let file = folder.join(format!("{name}.yaml"));
    std::fs::write(&file, text).map_err(Error::file(&file))
}
