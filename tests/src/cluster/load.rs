//! A steady load: the shop's tills send so many events a second, through
//! forwards, until they are told to stop or everything is sent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    error::Error,
    journal::Journal,
    shop::{
        dataset::Row,
        till::{Done, Pace, Tally, Till, Traces},
        traffic::{Expected, SHOP_SOURCE, Traffic},
    },
};

/// The most events of a batch: at a few hundred a second a batch is sent every
/// few milliseconds, not one a minute.
const LARGEST_BATCH: usize = 120;
/// How often more events are let go.
const TICK: Duration = Duration::from_millis(50);

/// How much of a rest is caught up with after nobody could send.
const MOST_BEHIND: Duration = Duration::from_secs(10);
const MILLION: u64 = 1_000_000;

/// What everything is sent with.
pub(super) struct Way {
    /// Where ingestion is reached.
    pub(super) doors: Vec<SocketAddr>,
    /// What opens them.
    pub(super) key: String,
    /// Events a second.
    pub(super) rate: u32,
    /// Of repetitions.
    pub(super) seed: u64,
}

/// A load under way; it ends when dropped.
pub(super) struct Load {
    pace: Arc<Pace>,
    rate: Arc<AtomicU32>,
    pulse: Arc<Mutex<Pulse>>,
    tills: JoinSet<Result<Done, Error>>,
    failure: watch::Receiver<Option<String>>,
    clock: JoinHandle<()>,
    traces: Traces,
    acknowledged: Vec<Acknowledged>,
    rows: Vec<Row>,
    total: u64,
}

/// How far a sender has come.
struct Acknowledged {
    /// How many of its events were acknowledged, the first ones.
    events: Arc<AtomicUsize>,
    /// Places of those that ingestion refuses, in their order.
    invalid: Vec<usize>,
}

impl Acknowledged {
    /// Valid ones of them.
    fn valid(&self) -> usize {
        let events = self.events.load(Ordering::Relaxed);
        events - self.invalid.partition_point(|place| *place < events)
    }
}

/// What was sent, and what must come of it.
pub(super) struct Sent {
    /// What must come of it.
    pub(super) expected: Expected,
    /// How it was sent.
    pub(super) tally: Tally,
    /// Distinct events.
    pub(super) events: u64,
}

/// Times between acknowledgements.
#[derive(Debug)]
struct Pulse {
    sent: u64,
    last: Instant,
    longest: Duration,
}

impl Load {
    /// Begins.
    pub(super) fn start(traffic: Traffic, way: &Way, journal: &Journal) -> Self {
        let total = traffic.len();
        let pace = Arc::new(Pace::new(usize::try_from(total).unwrap_or(usize::MAX), total));
        let (told, failure) = watch::channel(None);
        let told = Arc::new(told);
        let traces = Traces::default();
        let (mut tills, mut acknowledged) = (JoinSet::new(), Vec::new());
        for (n, sender) in (0..).zip(traffic.senders) {
            // Orders go furthest.
            let traces = (sender.source == SHOP_SOURCE).then(|| traces.clone());
            let invalid = sender.events.iter().enumerate().filter(|(_, event)| !event.is_valid());
            let invalid = invalid.map(|(place, _)| place).collect();
            let events = Arc::new(AtomicUsize::new(0));
            acknowledged.push(Acknowledged { events: events.clone(), invalid });
            let till = Till {
                sender,
                traces,
                doors: way.doors.clone(),
                key: Some(way.key.clone()),
                largest: LARGEST_BATCH,
                acknowledged: events,
                pace: pace.clone(),
                journal: journal.clone(),
            };
            let (seed, told) = (way.seed.wrapping_mul(1_000).wrapping_add(n), told.clone());
            tills.spawn(async move {
                let done = till.run(seed).await;
                if let Err(error) = &done {
                    told.send_replace(Some(error.to_string()));
                }
                done
            });
        }
        let rate = Arc::new(AtomicU32::new(way.rate));
        let pulse = Arc::new(Mutex::new(Pulse { sent: 0, last: Instant::now(), longest: Duration::ZERO }));
        let clock = tokio::spawn(tick(pace.clone(), rate.clone(), pulse.clone(), total, journal.clone()));
        journal.count_to("sending", total);
        Self { pace, rate, pulse, tills, failure, clock, traces, acknowledged, rows: traffic.rows, total }
    }

    /// So many events a second from now on.
    pub(super) fn set_rate(&self, rate: u32) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// Of the latest orders.
    pub(super) fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// Distinct events that were acknowledged.
    pub(super) fn sent(&self) -> u64 {
        self.pace.sent()
    }

    /// Distinct events that were acknowledged and that the suite has to tell of: without those that ingestion refuses.
    pub(super) fn accepted(&self) -> u64 {
        self.acknowledged.iter().map(|sender| u64::try_from(sender.valid()).unwrap_or_default()).sum()
    }

    /// Whether there is more to send.
    pub(super) fn has_more(&self) -> bool {
        self.sent() < self.total
    }

    /// The longest time without an acknowledgement since this was last asked.
    pub(super) fn longest_pause(&self) -> Duration {
        let mut pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = pulse.longest.max(if self.has_more() { pulse.last.elapsed() } else { Duration::ZERO });
        (pulse.longest, pulse.last) = (Duration::ZERO, Instant::now());
        longest
    }

    /// Waits until a sender gives up: why.
    pub(super) async fn failed(&self) -> Error {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => Error::Refused(reason.clone().unwrap_or_default()),
            // All senders are done.
            Err(_) => std::future::pending().await,
        }
    }

    /// Lets what is under way come to its end, and nothing more begin.
    pub(super) async fn finish(mut self) -> Result<Sent, Error> {
        self.pace.close();
        let (mut tally, mut done) = (Tally::default(), Vec::new());
        while let Some(ended) = self.tills.join_next().await {
            let ended = ended.map_err(Error::program("a sender"))??;
            tally += ended.tally;
            done.push(ended);
        }
        let sent: BTreeMap<&str, usize> = done.iter().map(|till| (till.sender.source.as_str(), till.sent)).collect();
        let events = sent.values().filter_map(|count| u64::try_from(*count).ok()).sum();
        let expected = Expected::of(&self.rows, done.iter().map(|till| (&till.sender, till.sent)))?;
        Ok(Sent { expected, tally, events })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

/// Lets events go, in time, and looks whether they are acknowledged.
async fn tick(pace: Arc<Pace>, rate: Arc<AtomicU32>, pulse: Arc<Mutex<Pulse>>, total: u64, journal: Journal) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // In millionths of an event.
    let (mut released, mut before) = (0, Instant::now());
    let steps = usize::try_from(total).unwrap_or(usize::MAX);
    loop {
        ticks.tick().await;
        let (sent, per_second) = (pace.sent(), u64::from(rate.load(Ordering::Relaxed)));
        // Senders that were held up do not make good for all of it at once.
        let ceiling = (sent + per_second * MOST_BEHIND.as_secs()) * MILLION;
        let elapsed = u64::try_from(before.elapsed().as_micros()).unwrap_or(MILLION);
        released = (released + per_second * elapsed).min(ceiling.max(released));
        before = Instant::now();
        pace.release(steps.min(usize::try_from(released / MILLION).unwrap_or(steps)));
        journal.position(sent);
        let mut pulse = pulse.lock().unwrap_or_else(PoisonError::into_inner);
        if sent != pulse.sent {
            pulse.longest = pulse.longest.max(pulse.last.elapsed());
            (pulse.sent, pulse.last) = (sent, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_not_to_be_told() {
        let of = |events| Acknowledged { events: Arc::new(AtomicUsize::new(events)), invalid: vec![0, 3, 9] }.valid();
        assert_eq!([0, 1, 3, 4, 12].map(of), [0, 0, 2, 2, 9]);
    }
}
