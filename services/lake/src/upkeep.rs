//! What keeps tables quick to read and as small as they may be: small files are put together,
//! old folders moved or dropped, and files deleted that no version has. One replica does
//! it at a time; it may end at any await, since each step is a version of its own.

use std::{sync::Arc, time::Duration};

use tidemill_lake_tables::{
    Compacted, CompactionGoal, Dropped, KeptTable, Lake, LakeError, Layer, Moved, TIERED, TableDefinition, tables::ALL,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    cold::ColdPlace,
    config::{ColdConfig, RetentionConfig, retention},
    shared::Shared,
};

/// The declared tables that are kept up.
const TABLES: &[TableDefinition] = &ALL;
/// From one deletion to the next.
const VACUUM_EVERY: Duration = Duration::from_secs(24 * 3600);

/// A table to be kept up.
#[derive(Clone, Copy)]
enum Kept<'k> {
    Declared(&'static TableDefinition),
    /// A table of gold, by its path.
    Gold(&'k str),
}

/// Goes on until it is to be given back.
pub(crate) async fn keep(shared: Arc<Shared>, stop: CancellationToken) {
    let mut vacuumed: Option<Instant> = None;
    loop {
        tokio::select! {
            () = sleep(shared.upkeep.every()) => {}
            () = stop.cancelled() => return,
        }
        let is_vacuum_due = vacuumed.is_none_or(|at| at.elapsed() >= VACUUM_EVERY);
        let declared = TABLES.iter().map(Kept::Declared);
        for kept in declared.chain(shared.gold_paths.iter().map(|path| Kept::Gold(path))) {
            if stop.is_cancelled() {
                return;
            }
            if let Err(error) = kept.keep(&shared, is_vacuum_due, &stop).await {
                shared.telemetry.upkeep_failed(&kept.name(), "upkeep", &error);
            }
        }
        vacuumed = if is_vacuum_due { Some(Instant::now()) } else { vacuumed };
    }
}

impl Kept<'_> {
    fn name(self) -> String {
        match self {
            Self::Declared(table) => table.to_string(),
            Self::Gold(path) => path.replace('/', "."),
        }
    }

    async fn open(self, shared: &Shared, lake: &Lake) -> Result<Option<KeptTable>, LakeError> {
        match self {
            Self::Declared(table) => Ok(Some(lake.table(table, &shared.properties).await?.kept())),
            Self::Gold(path) => lake.kept(path, &shared.properties).await,
        }
    }

    /// Days that it is kept; 0 for ever.
    const fn days(self, retention: &RetentionConfig) -> u32 {
        match self {
            Self::Declared(TableDefinition { layer: Layer::Bronze, .. }) => retention.bronze_days,
            Self::Declared(TableDefinition { layer: Layer::Silver, .. }) => retention.silver_days,
            Self::Declared(TableDefinition { layer: Layer::Gold, .. }) | Self::Gold(_) => retention.gold_days,
        }
    }

    async fn keep(self, shared: &Shared, is_vacuum_due: bool, stop: &CancellationToken) -> Result<(), LakeError> {
        let Some(mut table) = self.open(shared, &shared.lake).await? else { return Ok(()) };
        let is_tiered =
            matches!(self, Self::Declared(table) if TIERED.iter().any(|tiered| tiered.path() == table.path()));
        let cold = shared.cold.as_ref().filter(|_| is_tiered);
        if let Some(ColdPlace { lake, config }) = cold
            && let Some(mut there) = self.open(shared, lake).await?
        {
            move_old(shared, (&mut table, &mut there), config, stop).await?;
            drop_old(shared, &mut there, self.days(&shared.retention)).await?;
            vacuum(&mut there, is_vacuum_due).await?;
        }
        drop_old(shared, &mut table, self.days(&shared.retention)).await?;
        let goal: CompactionGoal = shared.upkeep.goal();
        while !stop.is_cancelled() {
            let compacted = table.compact(goal).await?;
            if compacted == Compacted::default() {
                break;
            }
            shared.telemetry.compacted(table.name(), compacted);
        }
        vacuum(&mut table, is_vacuum_due).await
    }
}

async fn move_old(
    shared: &Shared,
    (here, there): (&mut KeptTable, &mut KeptTable),
    config: &ColdConfig,
    stop: &CancellationToken,
) -> Result<(), LakeError> {
    while !stop.is_cancelled() {
        let moved = here.move_old(there, config.over(shared.clock.now()), config.goal()).await?;
        if moved == Moved::default() {
            break;
        }
        tracing::info!(table = here.name(), rows = moved.rows, files = moved.files, "a folder is kept elsewhere now");
    }
    Ok(())
}

async fn drop_old(shared: &Shared, table: &mut KeptTable, days: u32) -> Result<(), LakeError> {
    let Some(retention) = retention(days, shared.clock.now()) else { return Ok(()) };
    let dropped = table.drop_old(retention).await?;
    if dropped != Dropped::default() {
        tracing::info!(
            table = table.name(),
            folders = dropped.folders,
            files = dropped.files,
            "old folders are dropped"
        );
    }
    Ok(())
}

async fn vacuum(table: &mut KeptTable, is_due: bool) -> Result<(), LakeError> {
    if is_due {
        let files = table.vacuum().await?;
        tracing::info!(table = table.name(), files, "deleted files that no version has");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidemill_lake_tables::tables::{BronzeEvent, QualityRow, SilverEvent};

    use super::*;

    #[test]
    fn a_table_is_kept_as_long_as_its_layer() {
        let retention = RetentionConfig { bronze_days: 30, silver_days: 90, gold_days: 400 };
        let days = |kept: Kept<'_>| kept.days(&retention);
        assert_eq!(days(Kept::Declared(&BronzeEvent::TABLE)), 30);
        assert_eq!(days(Kept::Declared(&SilverEvent::TABLE)), 90);
        assert_eq!(days(Kept::Declared(&QualityRow::TABLE)), 400, "figures of quality are gold");
        assert_eq!(days(Kept::Gold("gold/sales_metrics")), 400);
        assert!(TABLES.iter().any(|table| table.path() == QualityRow::TABLE.path()), "and are kept up");
    }
}
