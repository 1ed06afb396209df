//! Whether the log is still the one that a service has read.
//!
//! A log that was emptied, or exchanged, counts from the beginning: what it has up to the
//! place that is done would be taken for done. So whoever opens a reader compares both.
//! A stream that is made anew has lost its consumers, and so all its readers open it again.
//! A stream that forgets messages, by age or by hand, keeps the sequence of its last one.

use std::time::Duration;

use tidemill_bus::{Bus, Delivery, Error as BusError};
use tidemill_domain::Timestamp;
use tidemill_events::{RawBatch, StreamName};
use tidemill_service::Context;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::Source;

/// How often the end of the log is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// A batch of the log up to which everything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogPlace {
    /// Its sequence in `RAW`; 0 before the first.
    pub raw_seq: u64,
    /// When ingestion took it in: two logs may both have the sequence, and do not have the
    /// same batch there.
    pub ingested: Ingested,
}

/// What is known of when ingestion took a batch in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ingested {
    /// Nothing.
    #[default]
    Unknown,
    /// It was then.
    At(Timestamp),
    /// It was then, or before.
    By(Timestamp),
}

impl Ingested {
    /// At a time that may be unknown.
    pub fn at(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Unknown, Self::At)
    }

    /// What is wrong with a batch that came in at this time.
    fn unlike(self, found: Timestamp) -> Option<String> {
        match self {
            Self::At(time) if found != time => Some(format!("that which was done came in at {time}")),
            Self::By(time) if found > time => Some(format!("nothing that was done came in after {time}")),
            Self::Unknown | Self::At(_) | Self::By(_) => None,
        }
    }
}

/// What there is to compare a place with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStanding {
    /// It is the log that was read, as far as can be told.
    Same,
    /// It never had a batch. It cannot be the one that was read, but there is nothing yet
    /// that could be taken for done.
    Empty,
}

impl LogPlace {
    /// A place of which the sequence alone is known.
    pub const fn at(raw_seq: u64) -> Self {
        Self { raw_seq, ingested: Ingested::Unknown }
    }

    /// Compares it with the log. Fails with [`BusError::ForeignLog`] where it is a place of
    /// another one.
    pub async fn compare(self, bus: &Bus) -> Result<LogStanding, BusError> {
        if self.raw_seq == 0 {
            return Ok(LogStanding::Same);
        }
        match bus.end(StreamName::Raw).await? {
            0 => Ok(LogStanding::Empty),
            end => self.compare_with(bus, end).await.map(|()| LogStanding::Same),
        }
    }

    /// The same where nobody compares again before the log is read: an empty one is another.
    pub async fn belongs_to(self, bus: &Bus) -> Result<(), BusError> {
        match self.raw_seq {
            0 => Ok(()),
            _ => self.compare_with(bus, bus.end(StreamName::Raw).await?).await,
        }
    }

    async fn compare_with(self, bus: &Bus, end: u64) -> Result<(), BusError> {
        let Self { raw_seq, ingested } = self;
        let foreign = |reason| Err(BusError::ForeignLog { stream: StreamName::Raw.as_str(), reason });
        if end < raw_seq {
            return foreign(format!("ends at {end}, before {raw_seq} that was done"));
        }
        if ingested == Ingested::Unknown {
            return Ok(());
        }
        match bus.message_at::<RawBatch>(raw_seq).await {
            Ok(Some(found)) => match ingested.unlike(found.message.ingested_at) {
                Some(known) => {
                    foreign(format!("has at {raw_seq} what came in at {}, and {known}", found.message.ingested_at))
                }
                None => Ok(()),
            },
            // The log has forgotten it, or it is of another release.
            Ok(None) | Err(BusError::Decode(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A reader of what is made from the log. It looks every few seconds whether the log is
/// still the one whose place it was opened with, and hands nothing out of another.
pub struct OfLog<S> {
    source: S,
    bus: Bus,
    done: LogPlace,
    /// The log had no batch when it was last looked at. It is looked at again before
    /// anything is handed out.
    was_empty: bool,
    look_at: Instant,
    /// What has come, and is not handed out yet.
    held: Vec<Delivery>,
}

impl<S: Source<Error = BusError>> OfLog<S> {
    /// Compares the log with the place up to which everything is done, and opens the
    /// reader.
    pub async fn open(
        bus: &Bus,
        done: LogPlace,
        source: impl Future<Output = Result<S, BusError>>,
    ) -> Result<Self, BusError> {
        let was_empty = done.compare(bus).await? == LogStanding::Empty;
        let (source, bus, look_at) = (source.await?, bus.clone(), Instant::now() + EVERY);
        Ok(Self { source, bus, done, was_empty, look_at, held: Vec::new() })
    }

    async fn look(&mut self) -> Result<(), BusError> {
        // The batch there is compared once: it may be large, and a log does not change it.
        let done = if self.was_empty { self.done } else { LogPlace::at(self.done.raw_seq) };
        self.was_empty = done.compare(&self.bus).await? == LogStanding::Empty;
        Ok(())
    }
}

impl<S: Source<Error = BusError>> Source for OfLog<S> {
    type Error = BusError;

    async fn next_chunk(&mut self, most: usize) -> Result<Vec<Delivery>, BusError> {
        while self.held.is_empty() {
            if self.look_at <= Instant::now() {
                self.look_at = Instant::now() + EVERY;
                match self.look().await {
                    foreign @ Err(BusError::ForeignLog { .. }) => foreign?,
                    // What comes next says so, or readiness does.
                    Err(error) => tracing::debug!(%error, "the end of the log is unknown"),
                    Ok(()) => {}
                }
            }
            tokio::select! {
                chunk = self.source.next_chunk(most) => self.held = chunk?,
                () = sleep_until(self.look_at) => {}
            }
        }
        if self.was_empty {
            self.look().await?;
        }
        let most = most.min(self.held.len());
        Ok(self.held.drain(..most).collect())
    }
}

/// Looks every few seconds whether the log is still the one of which `done` tells the last
/// batch. The log may lose its disk while the service runs, and is made anew.
pub async fn watch_log(context: Context, bus: Bus, done: impl Fn() -> LogPlace) -> Result<(), BusError> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        match done().compare(&bus).await {
            Ok(_) => {}
            foreign @ Err(BusError::ForeignLog { .. }) => return foreign.map(|_| ()),
            // Readiness says so.
            Err(error) => tracing::debug!(%error, "the end of the log is unknown"),
        }
    }
}
