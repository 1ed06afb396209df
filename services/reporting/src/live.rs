//! Live updates as server-sent events.
//!
//! One ring of frames is all the memory that they take: a client is a position
//! in it. Who falls behind its oldest frame, or resumes from before it, is told
//! `reset` and fetches everything anew.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::response::sse::Event;
use futures::{Stream, stream};
use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_service::clients::{ClientKey, Share, Shares};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{error::Error, read_model::CellKey};

/// Frames and bytes that the ring holds at most.
const FRAMES: usize = 1024;
const BYTES: usize = 8 << 20;
/// How long after the last client left frames are still made, for its return.
const GRACE: Duration = Duration::from_secs(30);
/// What a client waits before it connects again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Frame {
    event: &'static str,
    data: String,
}

#[derive(Debug, Default)]
struct Ring {
    frames: VecDeque<Arc<Frame>>,
    /// The number of the frame at the front.
    first: u64,
    bytes: usize,
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    fn push(&mut self, frame: Frame) {
        self.bytes += frame.data.len();
        self.frames.push_back(Arc::new(frame));
        while self.frames.len() > FRAMES || self.bytes > BYTES && self.frames.len() > 1 {
            if let Some(oldest) = self.frames.pop_front() {
                self.bytes -= oldest.data.len();
                self.first += 1;
            }
        }
    }

    fn clear(&mut self) {
        // One more than was sent: who saw the last frame missed something.
        self.first = self.next() + 1;
        self.frames.clear();
        self.bytes = 0;
    }
}

/// Where frames are put and clients read.
#[derive(Debug)]
pub struct Hub {
    ring: Mutex<Ring>,
    next: watch::Sender<u64>,
    places: Arc<Semaphore>,
    shares: Shares,
    clients: u16,
    last_seen: Mutex<Option<Instant>>,
    /// Tells this process's frames from another's.
    epoch: String,
    shutdown: CancellationToken,
}

impl Hub {
    /// For at most `clients` clients, `share` of them of one address; `epoch` is
    /// unique to the process.
    pub fn new(clients: u16, share: NonZeroU32, epoch: String, shutdown: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            ring: Mutex::default(),
            next: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(clients.into())),
            shares: Shares::new(share),
            clients,
            last_seen: Mutex::default(),
            epoch,
            shutdown,
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clients now.
    pub fn clients(&self) -> usize {
        usize::from(self.clients) - self.places.available_permits()
    }

    /// Whether a client reads, or may come back soon.
    pub fn is_watched(&self) -> bool {
        let mut last_seen = self.last_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.clients() > 0 {
            *last_seen = Some(Instant::now());
        }
        last_seen.is_some_and(|seen| seen.elapsed() < GRACE)
    }

    /// Sends data to every client.
    pub fn send(&self, event: &'static str, data: &impl Serialize) {
        match serde_json::to_string(data) {
            Ok(data) => {
                let mut ring = self.ring();
                ring.push(Frame { event, data });
                self.next.send_replace(ring.next());
            }
            Err(error) => tracing::error!(%error, event, "a live update cannot be written"),
        }
    }

    /// Tells every client to fetch everything anew, those that are away too.
    pub fn reset(&self) {
        let mut ring = self.ring();
        ring.clear();
        self.next.send_replace(ring.next());
    }

    /// A client's events: from after `last_id` where that is still known, else
    /// `reset` first; from now on where there is none. Ends on shutdown. `who`
    /// is held to its share.
    pub fn subscribe(
        self: &Arc<Self>,
        who: Option<ClientKey>,
        last_id: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Event, Infallible>> + use<>, Error> {
        let share = who.map(|who| self.shares.take(who).ok_or(Error::TooManyOfOne(who))).transpose()?;
        let permit = self.places.clone().try_acquire_owned().map_err(|_| Error::TooManyClients(self.clients))?;
        let client = Client {
            hub: self.clone(),
            at: match last_id {
                None => Position::New,
                Some(id) => self.resume(id).map_or(Position::Lost, Position::At),
            },
            changes: self.next.subscribe(),
            _permit: permit,
            _share: share,
        };
        Ok(stream::unfold(client, |mut client| async {
            let event = client.next().await?;
            Some((Ok(event), client))
        }))
    }

    /// The position after `id`, if the ring still reaches back to it.
    fn resume(&self, id: &str) -> Option<u64> {
        let (epoch, at) = id.rsplit_once('-')?;
        let at = at.parse::<u64>().ok().filter(|_| epoch == self.epoch)?;
        let ring = self.ring();
        (ring.first..=ring.next()).contains(&at).then_some(at)
    }

    /// Frames before `at` have been seen.
    fn id(&self, at: u64) -> String {
        format!("{}-{at}", self.epoch)
    }
}

enum Position {
    /// Just connected: an empty event tells it where it is.
    New,
    /// It missed something.
    Lost,
    /// The number of the frame that it gets next.
    At(u64),
}

struct Client {
    hub: Arc<Hub>,
    at: Position,
    changes: watch::Receiver<u64>,
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
}

impl Client {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.hub.shutdown.is_cancelled() {
                return None;
            }
            // Seen before the ring is read, so that no change is slept through.
            self.changes.borrow_and_update();
            if let Some(event) = self.ready() {
                return Some(event);
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = self.hub.shutdown.cancelled() => return None,
            }
        }
    }

    fn ready(&mut self) -> Option<Event> {
        let ring = self.hub.ring();
        let (event, at) = match self.at {
            Position::New => (Event::default().retry(RETRY), ring.next()),
            Position::At(at) if at >= ring.first => {
                let frame = ring.frames.get(usize::try_from(at - ring.first).ok()?)?;
                (Event::default().event(frame.event).data(&frame.data), at + 1)
            }
            Position::Lost | Position::At(_) => (Event::default().event("reset").data("{}"), ring.next()),
        };
        drop(ring);
        self.at = Position::At(at);
        Some(event.id(self.hub.id(at)))
    }
}

/// Cells that changed since they were last sent, and those that were sent
/// while their window was open.
#[derive(Debug, Default)]
pub struct Changes {
    dirty: BTreeSet<Change>,
    open: BTreeSet<(Timestamp, Change)>,
    /// Whether some were let go because there were too many.
    pub overflowed: bool,
}

/// A cell, ordered by window, so that the newest go first.
type Change = (Timestamp, CellKey);

/// Cells that wait, or are open, at most.
const WAITING: usize = 50_000;

impl Changes {
    /// A cell changed.
    pub fn changed(&mut self, key: CellKey) {
        if self.dirty.len() < WAITING {
            self.dirty.insert((key.start, key));
        } else {
            self.overflowed = true;
        }
    }

    /// A cell was sent while its window, which ends at `end`, was open.
    pub fn sent_open(&mut self, end: Timestamp, key: CellKey) {
        if self.open.len() < WAITING {
            self.open.insert((end, (key.start, key)));
        }
    }

    /// Windows that end no later are complete: what was sent of them is sent again.
    pub fn complete(&mut self, until: Timestamp) {
        while let Some((end, change)) = self.open.pop_first() {
            if end > until {
                self.open.insert((end, change));
                return;
            }
            self.changed(change.1);
        }
    }

    /// Takes up to `max` cells, the newest windows first, by metric.
    pub fn take(&mut self, max: usize) -> BTreeMap<Arc<str>, Vec<CellKey>> {
        let mut taken: BTreeMap<Arc<str>, Vec<CellKey>> = BTreeMap::new();
        for _ in 0..max {
            let Some((_, key)) = self.dirty.pop_last() else { break };
            taken.entry(key.metric.clone()).or_default().push(key);
        }
        taken
    }

    /// Whether cells wait to be sent.
    pub fn is_waiting(&self) -> bool {
        !self.dirty.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;
    use crate::testing::at;

    fn hub(clients: u16) -> Arc<Hub> {
        Hub::new(clients, NonZeroU32::MIN, "e-1".into(), CancellationToken::new())
    }

    /// What is ready now, as it goes over the wire.
    async fn ready(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Vec<String> {
        let body = axum::response::IntoResponse::into_response(axum::response::Sse::new(events)).into_body();
        let mut parts = body.into_data_stream();
        let mut texts = Vec::new();
        while let Some(Some(Ok(part))) = parts.next().now_or_never() {
            texts.push(String::from_utf8(part.to_vec()).expect("text").trim().replace('\n', "|"));
        }
        texts
    }

    #[tokio::test]
    async fn a_new_client_sees_what_comes_from_now_on() {
        let hub = hub(2);
        hub.send("books", &1);
        let mut events = Box::pin(hub.subscribe(None, None).expect("a place"));
        assert!(events.next().await.is_some(), "its position");
        hub.send("books", &2);
        assert_eq!(ready(events).await, ["event: books|data: 2|id: e-1-2"]);
    }

    #[tokio::test]
    async fn a_client_resumes_after_the_last_event_it_saw() {
        let hub = hub(2);
        (0..3).for_each(|n| hub.send("books", &n));
        let resumed = ready(hub.subscribe(None, Some("e-1-1")).expect("a place")).await;
        assert_eq!(resumed, ["event: books|data: 1|id: e-1-2", "event: books|data: 2|id: e-1-3"]);
        for id in ["e-2-1", "e-1-99", "nonsense", "", "e-1-x"] {
            let events = ready(hub.subscribe(None, Some(id)).expect("a place")).await;
            assert_eq!(events, ["event: reset|data: {}|id: e-1-3"], "{id}");
        }
    }

    #[tokio::test]
    async fn who_is_slower_than_the_ring_is_reset() {
        let hub = hub(1);
        let events = hub.subscribe(None, Some("e-1-0")).expect("a place");
        (0..=FRAMES).for_each(|n| hub.send("books", &n));
        assert_eq!(ready(events).await, [format!("event: reset|data: {{}}|id: e-1-{}", FRAMES + 1)]);
        let large = "x".repeat(BYTES / 2);
        (0..4).for_each(|_| hub.send("books", &large));
        assert!(hub.ring().bytes <= BYTES);
    }

    #[tokio::test]
    async fn a_reset_reaches_who_is_away() {
        let hub = hub(1);
        hub.send("books", &0);
        hub.reset();
        assert!(ready(hub.subscribe(None, Some("e-1-1")).expect("a place")).await[0].starts_with("event: reset"));
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let hub = hub(1);
        assert!(!hub.is_watched());
        let first = hub.subscribe(None, None).expect("a place");
        assert!(matches!(hub.subscribe(None, None).err(), Some(Error::TooManyClients(1))));
        assert_eq!((hub.clients(), hub.is_watched()), (1, true));
        drop(first);
        assert!(hub.subscribe(None, None).is_ok());
    }

    #[tokio::test]
    async fn one_client_has_its_share_and_leaves_the_rest() {
        let hub = hub(2);
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|a| ClientKey::of(a.parse().expect("an address"), &[]));
        let first = hub.subscribe(one, None).expect("a place");
        assert!(matches!(hub.subscribe(one, None).err(), Some(Error::TooManyOfOne(_))));
        let second = hub.subscribe(two, None).expect("a place for another");
        assert!(matches!(hub.subscribe(None, None).err(), Some(Error::TooManyClients(2))));
        drop((first, second));
        assert!(hub.subscribe(one, None).is_ok());
    }

    #[tokio::test]
    async fn the_stream_ends_on_shutdown() {
        let hub = hub(1);
        let events = hub.subscribe(None, Some("e-1-0")).expect("a place");
        hub.shutdown.cancel();
        assert_eq!(events.count().await, 0);
    }

    fn key(start: i64) -> CellKey {
        CellKey { metric: "m".into(), version: "1".into(), start: at(start), dimensions: "{}".into() }
    }

    #[test]
    fn changes_go_once_and_the_newest_first() {
        let mut changes = Changes::default();
        [3, 1, 2, 3].into_iter().for_each(|start| changes.changed(key(start)));
        let taken: Vec<_> = changes.take(2).remove("m").expect("one metric").iter().map(|key| key.start).collect();
        assert_eq!((taken, changes.is_waiting()), (vec![at(3), at(2)], true));
        (0..).take(WAITING + 1).for_each(|start| changes.changed(key(start)));
        assert!(changes.overflowed);
    }

    #[test]
    fn a_window_that_closes_is_sent_again() {
        let mut changes = Changes::default();
        changes.sent_open(at(10), key(0));
        changes.sent_open(at(20), key(10));
        changes.complete(at(9));
        assert!(!changes.is_waiting());
        changes.complete(at(10));
        assert_eq!(changes.take(9).remove("m").expect("one"), [key(0)]);
    }
}
