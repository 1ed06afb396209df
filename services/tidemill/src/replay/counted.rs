//! How many events a part of the log has.
//!
//! Each batch says in its headers how many it has, so a plan need not read them to know it.

use std::time::Duration;

use tidemill_bus::Bus;
use tidemill_domain::{Clock as _, SystemClock};
use tidemill_events::{Durable, RawBatch};
use tokio::time::timeout;

use super::error::ReplayError;

/// Batches that are looked at, at most: a second or two. What comes behind them is taken to be like them.
const MOST: u64 = 200_000;
/// Batches that are taken at once.
const CHUNK: usize = 256;
/// How long a batch may take that the log says it has.
const STILL: Duration = Duration::from_secs(5);

/// The events of a part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogEvents {
    pub(super) events: u64,
    /// Whether each batch was looked at. Where not, it never falls while the log grows at its end.
    pub(super) is_exact: bool,
}

impl LogEvents {
    /// Counts those of the batches behind one, up to another.
    pub(super) async fn count(bus: &Bus, (behind, last): (u64, u64)) -> Result<Self, ReplayError> {
        Self::count_most(bus, (behind, last), MOST).await
    }

    async fn count_most(bus: &Bus, (behind, last): (u64, u64), most: u64) -> Result<Self, ReplayError> {
        let batches = last.saturating_sub(behind);
        if batches == 0 {
            return Ok(Self { events: 0, is_exact: true });
        }
        let end = last.min(behind.saturating_add(most));
        let (mut reached, mut events) = (behind, 0_u64);
        let reader = format!("plan-{}-{}", std::process::id(), SystemClock.now().millis());
        let mut headers = bus.follow_behind(Durable::ReportingRaw, &reader, behind).await?;
        while reached < end {
            // The log may forget its end, by hand.
            let Ok(chunk) = timeout(STILL, headers.next_chunk(CHUNK)).await else { break };
            let chunk = chunk?;
            for delivery in chunk.iter().filter(|delivery| delivery.sequence <= end) {
                match delivery.decode::<RawBatch>() {
                    Ok(batch) => events += u64::from(batch.count()),
                    // The live enrichment has set it aside.
                    Err(tidemill_bus::Error::Decode(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(newest) = chunk.last() {
                reached = newest.sequence;
                newest.ack().await?;
            }
        }
        let looked_at = end - behind;
        let beyond = u128::from(events) * u128::from(batches - looked_at) / u128::from(looked_at);
        let events = events.saturating_add(u64::try_from(beyond).unwrap_or(u64::MAX));
        Ok(Self { events, is_exact: end == last })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidemill_bus::Config;
    use tidemill_domain::{Partition, Timestamp};
    use tidemill_testkit::TestNats;

    use super::*;

    async fn publish(bus: &Bus, of: std::ops::Range<u32>) {
        for n in of {
            let batch = RawBatch {
                batch_id: uuid::Uuid::from_u128(n.into()),
                partition: Partition::new(u16::try_from(n % 3).expect("fits")),
                ingested_at: Timestamp::EPOCH,
                sources: BTreeMap::from([("a".into(), n), ("b".into(), 1)]),
                redriven: Vec::new(),
                lines: "{}\n".repeat(n as usize + 1).into(),
                trace: None,
            };
            bus.publish(&batch).await.expect("is published");
        }
    }

    #[tokio::test]
    async fn the_events_of_the_log_are_counted_and_an_estimate_never_falls_while_it_grows() {
        let nats = TestNats::start().await;
        let bus = Bus::connect(&Config { url: nats.url(), ..Config::default() }, "counts").await.expect("connects");
        bus.ensure_topology().await.expect("streams");
        let none = LogEvents::count(&bus, (0, 0)).await.expect("counts");
        assert_eq!(none, LogEvents { events: 0, is_exact: true });
        // Larger and larger batches: some of them tell little of all.
        let (mut exact, mut estimates) = (0, Vec::new());
        for round in 0..6_u32 {
            publish(&bus, round * 50..round * 50 + 50).await;
            exact += (round * 50..round * 50 + 50).map(|n| u64::from(n + 1)).sum::<u64>();
            let (_, end) = bus.extent(tidemill_events::StreamName::Raw).await.expect("answers");
            let all = LogEvents::count(&bus, (0, end)).await.expect("counts");
            assert_eq!(all, LogEvents { events: exact, is_exact: true });
            let some = LogEvents::count_most(&bus, (0, end), 60).await.expect("counts");
            assert_eq!(some.is_exact, end <= 60);
            estimates.push(some.events);
        }
        assert!(estimates.is_sorted(), "{estimates:?}");
        let behind = LogEvents::count(&bus, (299, 300)).await.expect("counts");
        assert_eq!(behind.events, 300);
    }
}
