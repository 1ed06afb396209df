//! From a snapshot of what changed to readers, and behind that to a checkpoint, in the
//! order that makes every crash harmless: publish, write points, then checkpoint. Several
//! snapshots may be published before the first of them is in the store. Readers recognise
//! a repetition, since totals are cumulative and say how far they reach.

use tidemill_definitions::Metrics;
use tidemill_events::MetricsUpdate;
use tidemill_metrics_store::Point;

use super::sink::{PointSink, Sink};
use crate::{
    error::Error,
    fold::{changes::PartitionChanges, messages::in_messages, points::point},
    store::{Pages, PartitionClaim, Store},
};

/// Publishes what changed.
pub(crate) async fn tell(sink: &mut impl Sink, changes: &PartitionChanges) -> Result<(), Error> {
    for letter in &changes.letters {
        sink.letter(letter).await?;
    }
    for late in &changes.late {
        sink.late(late).await?;
    }
    for update in changes.updates() {
        sink.totals(update).await?;
    }
    Ok(())
}

/// Checkpoints what was told, and writes its points before.
pub(crate) async fn keep(
    points: Option<&impl PointSink>,
    store: &Store,
    (claim, pages): (&PartitionClaim, &Pages),
    metrics: &Metrics,
    told: &PartitionChanges,
) -> Result<(), Error> {
    if let Some(sink) = points {
        write_points(sink, store, claim, told.after, &told.points(metrics)).await?;
    }
    store.checkpoint(told, claim, pages).await
}

/// Writes points of what changed after a batch.
///
/// The metrics store keeps what comes last, whoever sends it. An owner may find
/// after a write that it has lost the partition, and that the write may have
/// come too late. It notes that in the store, and its successor writes those
/// points again ([`write_stale_points`]).
async fn write_points(
    sink: &impl PointSink,
    store: &Store,
    claim: &PartitionClaim,
    after: u64,
    points: &[Point],
) -> Result<(), Error> {
    if points.is_empty() {
        return Ok(());
    }
    if !sink.is_owner() {
        return Err(Error::Superseded);
    }
    let written = sink.points(points).await;
    if sink.is_owner() {
        return written;
    }
    store.note_stale_points(claim, after).await?;
    Err(Error::Superseded)
}

/// Writes the points again that an earlier owner may have overwritten with
/// older ones. Not beside [`keep`]: the store's totals are the newest then.
pub(crate) async fn write_stale_points(
    sink: Option<&impl PointSink>,
    store: &Store,
    claim: &PartitionClaim,
    metrics: &Metrics,
) -> Result<(), Error> {
    let Some(sink) = sink else { return Ok(()) };
    for note in store.stale_points(claim.partition).await? {
        tracing::info!(partition = %claim.partition, after = note.after, "writing points again");
        let points = |cells: Vec<_>| -> Vec<Point> {
            cells.iter().filter_map(|cell| point(cell, claim.partition, metrics)).collect()
        };
        for part in store.cells_after(claim.partition, note.after).await? {
            let cells = store.updates(claim.partition, &part, note.after).await?;
            write_points(sink, store, claim, note.after, &points(cells)).await?;
        }
        let retracted = store.retractions_after(claim.partition, note.after).await?;
        write_points(sink, store, claim, note.after, &points(retracted)).await?;
        store.forget_stale_points(&note).await?;
    }
    Ok(())
}

/// `METRICS` is not synced to disk, so a crash may take its end away. What the
/// checkpoint has and the stream lacks, whose last message of the partition is
/// `tail`, is published again.
pub(crate) async fn publish_lost(
    sink: &mut impl Sink,
    store: &Store,
    claim: &PartitionClaim,
    position: &MetricsUpdate,
    tail: Option<&MetricsUpdate>,
) -> Result<(), Error> {
    let reached = tail.map_or(0, reached);
    if reached >= claim.floor {
        // Told at every start, since which versions count may have changed with it.
        return match position.counting.is_empty() {
            true => Ok(()),
            false => sink.totals(position.clone()).await,
        };
    }
    tracing::info!(partition = %claim.partition, reached, floor = claim.floor, "publishing totals again");
    let parts = store.cells_after(claim.partition, reached).await?;
    let retracted = store.retractions_after(claim.partition, reached).await?;
    let books = store.all_books(claim.partition).await?;
    let books = books.iter().map(|(key, outcomes)| outcomes.of(key)).collect();
    let position = MetricsUpdate { raw_prev: reached, ..position.clone() };
    let mut head = MetricsUpdate { watermark: None, counting: Vec::new(), ..position.clone() };
    for part in parts {
        let cells = store.updates(claim.partition, &part, reached).await?;
        // Had somebody else become the owner, they could reach further than
        // they say.
        store.check(claim).await?;
        for update in in_messages(&head, cells, Vec::new()) {
            head.part = update.part + 1;
            sink.totals(update).await?;
        }
    }
    store.check(claim).await?;
    for update in in_messages(&MetricsUpdate { part: head.part, ..position }, retracted, books) {
        sink.totals(update).await?;
    }
    Ok(())
}

/// Up to where nothing is missing, if this is where the stream ends. Where a
/// part without a watermark ends it, the parts behind it are missing.
fn reached(tail: &MetricsUpdate) -> u64 {
    if tail.watermark.is_some() { tail.raw_seq } else { tail.raw_prev }
}
