//! How far the stages behind are behind.
//!
//! `ENRICHED` and `METRICS` forget their oldest messages when they are full. What was
//! not read by then is made once more from the log, which takes longer than to read it.
//! So ingestion takes in no more while the readers of a stream have half of its room
//! before them: the senders wait, who have the events.

use std::{
    collections::{BTreeSet, HashSet},
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tidemill_bus::{Bus, Usage};
use tidemill_domain::PartitionCount;
use tidemill_events::{Durable, StreamName};
use tidemill_service::Context;
use tokio::time::{MissedTickBehavior, interval};

use crate::{config::BacklogOf, error::Error, telemetry::Telemetry};

/// How often the readers are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// The streams on the way to a number. Alert, which makes none, holds nobody up.
const WAY: [StreamName; 3] = [StreamName::Raw, StreamName::Enriched, StreamName::Metrics];

/// What waits for the stages behind.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Bytes that may wait in a stream; half of its room where that is less.
    most: u64,
    /// A stream in which more waits.
    behind: RwLock<Option<StreamName>>,
}

impl Backlog {
    /// Nobody is behind, until it was looked at.
    pub(crate) fn new(most: Option<u64>) -> Self {
        Self { most: most.unwrap_or(u64::MAX), behind: RwLock::default() }
    }

    /// Refuses a request while later stages are behind.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match *self.behind.read().unwrap_or_else(PoisonError::into_inner) {
            Some(stream) => Err(Error::Backlog { stream }),
            None => Ok(()),
        }
    }

    fn look(&self, waiting: impl IntoIterator<Item = (StreamName, Usage)>) {
        let is_behind = |usage: &Usage| usage.bytes >= self.most.min(usage.max_bytes / 2);
        let behind = waiting.into_iter().find(|(_, usage)| is_behind(usage)).map(|(stream, _)| stream);
        let mut known = self.behind.write().unwrap_or_else(PoisonError::into_inner);
        match (*known, behind) {
            (None, Some(stream)) => tracing::warn!(%stream, "later stages are behind: requests are answered 429"),
            (Some(_), None) => tracing::info!("later stages have caught up: requests are taken in"),
            _ => {}
        }
        *known = behind;
    }
}

/// Who of these services reads a stream on the way to a number.
fn readers(stream: StreamName, of: &BTreeSet<BacklogOf>, partitions: PartitionCount) -> HashSet<String> {
    let of_service = |service: &BacklogOf| -> Vec<Durable> {
        match service {
            BacklogOf::Enrichment => partitions.all().map(Durable::Enrichment).collect(),
            BacklogOf::Aggregation => partitions.all().map(Durable::Aggregation).collect(),
            BacklogOf::Reporting => vec![Durable::ReportingMetrics],
            BacklogOf::Lake => partitions.all().map(Durable::LakeSilver).collect(),
        }
    };
    let all = of.iter().flat_map(of_service);
    all.filter(|durable| durable.stream() == stream).map(Durable::name).collect()
}

/// Looks at the readers until shutdown. While nobody knows, what was known holds.
pub(crate) async fn watch(
    backlog: Arc<Backlog>,
    of: BTreeSet<BacklogOf>,
    context: Context,
    bus: Bus,
    telemetry: Arc<Telemetry>,
) -> Result<(), Infallible> {
    let readers: Vec<_> = WAY
        .map(|stream| (stream, readers(stream, &of, bus.partitions())))
        .into_iter()
        .filter(|(_, readers)| !readers.is_empty())
        .collect();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        let mut waiting = Vec::with_capacity(readers.len());
        for (stream, readers) in &readers {
            match bus.unread(*stream, readers).await {
                Ok(usage) => {
                    telemetry.backlog(*stream, usage.bytes);
                    waiting.push((*stream, usage));
                }
                Err(error) => tracing::debug!(%stream, %error, "what waits for readers is not known"),
            }
        }
        if waiting.len() == readers.len() {
            backlog.look(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_streams_room_may_wait_or_what_is_set() {
        let usage = |bytes| Usage { bytes, max_bytes: 1_000 };
        let refusal = |most, enriched, metrics| {
            let backlog = Backlog::new(most);
            assert_eq!(backlog.check(), Ok(()));
            backlog.look([(StreamName::Enriched, usage(enriched)), (StreamName::Metrics, usage(metrics))]);
            let refused = backlog.check().err();
            backlog.look([(StreamName::Enriched, usage(0)), (StreamName::Metrics, usage(0))]);
            assert_eq!(backlog.check(), Ok(()), "they have caught up");
            refused
        };
        let behind = |stream| Some(Error::Backlog { stream });
        assert_eq!(refusal(None, 499, 499), None);
        assert_eq!(refusal(None, 500, 0), behind(StreamName::Enriched));
        assert_eq!(refusal(None, 0, 2_000), behind(StreamName::Metrics));
        assert_eq!(refusal(Some(100), 99, 99), None);
        assert_eq!(refusal(Some(100), 0, 100), behind(StreamName::Metrics));
        assert_eq!(refusal(Some(5_000), 0, 500), behind(StreamName::Metrics));
    }

    #[test]
    fn those_on_the_way_to_a_number_are_looked_at_where_they_run() {
        let partitions = PartitionCount::try_from(2).expect("a count");
        let names = |of: &BTreeSet<BacklogOf>| {
            WAY.map(|stream| {
                let mut names: Vec<_> = readers(stream, of, partitions).into_iter().collect();
                names.sort();
                names.join(" ")
            })
        };
        let all = crate::config::RequestLimitsConfig::default().backlog_of;
        assert_eq!(names(&all), ["enrichment-0 enrichment-1", "aggregation-0 aggregation-1", "reporting-metrics"]);
        let layers = BTreeSet::from([BacklogOf::Enrichment, BacklogOf::Lake]);
        assert_eq!(names(&layers), ["enrichment-0 enrichment-1", "lake-silver-0 lake-silver-1", ""]);
    }
}
