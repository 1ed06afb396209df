//! The index in the store: of each partition that this replica keeps, the pages that have
//! changed.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use tidemill_domain::Partition;
use tokio::time::{MissedTickBehavior, interval};

use super::beside::beside;
use crate::{
    app::Recommender,
    error::Error,
    model::LearntPlace,
    store::{PageChanges, PagesWritten, PartitionKeep},
};

/// How often it is looked whether pages are to be written.
const LOOK: Duration = Duration::from_secs(1);
/// Pages are written after so many interactions, or after so long: a replica that starts
/// learns at most so many anew.
const INTERACTIONS: u64 = 4_096;
const AT_LEAST: Duration = Duration::from_secs(60);

/// What was written of a partition.
#[derive(Debug)]
struct PagesDone {
    /// The take-over that it is of: others may have written before it.
    claim: PartitionKeep,
    learnt: u64,
    erasure: u64,
    at: Instant,
    /// Pages that the journal has not come to yet.
    waiting: Option<PageChanges>,
}

/// Writes pages for as long as the service lives. It may end at any await: the journal
/// has what the pages lack.
pub(crate) async fn write_pages(app: Arc<Recommender>) -> Result<(), Infallible> {
    let mut written: BTreeMap<Partition, PagesDone> = BTreeMap::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = app.context.shutdown.cancelled() => return Ok(()),
        }
        for claim in app.kept_partitions() {
            let state = written.entry(claim.partition).or_insert_with(|| first(&app, claim));
            if state.claim != claim {
                if state.waiting.is_some() {
                    app.note_unlike(claim.partition);
                }
                *state = first(&app, claim);
            }
            if let Err(error) = look(&app, &claim, state).await {
                tracing::warn!(partition = %claim.partition, %error, "pages could not be stored; trying again");
                app.note_unlike(claim.partition);
            }
        }
    }
}

fn first(app: &Recommender, claim: PartitionKeep) -> PagesDone {
    let learnt = app.model.read().index.learnt(claim.partition);
    PagesDone { claim, learnt, erasure: app.model.erasure(), at: Instant::now(), waiting: None }
}

async fn look(app: &Arc<Recommender>, claim: &PartitionKeep, state: &mut PagesDone) -> Result<(), Error> {
    let changes = match state.waiting.take() {
        Some(changes) => changes,
        None if is_due(app, claim.partition, state) => {
            let (of, partition) = (app.clone(), claim.partition);
            let are_all = app.was_unlike(partition);
            beside(move || of.model.take_pages(partition, are_all)).await?
        }
        None => return Ok(()),
    };
    match app.store.write_pages(claim, &changes, &app.settings).await? {
        PagesWritten::Done => {
            app.telemetry.pages(claim.partition, changes.at, changes.changed.pages.len());
            (state.learnt, state.erasure, state.at) = (changes.changed.learnt, changes.erasure, Instant::now());
        }
        PagesWritten::TooEarly => state.waiting = Some(changes),
        // What was taken is lost: the next time all of them are written.
        PagesWritten::Superseded | PagesWritten::Overtaken => app.note_unlike(claim.partition),
    }
    Ok(())
}

fn is_due(app: &Recommender, partition: Partition, state: &PagesDone) -> bool {
    let model = app.model.read();
    let learnt = model.index.learnt(partition);
    // Until the log is learnt anew, what is stored is better.
    if model.places.get(&partition).is_some_and(LearntPlace::is_behind) {
        return false;
    }
    learnt >= state.learnt.saturating_add(INTERACTIONS)
        || (learnt > state.learnt && state.at.elapsed() >= AT_LEAST)
        || model.erasure() > state.erasure
        || app.is_unlike(partition)
}
