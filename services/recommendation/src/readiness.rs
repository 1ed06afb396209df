//! When the service is ready: once it has learnt what the log had when it started. From then
//! on it answers from memory, whatever is away.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use tidemill_domain::Partition;
use tidemill_events::{EnrichedBatch, topology};
use tidemill_service::Health;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{app::Recommender, error::Error};

/// The line in readiness.
const INDEX: &str = "index";
/// What an index that is in memory answers without.
const DISPENSABLE: [&str; 7] =
    ["nats", "streams", "store", "partition", "learner", "enriched_gap", "standing_partition"];
/// How often it is looked how far it is learnt.
const LOOK: Duration = Duration::from_millis(200);
/// An index that is not whole answers all the same after so long: better than none.
const AT_MOST: Duration = Duration::from_secs(120);

/// The end of each partition that has anything. One that cannot be read is not waited for:
/// it cannot be learnt either.
pub(crate) async fn log_ends(app: &Recommender) -> Result<BTreeMap<Partition, u64>, Error> {
    let mut ends = BTreeMap::new();
    for partition in app.bus.partitions().all() {
        match app.nats.call(app.bus.last::<EnrichedBatch>(&topology::enriched(partition))).await {
            Ok(Some(last)) => {
                app.erasures.catch_up_to(last.message.ingested_at, app.now());
                ends.insert(partition, last.message.raw_seq);
            }
            Ok(None) | Err(tidemill_bus::Error::Decode(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ends)
}

/// Waits until each partition is learnt up to its end as of the start.
pub(crate) async fn catch_up(app: Arc<Recommender>, mut catching_up: CatchingUp) -> Result<(), Infallible> {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
        let state = app.model.read();
        let reached = |partition| state.places.get(&partition).map_or(0, |place| place.raw_seq);
        if catching_up.look(reached) {
            return Ok(());
        }
    }
}

/// What is yet to be learnt of what the log had when the service started.
pub(crate) struct CatchingUp {
    health: Health,
    ends: BTreeMap<Partition, u64>,
    until: Instant,
}

impl CatchingUp {
    /// The service is not ready from here on, until all of that is learnt.
    pub(crate) fn new(health: &Health, ends: BTreeMap<Partition, u64>) -> Self {
        health.does_without(&DISPENSABLE);
        health.unready(INDEX, "what the log has is being learnt");
        Self { health: health.clone(), ends, until: Instant::now() + AT_MOST }
    }

    /// Whether that is all. `reached` tells the last batch of a partition that is learnt.
    fn look(&mut self, reached: impl Fn(Partition) -> u64) -> bool {
        self.ends.retain(|partition, end| reached(*partition) < *end);
        let Some((partition, end)) = self.ends.first_key_value() else {
            self.health.withdraw_notice(INDEX);
            self.health.ready(INDEX);
            return true;
        };
        let reached = reached(*partition);
        let told = format!("partition {partition} is learnt up to {reached}, and the log went to {end} at the start");
        if Instant::now() < self.until {
            self.health.unready(INDEX, told);
        } else {
            self.health.notice(INDEX, told);
            self.health.ready(INDEX);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_once_all_of_the_log_is_learnt_or_after_a_while() {
        let health = Health::default();
        let [zero, one] = [0, 1].map(Partition::new);
        let mut catching_up = CatchingUp::new(&health, [(zero, 5), (one, 7)].into());
        health.unready("store", "away");
        assert!(!catching_up.look(|_| 5));
        let told = "partition 1 is learnt up to 5, and the log went to 7 at the start";
        assert_eq!(health.problems(), [(INDEX, told.to_owned())].into());
        advance(AT_MOST).await;
        assert!(!catching_up.look(|_| 5));
        assert!(health.is_ready());
        assert_eq!(health.notices(), [(INDEX, told.to_owned()), ("store", "away".to_owned())].into());
        assert!(catching_up.look(|_| 7));
        health.ready("store");
        assert!(health.is_ready() && health.notices().is_empty());
        assert!(CatchingUp::new(&health, BTreeMap::new()).look(|_| 0), "nothing is in the log");
        assert!(health.is_ready());
    }
}
