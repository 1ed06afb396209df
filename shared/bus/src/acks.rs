//! What the server is yet to hear of messages that are done with.

use async_nats::jetstream::message::Acker;
use futures::future::try_join_all;
use tokio::time::{Duration, Instant};

use crate::{Delivery, Error};

/// How often a server hears how far a reader is that keeps its own place: often
/// enough for those who watch the lag, and a hundredth of the messages.
const EVERY: Duration = Duration::from_millis(500);
/// Messages after which it hears of them all the same: it hands out only so many
/// that are not acknowledged.
const AT_LEAST: usize = 128;

/// Deliveries of one subscription that are done with, without their bodies, until
/// the server has been told.
///
/// A reader that keeps its own place says at most twice a second how far it is,
/// and waits for no answer: nothing depends on it but what is told of its lag.
/// For the others each message is acknowledged at once, and the server's
/// confirmation waited for.
#[derive(Default)]
pub struct Acks {
    /// The one that stands for all before it, and its sequence.
    last: Option<(u64, Acker)>,
    /// How many it stands for.
    count: usize,
    /// Those that are acknowledged one by one.
    each: Vec<Acker>,
    told_at: Option<Instant>,
}

impl Acks {
    /// Takes note of a delivery whose effect is in the store.
    pub fn add(&mut self, delivery: Delivery) {
        let Delivery { acker, sequence, is_by_itself, .. } = delivery;
        let Some(acker) = acker else { return };
        if is_by_itself {
            return self.each.push(acker);
        }
        self.count += 1;
        if self.last.as_ref().is_none_or(|(last, _)| *last < sequence) {
            self.last = Some((sequence, acker));
        }
    }

    /// When to tell the server. `None` if there is nothing to tell.
    pub fn due(&self) -> Option<Instant> {
        if !self.each.is_empty() || self.count >= AT_LEAST {
            return Some(Instant::now());
        }
        self.last.as_ref().map(|_| self.told_at.map_or_else(Instant::now, |told| told + EVERY))
    }

    /// Tells the server, if it is time.
    pub async fn tell_in_time(&mut self) -> Result<(), Error> {
        match self.due() {
            Some(due) if due <= Instant::now() => self.tell().await,
            _ => Ok(()),
        }
    }

    /// Tells the server all there is.
    pub async fn tell(&mut self) -> Result<(), Error> {
        let each = std::mem::take(&mut self.each);
        try_join_all(each.iter().map(Acker::double_ack)).await.map_err(failed)?;
        if let Some(last) = self.take_last() {
            last.ack().await.map_err(failed)?;
        }
        Ok(())
    }

    /// Tells the server all there is, and waits until it knows.
    pub async fn settle(&mut self) -> Result<(), Error> {
        let last = self.take_last();
        let each = std::mem::take(&mut self.each);
        try_join_all(each.iter().chain(&last).map(Acker::double_ack)).await.map(|_| ()).map_err(failed)
    }

    fn take_last(&mut self) -> Option<Acker> {
        self.count = 0;
        let (_, last) = self.last.take()?;
        self.told_at = Some(Instant::now());
        Some(last)
    }
}

fn failed(error: async_nats::Error) -> Error {
    Error::Ack(error.to_string())
}
