//! What others are told of customers: of each partition that this replica keeps, the
//! profiles that have changed.
//!
//! A message about a customer is what the store has by then, of all partitions. It is
//! published only if it follows the message that was the customer's last before the store
//! was read. So of two replicas that tell of one customer the later reader is last, a
//! replica that was paused brings nothing old back, and to tell the same again is harmless.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tidemill_bus::Error as BusError;
use tidemill_domain::Partition;
use tidemill_events::{ProfileUpdate, StreamName, topology};
use tidemill_stage::LoadPace;
use tokio::time::{Instant, sleep_until};

use crate::{
    app::Recommender,
    error::Error,
    learning::VisitorId,
    store::{PartitionKeep, PublishedTo},
};

/// From one look for changes to the next, at least and at most: longer where it takes longer, as
/// on a machine that is busy, since who changes meanwhile is told of once.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS_PER_SECOND: u32 = 2;
const MOST_REST: Duration = Duration::from_secs(2);
/// How often it is written down how far they are published: what is behind that is
/// published once more after a crash.
const NOTE: Duration = Duration::from_secs(10);
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

/// Publishes for as long as the service lives.
pub(crate) async fn publish_profiles(app: Arc<Recommender>, per_second: u32) -> Result<(), Infallible> {
    let mut known: BTreeMap<Partition, Publishing> = BTreeMap::new();
    let mut pace = LoadPace::new(LOOK, MOST_REST);
    loop {
        tokio::select! {
            () = sleep_until(pace.until()) => {}
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
        let begun = Instant::now();
        // It may end at any await: what is not written down is published once more.
        tokio::select! {
            () = publish_some(&app, &mut known, (per_second / LOOKS_PER_SECOND).max(1)) => {}
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
        pace.done(begun);
    }
}

/// Of all partitions, so many at most: what one does not need, others may have.
async fn publish_some(app: &Arc<Recommender>, known: &mut BTreeMap<Partition, Publishing>, mut left: u32) {
    let claims = app.kept_partitions();
    for (at, claim) in claims.iter().enumerate() {
        let share = left / u32::try_from(claims.len() - at).unwrap_or(u32::MAX);
        match publish_partition(app, known, *claim, share.max(1)).await {
            Ok(published) => left = left.saturating_sub(published),
            Err(error) => {
                tracing::warn!(partition = %claim.partition, %error, "profiles could not be published; trying again");
            }
        }
    }
}

/// Answers how many of them were published.
async fn publish_partition(
    app: &Arc<Recommender>,
    known: &mut BTreeMap<Partition, Publishing>,
    claim: PartitionKeep,
    most: u32,
) -> Result<u32, Error> {
    let is_known = known.get(&claim.partition).is_some_and(|known| known.claim == claim);
    if !is_known {
        let to = app.store.published(claim.partition).await?;
        let publishing = Publishing { claim, noted: to.clone(), to, noted_at: Instant::now() };
        known.insert(claim.partition, publishing);
    }
    let Some(publishing) = known.get_mut(&claim.partition) else { return Ok(0) };
    // Who is forgotten comes first.
    if claim.partition == ERASURES {
        let erased = app.store.erased_customers(publishing.to.erasure, most).await?;
        publish_all(app, erased.iter().map(|(_, customer)| *customer).collect()).await?;
        publishing.to.erasure = erased.last().map_or(publishing.to.erasure, |(number, _)| *number);
    }
    let changed = app.store.changed_profiles(claim.partition, &publishing.to, most).await?;
    publish_all(app, changed.iter().map(|profile| profile.customer).collect()).await?;
    if let Some(last) = changed.last() {
        (publishing.to.changed, publishing.to.customer) = (last.changed, last.customer.0.to_vec());
    }
    if publishing.to != publishing.noted && publishing.noted_at.elapsed() >= NOTE {
        app.store.note_published(&claim, &publishing.to).await?;
        (publishing.noted, publishing.noted_at) = (publishing.to.clone(), Instant::now());
    }
    Ok(u32::try_from(changed.len()).unwrap_or(u32::MAX))
}

async fn publish_all(app: &Arc<Recommender>, customers: Vec<VisitorId>) -> Result<(), Error> {
    let app = app.clone();
    let publishes = stream::iter(customers).map(move |customer| publish(app.clone(), customer));
    publishes.buffer_unordered(AT_ONCE).try_collect().await
}

/// Tells what the store has of a customer: the profile, or that there is none.
async fn publish(app: Arc<Recommender>, customer: VisitorId) -> Result<(), Error> {
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
                return Ok(());
            }
            Ok(_) | Err(BusError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(BusError::Conflict { subject }.into())
}
