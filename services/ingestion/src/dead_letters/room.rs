//! How much room the stream of dead letters has left for ingestion.
//!
//! The stages behind it give an accepted event up only once its letter is
//! stored: without room for that they would stand still. So ingestion leaves
//! them a fifth of the stream, whatever comes in at the door.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tidemill_bus::{Bus, Usage};
use tidemill_events::StreamName;
use tidemill_service::{Context, Health};
use tokio::time::{MissedTickBehavior, interval};

use crate::telemetry::Telemetry;

/// How often the stream is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// The share of the stream that letters may fill.
const FOR_LETTERS: (u64, u64) = (3, 4);
/// The share that counts of what is not kept may fill.
const FOR_COUNTS: (u64, u64) = (4, 5);
/// Under which name readiness gives notice of it.
const NAME: &str = "dead_letters";

/// What is known of the stream.
#[derive(Debug)]
pub(crate) struct LetterRoom {
    used: AtomicU64,
    limit: AtomicU64,
    /// The server has refused a letter since the last look.
    refused: AtomicBool,
}

impl Default for LetterRoom {
    /// Enough, until the stream was looked at.
    fn default() -> Self {
        Self { used: AtomicU64::new(0), limit: AtomicU64::new(u64::MAX), refused: AtomicBool::new(false) }
    }
}

impl LetterRoom {
    /// Whether there is room for letters.
    pub(crate) fn has_room(&self) -> bool {
        self.is_below(FOR_LETTERS)
    }

    /// Whether there is room for counts of what is not kept.
    pub(crate) fn has_room_for_counts(&self) -> bool {
        self.is_below(FOR_COUNTS)
    }

    fn is_below(&self, share: (u64, u64)) -> bool {
        let usage = Usage { bytes: self.used.load(Ordering::Relaxed), max_bytes: self.limit.load(Ordering::Relaxed) };
        !self.refused.load(Ordering::Relaxed) && usage.is_below(share)
    }

    /// So much more is in the stream.
    pub(crate) fn took(&self, bytes: usize) {
        self.used.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The server has refused a letter.
    pub(crate) fn found_full(&self, health: &Health, telemetry: &Telemetry) {
        self.refused.store(true, Ordering::Relaxed);
        self.tell(health, telemetry);
    }

    fn look(&self, usage: Usage) {
        self.limit.store(usage.max_bytes, Ordering::Relaxed);
        self.used.store(usage.bytes, Ordering::Relaxed);
        self.refused.store(false, Ordering::Relaxed);
    }

    /// Tells whether letters are kept. That they are not takes nobody out of
    /// service: events are taken in all the same.
    fn tell(&self, health: &Health, telemetry: &Telemetry) {
        let full = !self.has_room();
        telemetry.dead_letters_full(full);
        match full {
            true => health.notice(
                NAME,
                "the stream of dead letters is full: rejected events are counted, and not kept; discard some",
            ),
            false => health.withdraw_notice(NAME),
        }
    }
}

/// Looks at the stream until shutdown.
pub(crate) async fn watch(
    room: Arc<LetterRoom>,
    context: Context,
    bus: Bus,
    telemetry: Arc<Telemetry>,
) -> Result<(), Infallible> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        match bus.usage(StreamName::Dlq).await {
            Ok(usage) => {
                room.look(usage);
                room.tell(&context.health, &telemetry);
            }
            Err(error) => tracing::debug!(%error, "the room for dead letters is not known"),
        }
    }
}

#[cfg(test)]
mod tests;
