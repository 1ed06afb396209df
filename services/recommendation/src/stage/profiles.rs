//! What others are told of customers: of each partition that this replica keeps, the
//! profiles that have changed.
//!
//! A message about a customer is what the store has by then, of all partitions. It is
//! published only if it follows the message that was the customer's last before the store
//! was read. So of two replicas that tell of one customer the later reader is last, a
//! replica that was paused brings nothing old back, and to tell the same again is harmless.
//!
//! A stream that is another one, or an older one that was put back, ends before messages that
//! it was told. Whoever publishes looks for that before, and has all be told anew.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tidemill_bus::Error as BusError;
use tidemill_domain::Partition;
use tidemill_events::{ProfileUpdate, StreamName, topology};
use tidemill_stage::LoadPace;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    app::Recommender,
    error::Error,
    learning::VisitorId,
    store::{PartitionKeep, PublishedStream, PublishedTo},
};

/// From one look for changes to the next, at least and at most: longer where it takes longer, as
/// on a machine that is busy, since who changes meanwhile is told of once.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS_PER_SECOND: u32 = 2;
const MOST_REST: Duration = Duration::from_secs(2);
/// How often it is written down how far they are published, beside at the end: what is behind
/// that is published once more after a crash.
const NOTE: Duration = Duration::from_secs(10);
/// How long a look that has begun may go on when the service ends.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Customers at once.
const AT_ONCE: usize = 8;
/// How often it is tried behind a customer's last message, which others move on.
const ATTEMPTS: usize = 5;
/// The partition with which erasures are told.
const ERASURES: Partition = Partition::new(0);

/// Up to where a partition is published.
#[derive(Debug)]
struct Publishing {
    /// The take-over that it is of.
    claim: PartitionKeep,
    to: PublishedTo,
    noted: PublishedTo,
    noted_at: Instant,
}

/// What this replica publishes.
#[derive(Debug, Default)]
struct Publisher {
    partitions: BTreeMap<Partition, Publishing>,
    /// The stream, up to the last message that this replica has seen or sent.
    stream: PublishedStream,
    /// A message has taken a place in the stream that had one before.
    is_another: bool,
}

/// Publishes for as long as the service lives.
pub(crate) async fn publish_profiles(app: Arc<Recommender>, per_second: u32) -> Result<(), Infallible> {
    let mut publisher = Publisher::default();
    let mut pace = LoadPace::new(LOOK, MOST_REST);
    loop {
        tokio::select! {
            () = sleep_until(pace.until()) => {}
            () = app.context.shutdown.cancelled() => break,
        }
        let begun = Instant::now();
        // It may end at any await: what is not written down is published once more.
        tokio::select! {
            () = publisher.publish_some(&app, (per_second / LOOKS_PER_SECOND).max(1)) => {}
            () = async { app.context.shutdown.cancelled().await; sleep(LAST_LOOK).await } => {}
        }
        if app.context.shutdown.is_cancelled() {
            break;
        }
        pace.done(begun);
    }
    publisher.note_all(&app).await;
    Ok(())
}

impl Publisher {
    /// Of all partitions, so many at most: what one does not need, others may have.
    async fn publish_some(&mut self, app: &Arc<Recommender>, mut left: u32) {
        let claims = app.kept_partitions();
        if claims.is_empty() {
            return;
        }
        if let Err(error) = self.compare_stream(app).await {
            tracing::warn!(%error, "profiles could not be published; trying again");
            return;
        }
        for (at, claim) in claims.iter().enumerate() {
            let share = left / u32::try_from(claims.len() - at).unwrap_or(u32::MAX);
            match self.publish_partition(app, *claim, share.max(1)).await {
                Ok(published) => left = left.saturating_sub(published),
                Err(error) => {
                    tracing::warn!(partition = %claim.partition, %error, "profiles could not be published; trying again");
                }
            }
        }
    }

    /// Whether the stream is the one that was told: else all is told anew, by all replicas.
    async fn compare_stream(&mut self, app: &Recommender) -> Result<(), Error> {
        self.take_up(app.store.published_stream().await?);
        let end = app.nats.call(app.bus.end(StreamName::Profiles)).await?;
        if end >= self.stream.sequence && !self.is_another {
            self.stream.sequence = end;
            return Ok(());
        }
        let (stream, told) = (StreamName::Profiles.as_str(), self.stream.sequence);
        tracing::warn!(stream, end, told, "the stream is not the one that was told: all profiles are told again");
        app.store.tell_anew(self.stream.telling, end).await?;
        self.take_up(app.store.published_stream().await?);
        Ok(())
    }

    fn take_up(&mut self, noted: PublishedStream) {
        if noted.telling == self.stream.telling {
            self.stream.sequence = self.stream.sequence.max(noted.sequence);
        } else {
            *self = Self { stream: noted, ..Self::default() };
        }
    }

    /// Answers how many of them were published.
    async fn publish_partition(
        &mut self,
        app: &Arc<Recommender>,
        claim: PartitionKeep,
        most: u32,
    ) -> Result<u32, Error> {
        let known = self.partitions.remove(&claim.partition).filter(|known| known.claim == claim);
        let mut publishing = match known {
            Some(known) => known,
            None => {
                let to = app.store.published(claim.partition).await?;
                Publishing { claim, noted: to.clone(), to, noted_at: Instant::now() }
            }
        };
        let published = self.publish_on(app, &mut publishing, most).await;
        self.partitions.insert(claim.partition, publishing);
        published
    }

    async fn publish_on(
        &mut self,
        app: &Arc<Recommender>,
        publishing: &mut Publishing,
        most: u32,
    ) -> Result<u32, Error> {
        let claim = publishing.claim;
        // Who is forgotten comes first.
        if claim.partition == ERASURES {
            let erased = app.store.erased_customers(publishing.to.erasure, most).await?;
            self.publish_all(app, erased.iter().map(|(_, customer)| *customer).collect()).await?;
            publishing.to.erasure = erased.last().map_or(publishing.to.erasure, |(number, _)| *number);
        }
        let changed = app.store.changed_profiles(claim.partition, &publishing.to, most).await?;
        self.publish_all(app, changed.iter().map(|profile| profile.customer).collect()).await?;
        if let Some(last) = changed.last() {
            (publishing.to.changed, publishing.to.customer) = (last.changed, last.customer.0.to_vec());
        }
        if publishing.noted_at.elapsed() >= NOTE {
            self.note(app, publishing).await?;
        }
        Ok(u32::try_from(changed.len()).unwrap_or(u32::MAX))
    }

    /// Writes down how far a partition is published, where it is not.
    async fn note(&self, app: &Recommender, publishing: &mut Publishing) -> Result<(), Error> {
        if publishing.to == publishing.noted || self.is_another {
            return Ok(());
        }
        app.store.note_published(&publishing.claim, &publishing.to, self.stream).await?;
        (publishing.noted, publishing.noted_at) = (publishing.to.clone(), Instant::now());
        Ok(())
    }

    /// The same of all partitions, at the end, so that a start publishes nothing once more.
    async fn note_all(mut self, app: &Recommender) {
        for (partition, mut publishing) in std::mem::take(&mut self.partitions) {
            if let Err(error) = self.note(app, &mut publishing).await {
                tracing::warn!(%partition, %error, "it is not written down how far profiles are published");
            }
        }
    }

    async fn publish_all(&mut self, app: &Arc<Recommender>, customers: Vec<VisitorId>) -> Result<(), Error> {
        let app = app.clone();
        let publishes = stream::iter(customers).map(move |customer| publish(app.clone(), customer));
        let sequences: Vec<u64> = publishes.buffer_unordered(AT_ONCE).try_collect().await?;
        let before = self.stream.sequence;
        self.is_another |= sequences.iter().any(|sequence| *sequence <= before);
        self.stream.sequence = sequences.into_iter().fold(before, u64::max);
        Ok(())
    }
}

/// Tells what the store has of a customer: the profile, or that there is none. Answers the
/// message's place in the stream.
async fn publish(app: Arc<Recommender>, customer: VisitorId) -> Result<u64, Error> {
    let name = customer.text();
    let subject = topology::profiles(&name);
    for _ in 0..ATTEMPTS {
        // Before the store is read: a message that came between is newer than what was read.
        let tail = app.nats.call(app.bus.tail(StreamName::Profiles, &subject)).await?;
        let profile = app.store.profile(customer).await?.map(|profile| profile.published(&app.segments));
        let update = ProfileUpdate { customer: name.clone(), as_of: app.now(), profile };
        match app.bus.publish_after(&update, tail).await {
            // A copy by its id is one of another replica's of the same millisecond.
            Ok(published) if !published.duplicate => {
                app.telemetry.published();
                return Ok(published.sequence);
            }
            Ok(_) | Err(BusError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(BusError::Conflict { subject }.into())
}
