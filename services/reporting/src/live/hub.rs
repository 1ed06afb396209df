//! Live updates as server-sent events.
//!
//! One ring of frames is all the memory that they take: a client is a position
//! in it. A client that falls behind the oldest frame, or resumes from before
//! it, is told `reset` and fetches everything anew.

use std::{
    collections::VecDeque,
    convert::Infallible,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::response::sse::Event;
use futures::{Stream, stream};
use serde::Serialize;
use tidemill_service::clients::{ClientKey, Share, Shares};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::HeardTotals;
use crate::error::Error;

#[cfg(test)]
mod tests;

/// Frames and bytes that the ring holds at most.
const FRAMES: usize = 1024;
const BYTES: usize = 8 << 20;
/// How long frames are still made after the last client has left: it may
/// return.
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
        // One more than was sent: a client that saw the last frame has missed
        // something.
        self.first = self.next() + 1;
        self.frames.clear();
        self.bytes = 0;
    }
}

/// The ring of frames, and the places of its clients.
#[derive(Debug)]
pub(crate) struct Hub {
    ring: Mutex<Ring>,
    next: watch::Sender<u64>,
    places: Arc<Semaphore>,
    shares: Shares,
    clients: u16,
    last_seen: Mutex<Option<Instant>>,
    came: Notify,
    /// What clients know that is not in the read model yet.
    pub(crate) heard: HeardTotals,
    /// Tells this process's frames from another's.
    epoch: String,
    shutdown: CancellationToken,
}

impl Hub {
    /// For at most `clients` clients, `share` of them of one address; `epoch` is
    /// unique to the process.
    pub(crate) fn new(clients: u16, share: NonZeroU32, epoch: String, shutdown: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            ring: Mutex::default(),
            next: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(clients.into())),
            shares: Shares::new(share),
            clients,
            last_seen: Mutex::default(),
            came: Notify::new(),
            heard: HeardTotals::default(),
            epoch,
            shutdown,
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clients now.
    pub(crate) fn clients(&self) -> usize {
        usize::from(self.clients) - self.places.available_permits()
    }

    /// Whether a client reads, or may come back soon.
    pub(crate) fn is_watched(&self) -> bool {
        let mut last_seen = self.last_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.clients() > 0 {
            *last_seen = Some(Instant::now());
        }
        last_seen.is_some_and(|seen| seen.elapsed() < GRACE)
    }

    /// Waits until a client comes, if none reads.
    pub(crate) async fn watched(&self) {
        while !self.is_watched() {
            self.came.notified().await;
        }
    }

    /// Sends data to every client.
    pub(crate) fn send(&self, event: &'static str, data: &impl Serialize) {
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
    pub(crate) fn reset(&self) {
        let mut ring = self.ring();
        ring.clear();
        self.heard.fetched_anew();
        self.next.send_replace(ring.next());
    }

    /// The events of a client. They begin after `last_id`, or with `reset`
    /// where that is no longer known; without a `last_id` they begin with what
    /// comes next. They end on shutdown. `who` is held to its share.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        who: Option<ClientKey>,
        last_id: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Event, Infallible>> + use<>, Error> {
        let share = who.map(|who| self.shares.take(who).ok_or(Error::TooManyOfOne(who))).transpose()?;
        let permit = self.places.clone().try_acquire_owned().map_err(|_| Error::TooManyClients(self.clients))?;
        let client = Subscriber {
            hub: self.clone(),
            at: match last_id {
                None => Position::New,
                Some(id) => self.resume(id).map_or(Position::Lost, Position::At),
            },
            changes: self.next.subscribe(),
            _permit: permit,
            _share: share,
        };
        self.came.notify_one();
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

struct Subscriber {
    hub: Arc<Hub>,
    at: Position,
    changes: watch::Receiver<u64>,
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
}

impl Subscriber {
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
        if !matches!(self.at, Position::At(known) if known >= ring.first) {
            self.hub.heard.fetched_anew();
        }
        drop(ring);
        self.at = Position::At(at);
        Some(event.id(self.hub.id(at)))
    }
}
