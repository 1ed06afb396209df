//! What keeps tables quick to read: small files are put together, and those that no
//! version has are deleted. One replica does it at a time; it may end at any await, since
//! each step is a version of its own.

use std::time::Duration;

use tidemill_lake_tables::{
    Compacted, CompactionGoal, LakeError, LakeTable, TableDefinition,
    tables::{BronzeEvent, QualityRow, RejectedBody, SilverEvent, SilverOrder, SilverOrderLine},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// The tables that are kept up.
const TABLES: [&TableDefinition; 6] = [
    &BronzeEvent::TABLE,
    &RejectedBody::TABLE,
    &SilverEvent::TABLE,
    &SilverOrderLine::TABLE,
    &SilverOrder::TABLE,
    &QualityRow::TABLE,
];
/// From one deletion to the next.
const VACUUM_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Goes on until it is to be given back.
pub(crate) async fn keep(shared: &Shared, stop: &CancellationToken) {
    let mut vacuumed: Option<Instant> = None;
    loop {
        tokio::select! {
            () = sleep(shared.upkeep.every()) => {}
            () = stop.cancelled() => return,
        }
        let is_vacuum_due = vacuumed.is_none_or(|at| at.elapsed() >= VACUUM_EVERY);
        for table in TABLES {
            if stop.is_cancelled() {
                return;
            }
            if let Err(error) = keep_one(shared, table, is_vacuum_due, stop).await {
                shared.telemetry.upkeep_failed(table, "upkeep", &error);
            }
        }
        vacuumed = if is_vacuum_due { Some(Instant::now()) } else { vacuumed };
    }
}

async fn keep_one(
    shared: &Shared,
    table: &'static TableDefinition,
    is_vacuum_due: bool,
    stop: &CancellationToken,
) -> Result<(), LakeError> {
    let mut table: LakeTable = shared.lake.table(table, &shared.properties).await?;
    let goal: CompactionGoal = shared.upkeep.goal();
    while !stop.is_cancelled() {
        let compacted = table.compact(goal).await?;
        if compacted == Compacted::default() {
            break;
        }
        shared.telemetry.compacted(table.definition(), compacted);
    }
    if is_vacuum_due {
        let files = table.vacuum().await?;
        tracing::info!(table = %table.definition(), files, "deleted files that no version has");
    }
    Ok(())
}
