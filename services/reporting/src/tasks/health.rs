//! Looks at the health of the chain; what changed is sent to the live stream.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tidemill_bus::Bus;
use tidemill_events::{Durable, StreamName};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    chain::{ChainHealth, DeadLetterRoom},
    state::Reporting,
};

const INTERVAL: Duration = Duration::from_secs(2);
/// Questions to NATS under way at once.
const AT_ONCE: usize = 16;

pub(super) async fn run(reporting: Arc<Reporting>) -> Result<(), Infallible> {
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
        let changed =
            *reporting.health.borrow() != ChainHealth { as_of: reporting.health.borrow().as_of, ..health.clone() };
        if changed && reporting.hub.is_watched() {
            reporting.hub.send("health", &health);
        }
        reporting.health.send_replace(health);
    }
}

async fn look(reporting: &Reporting) -> ChainHealth {
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
            Some(DeadLetterRoom::new(usage))
        }
        Err(error) => {
            tracing::debug!(%error, "the room for dead letters is not known");
            None
        }
    };
    ChainHealth::new(reporting.now(), members, lags, dead_letters, &reporting.links)
}

/// The lag of every consumer that is there.
async fn lags_of(bus: &Bus) -> Vec<(Durable, u64)> {
    use Durable::{
        Aggregation, AlertEvents, AlertMetrics, Enrichment, IngestionMeasured, IngestionRedrive, ReportingAlerts,
        ReportingDlq, ReportingGenerations, ReportingMetrics, ReportingRaw,
    };
    let by_partition = bus.partitions().all().flat_map(|p| [Enrichment(p), Aggregation(p), AlertEvents(p)]);
    let of_ingestion = [IngestionRedrive, IngestionMeasured];
    let whole = of_ingestion.into_iter().chain([
        AlertMetrics,
        ReportingMetrics,
        ReportingGenerations,
        ReportingAlerts,
        ReportingRaw,
        ReportingDlq,
    ]);
    stream::iter(by_partition.chain(whole))
        .map(|durable| async move { Some((durable, bus.lag(durable).await.ok()?)) })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |lag| lag)
        .collect()
        .await
}
