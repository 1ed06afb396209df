//! The health of the chain: who is there, and how far each stage is behind.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tidemill_bus::{Member, Usage};
use tidemill_domain::Timestamp;
use utoipa::ToSchema;

use crate::config::PageLinksConfig;

#[cfg(test)]
mod tests;

/// The stages that every event goes through, in their order.
const CHAIN: [&str; 5] = ["ingestion", "enrichment", "aggregation", "alert", "reporting"];

/// The health of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct ChainHealth {
    /// When it was looked at.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) as_of: Timestamp,
    /// `ok` while every service has an instance that does its work, and there is
    /// room for dead letters.
    pub(crate) status: Status,
    /// The services, in the order of the chain.
    pub(crate) services: Vec<ServiceHealth>,
    /// Messages that wait, by stage.
    pub(crate) stages: Vec<Stage>,
    /// The stream of dead letters; `null` while it is not known.
    pub(crate) dead_letters: Option<DeadLetterRoom>,
    /// Where other parts of the suite are.
    pub(crate) links: Links,
}

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It is.
    Ok,
    /// It is not.
    Degraded,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ServiceHealth {
    /// Its name.
    pub(crate) service: String,
    /// Its instances.
    pub(crate) instances: Vec<Instance>,
    /// Whether it has instances, and all do their work.
    pub(crate) ready: bool,
}

/// An instance of a service, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Instance {
    /// Its name.
    pub(crate) instance: String,
    /// The release that it runs.
    pub(crate) version: String,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: Timestamp,
    /// Whether it does its work.
    pub(crate) ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// How far a stage is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Stage {
    /// The service.
    pub(crate) stage: String,
    /// Messages that it has yet to acknowledge.
    pub(crate) lag: u64,
}

/// How full the stream of dead letters is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Room)]
pub(crate) struct DeadLetterRoom {
    /// Percent of its room that is taken.
    pub(crate) used_percent: u64,
    /// Whether ingestion keeps no more of them: rejected events are counted
    /// alone until some are discarded.
    pub(crate) full: bool,
}

impl DeadLetterRoom {
    /// Ingestion leaves the last quarter to the stages behind it.
    const FULL_PERCENT: u64 = 75;

    pub(crate) fn new(usage: Usage) -> Self {
        let percent = u128::from(usage.bytes) * 100 / u128::from(usage.max_bytes.max(1));
        let used_percent = u64::try_from(percent).unwrap_or(u64::MAX);
        Self { used_percent, full: used_percent >= Self::FULL_PERCENT }
    }
}

/// Where other parts of the suite are reached by a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Links {
    /// Jaeger's user interface.
    pub(crate) jaeger: Option<String>,
    /// Ingestion's API.
    pub(crate) ingestion: Option<String>,
}

impl ChainHealth {
    /// Before anything is known.
    pub(crate) fn unknown(as_of: Timestamp, links: &PageLinksConfig) -> Self {
        Self::new(as_of, Vec::new(), BTreeMap::new(), None, links)
    }

    pub(crate) fn new(
        as_of: Timestamp,
        members: Vec<Member>,
        lags: BTreeMap<&'static str, u64>,
        dead_letters: Option<DeadLetterRoom>,
        links: &PageLinksConfig,
    ) -> Self {
        let others: BTreeSet<&str> =
            members.iter().map(|member| &*member.service).filter(|service| !CHAIN.contains(service)).collect();
        let services: Vec<ServiceHealth> =
            CHAIN.into_iter().chain(others).map(|service| ServiceHealth::new(service, &members)).collect();
        let well = services.iter().all(|service| service.ready) && !dead_letters.is_some_and(|room| room.full);
        let lag = |stage: &&'static str| Some(Stage { stage: (*stage).into(), lag: *lags.get(stage)? });
        Self {
            as_of,
            status: if well { Status::Ok } else { Status::Degraded },
            services,
            stages: CHAIN.iter().filter_map(lag).collect(),
            dead_letters,
            links: Links { jaeger: links.jaeger.clone(), ingestion: links.ingestion.clone() },
        }
    }
}

impl ServiceHealth {
    fn new(service: &str, members: &[Member]) -> Self {
        let instance = |member: &Member| Instance {
            instance: member.instance.clone(),
            version: member.version.clone(),
            started_at: member.started_at,
            ready: member.ready,
            reason: member.reason.clone(),
        };
        let instances: Vec<_> = members.iter().filter(|member| member.service == service).map(instance).collect();
        let ready = !instances.is_empty() && instances.iter().all(|instance| instance.ready);
        Self { service: service.into(), instances, ready }
    }
}
