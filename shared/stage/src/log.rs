//! Whether the log is still the one that a service has read.

use std::time::Duration;

use tidemill_bus::{Bus, Error as BusError};
use tidemill_events::StreamName;
use tidemill_service::Context;
use tokio::time::{MissedTickBehavior, interval};

/// How often the end of the log is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// The log ends before a batch of it that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("foreign_log: the log ends at {end}, before {reached} that was done: the store belongs to another log")]
pub struct ForeignLog {
    reached: u64,
    end: u64,
}

/// Whether the log is another one than that of which a batch with the sequence `reached` was
/// done. What a new log has up to there would be taken for done.
///
/// A log that never had a batch is not complained of: nothing is passed over yet.
pub async fn foreign_log(bus: &Bus, reached: u64) -> Result<Option<ForeignLog>, BusError> {
    let end = bus.end(StreamName::Raw).await?;
    Ok((0 < end && end < reached).then_some(ForeignLog { reached, end }))
}

/// Looks every few seconds whether the log is still the one of which `reached` tells the last
/// batch that is done. The log may lose its disk while the service runs, and is made anew.
pub async fn watch_log(context: Context, bus: Bus, reached: impl Fn() -> u64) -> Result<(), ForeignLog> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        match foreign_log(&bus, reached()).await {
            Ok(None) => {}
            Ok(Some(foreign)) => return Err(foreign),
            // Readiness says so.
            Err(error) => tracing::debug!(%error, "the end of the log is unknown"),
        }
    }
}
