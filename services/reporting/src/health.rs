//! The health of the chain: who is there, and how far each stage is behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use serde::Serialize;
use tidemill_bus::{Bus, Member, Usage};
use tidemill_domain::Timestamp;
use tidemill_events::{Durable, StreamName};
use tokio::time::{MissedTickBehavior, interval};
use utoipa::ToSchema;

use crate::{config::LinksConfig, state::Reporting};

const INTERVAL: Duration = Duration::from_secs(2);
/// Questions to NATS under way at once.
const AT_ONCE: usize = 16;
/// The stages that every event goes through, in their order.
const CHAIN: [&str; 5] = ["ingestion", "enrichment", "aggregation", "alert", "reporting"];

/// The health of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// When it was looked at.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// `ok` while every service has an instance that does its work, and there is
    /// room for dead letters.
    pub status: Status,
    /// The services, in the order of the chain.
    pub services: Vec<ServiceHealth>,
    /// Messages that wait, by stage.
    pub stages: Vec<Stage>,
    /// The stream of dead letters; `null` while it is not known.
    pub dead_letters: Option<Room>,
    /// Where other parts of the suite are.
    pub links: Links,
}

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Ok,
    /// It is not.
    Degraded,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServiceHealth {
    /// Its name.
    pub service: String,
    /// Its instances.
    pub instances: Vec<Instance>,
    /// Whether it has instances, and all do their work.
    pub ready: bool,
}

/// An instance of a service, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Instance {
    /// Its name.
    pub instance: String,
    /// The release that it runs.
    pub version: String,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Whether it does its work.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a stage is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stage {
    /// The service.
    pub stage: String,
    /// Messages that it has yet to acknowledge.
    pub lag: u64,
}

/// How full the stream of dead letters is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Room {
    /// Percent of its room that is taken.
    pub used_percent: u64,
    /// Whether ingestion keeps no more of them: rejected events are counted
    /// alone until some are discarded.
    pub full: bool,
}

impl Room {
    /// Ingestion leaves the last quarter to the stages behind it.
    const FULL_PERCENT: u64 = 75;

    fn new(usage: Usage) -> Self {
        let percent = u128::from(usage.bytes) * 100 / u128::from(usage.max_bytes.max(1));
        let used_percent = u64::try_from(percent).unwrap_or(u64::MAX);
        Self { used_percent, full: used_percent >= Self::FULL_PERCENT }
    }
}

/// Where other parts of the suite are reached by a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Links {
    /// Jaeger's user interface.
    pub jaeger: Option<String>,
    /// Ingestion's API.
    pub ingestion: Option<String>,
}

impl Health {
    /// Before anything is known.
    pub fn unknown(as_of: Timestamp, links: &LinksConfig) -> Self {
        Self::new(as_of, Vec::new(), BTreeMap::new(), None, links)
    }

    fn new(
        as_of: Timestamp,
        members: Vec<Member>,
        lags: BTreeMap<&'static str, u64>,
        dead_letters: Option<Room>,
        links: &LinksConfig,
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

/// Looks at the chain until shutdown; what changed is sent to the live stream.
pub async fn run(reporting: Arc<Reporting>) -> Result<(), Infallible> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        }
        let health = tokio::select! {
            health = look(&reporting) => health,
            () = reporting.context.shutdown.cancelled() => return Ok(()),
        };
        let changed = *reporting.health.borrow() != Health { as_of: reporting.health.borrow().as_of, ..health.clone() };
        if changed && reporting.hub.is_watched() {
            reporting.hub.send("health", &health);
        }
        reporting.health.send_replace(health);
    }
}

async fn look(reporting: &Reporting) -> Health {
    let members = reporting.bus.members().await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the members are not known");
        Vec::new()
    });
    let mut lags: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (durable, lag) in lags_of(&reporting.bus).await {
        *lags.entry(durable.service()).or_default() += lag;
        if durable.service() == "reporting" {
            reporting.telemetry.lag(durable, lag);
        }
    }
    let dead_letters = match reporting.bus.usage(StreamName::Dlq).await {
        Ok(usage) => {
            reporting.telemetry.dead_letter_room(usage);
            Some(Room::new(usage))
        }
        Err(error) => {
            tracing::debug!(%error, "the room for dead letters is not known");
            None
        }
    };
    Health::new(reporting.now(), members, lags, dead_letters, &reporting.links)
}

/// The lag of every consumer that is there.
async fn lags_of(bus: &Bus) -> Vec<(Durable, u64)> {
    use Durable::{
        Aggregation, AlertEvents, AlertMetrics, Enrichment, IngestionRedrive, ReportingAlerts, ReportingDlq,
        ReportingMetrics, ReportingRaw,
    };
    let by_partition = bus.partitions().all().flat_map(|p| [Enrichment(p), Aggregation(p), AlertEvents(p)]);
    let whole = [IngestionRedrive, AlertMetrics, ReportingMetrics, ReportingAlerts, ReportingRaw, ReportingDlq];
    stream::iter(by_partition.chain(whole))
        .map(|durable| async move { Some((durable, bus.lag(durable).await.ok()?)) })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |lag| lag)
        .collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn member(service: &str, instance: &str, ready: bool) -> Member {
        let reason = (!ready).then(|| "store: away".into());
        let (service, instance) = (service.into(), instance.into());
        Member { service, instance, version: "0.1.0".into(), started_at: at(0), ready, shares: true, reason }
    }

    #[test]
    fn the_chain_is_as_healthy_as_its_weakest_service() {
        let all = || CHAIN.map(|service| member(service, "a", true)).to_vec();
        let with = |members, bytes| {
            let room = Room::new(Usage { bytes, max_bytes: 1000 });
            Health::new(at(0), members, BTreeMap::from([("alert", 3)]), Some(room), &LinksConfig::default())
        };
        let of = |members| with(members, 749);
        assert_eq!(of(all()).status, Status::Ok);
        let full = with(all(), 750);
        assert_eq!((full.status, full.dead_letters), (Status::Degraded, Some(Room { used_percent: 75, full: true })));
        assert_eq!(of(all()).stages, [Stage { stage: "alert".into(), lag: 3 }]);
        assert_eq!(of(all()[1..].to_vec()).status, Status::Degraded, "one is missing");
        let mut unready = all();
        unready.push(member("alert", "b", false));
        assert_eq!(of(unready).status, Status::Degraded);
        let mut more = all();
        more.push(member("recommendation", "a", true));
        assert_eq!(of(more).services[5].service, "recommendation");
    }
}
