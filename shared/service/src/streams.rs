//! Keeps the suite's streams and buckets there: one that was deleted is made anew by whoever
//! sees it first.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use tidemill_bus::{Bus, Error, TopologyPart};
use tidemill_domain::Backoff;
use tidemill_events::StreamName;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Health;

/// The line in readiness.
const STREAMS: &str = "streams";
/// How often it is looked whether all are there; up to twice as long, so that replicas do not
/// look all at once.
const EVERY: Duration = Duration::from_secs(5);
/// Where a call finds one gone it is looked at once, but not more often than this: that nobody
/// answers a call may have other reasons.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Who looks, and for whom.
pub(crate) struct StreamsKeeper {
    pub(crate) service: &'static str,
    pub(crate) instance: Arc<str>,
    pub(crate) bus: Bus,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
}

impl StreamsKeeper {
    /// Looks every few seconds, and whenever a call finds a stream gone. Fails only where waiting
    /// cannot help.
    pub(crate) async fn run(self) -> Result<(), Error> {
        let every = EVERY + share_of(&self.instance, EVERY);
        let mut backoff = Backoff::new();
        let mut wait = every;
        loop {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.bus.found_missing() => {}
                () = self.shutdown.cancelled() => return Ok(()),
            }
            wait = match self.look().await {
                Ok(()) => {
                    backoff.succeeded();
                    every
                }
                Err(error) if error.is_transient() => backoff.failed(),
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = sleep(AT_MOST_EVERY) => {}
                () = self.shutdown.cancelled() => return Ok(()),
            }
        }
    }

    async fn look(&self) -> Result<(), Error> {
        // Whether NATS answers at all is told by who announces the instance.
        let missing = self.bus.missing().await?;
        if missing.is_empty() {
            self.all_there();
            return self.bus.same_partitions().await;
        }
        self.gone(&missing, "is being made anew");
        if let Err(error) = self.bus.make(&missing).await {
            self.gone(&missing, &error.to_string());
            return Err(error);
        }
        let streams = names(&missing);
        tracing::warn!(service = self.service, streams, "gone, and made anew: what was in them is lost");
        self.all_there();
        Ok(())
    }

    fn all_there(&self) {
        self.health.ready(STREAMS);
        self.health.withdraw_notice(STREAMS);
    }

    /// Without the log, or what it reads, a service does not do its work. What it writes it tells
    /// of by itself.
    fn gone(&self, missing: &[TopologyPart], then: &str) {
        let needed = |part: &TopologyPart| match part {
            TopologyPart::Stream(name) => *name == StreamName::Raw || name.readers().contains(self.service),
            TopologyPart::Members | TopologyPart::Leases | TopologyPart::Requests => false,
        };
        let told = format!("gone: {}; {then}", names(missing));
        if missing.iter().any(needed) {
            self.health.withdraw_notice(STREAMS);
            self.health.unready(STREAMS, told);
        } else {
            self.health.ready(STREAMS);
            self.health.notice(STREAMS, told);
        }
    }
}

/// A part of `whole` that is this instance's own.
fn share_of(instance: &str, whole: Duration) -> Duration {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(instance);
    whole * u32::from(hash.to_be_bytes()[0]) / u32::from(u8::MAX)
}

fn names(parts: &[TopologyPart]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
