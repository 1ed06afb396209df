//! Order lines and orders from the events of silver, by the code that made them first.

use std::time::Duration;

use tidemill_batch_views::{RebuiltFolder, RebuiltTable};
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{
    AppId, EventFiles, FolderComparison, KeptEvent, LakeError, LakeErrorKind, Months, OrderRebuild, Reached,
    TableDefinition, TableRebuild, TableRows,
    tables::{OrderChange, SilverEvent, SilverOrder, SilverOrderLine},
};
use tokio::time::sleep;

use super::{Rebuilder, progress::RebuildProgress};
use crate::silver::{again_lines, again_orders};

/// Rows that are gathered before they are written.
const CHUNK: usize = 50_000;
/// Changes of orders that are added up at once.
const ORDERS_AT_ONCE: usize = 500_000;
/// How often it begins anew where others have changed the same files.
const TRIES: u32 = 5;
/// How often it looks whether a table has got as far as another, and how long between.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Folders that are told of a table.
const TOLD: usize = 100;

/// Of which events rows are made.
struct Cut {
    /// By partition, those up to this sequence,
    sequences: Vec<i64>,
    /// and those that came out of the quarantine up to this redrive.
    redrives: i64,
}

/// Which part of a layer.
#[derive(Debug, Clone, Copy)]
struct RebuildRange {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Cut {
    fn has(&self, event: &KeptEvent<'_>) -> bool {
        match event.redrive {
            Some(redrive) => redrive <= self.redrives,
            None => {
                let reached = usize::try_from(event.partition).ok().and_then(|partition| self.sequences.get(partition));
                reached.is_some_and(|reached| event.raw_seq <= *reached)
            }
        }
    }
}

impl Rebuilder {
    pub(super) async fn silver(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        progress: &RebuildProgress,
    ) -> Result<(), LakeError> {
        let range = RebuildRange { from, to };
        progress.table(self.lines(range, progress).await.map_err(|error| error.of(SilverOrderLine::TABLE))?);
        // They have no months of their own: all events have to be there.
        if self.months(&SilverOrder::TABLE, range).await?.is_all() {
            progress.table(self.orders(progress).await.map_err(|error| error.of(SilverOrder::TABLE))?);
        }
        Ok(())
    }

    /// The months of a range that can be made anew: of which both the events and the table have
    /// dropped nothing, and have nothing at another place.
    async fn months(&self, table: &TableDefinition, range: RebuildRange) -> Result<Months, LakeError> {
        let mut months = Months::of(range.from, range.to);
        for path in [SilverEvent::TABLE.path(), table.path()] {
            if let Some(here) = self.lake.existing(&path).await? {
                months = months.complete_in(&here).await?;
            }
            let Some(cold) = &self.cold else { continue };
            if let Some(there) = cold.existing(&path).await? {
                months = months.complete_in(&there).await?.not_moved_to(&there).await?;
            }
        }
        Ok(months)
    }

    async fn lines(&self, range: RebuildRange, progress: &RebuildProgress) -> Result<RebuiltTable, LakeError> {
        for _ in 0..TRIES {
            if let Some(rebuilt) = self.try_lines(range, progress).await? {
                return Ok(rebuilt);
            }
        }
        Err(contended())
    }

    async fn orders(&self, progress: &RebuildProgress) -> Result<RebuiltTable, LakeError> {
        for _ in 0..TRIES {
            if let Some(rebuilt) = self.try_orders(progress).await? {
                return Ok(rebuilt);
            }
        }
        Err(contended())
    }

    /// `None` where others have changed the files meanwhile.
    async fn try_lines(
        &self,
        range: RebuildRange,
        progress: &RebuildProgress,
    ) -> Result<Option<RebuiltTable>, LakeError> {
        let definition = &SilverOrderLine::TABLE;
        self.settled(definition).await?;
        let months = self.months(definition, range).await?;
        let table = self.lake.table(definition, &self.properties).await?;
        let mut rebuild = TableRebuild::begin(table, &months, self.apps(definition)).await?;
        let events = self.events(definition, &months, rebuild.reached()).await?;
        let (cut, ahead) = self.cut(definition, rebuild.reached(), events.reached());
        rebuild.reaches(ahead);
        progress.begin(&definition.to_string(), events.len());
        let mut rows = TableRows::<SilverOrderLine<'static>>::new()?;
        for place in 0..events.len() {
            let Some(mut file) = events.file(place).await? else { break };
            while file.next(|event| {
                if cut.has(&event) {
                    again_lines(&mut rows, &event)
                }
            })? {
                if rows.len() >= CHUNK {
                    rebuild.push(rows.take()?).await?;
                }
                tokio::task::yield_now().await;
            }
            progress.step();
        }
        rebuild.push(rows.take()?).await?;
        let folders = rebuild.compare().await?;
        if self.months(definition, range).await? != months {
            // Events of it may have been dropped or moved before they were read.
            return Ok(None);
        }
        let version = match folders.iter().all(|folder| folder.equal) {
            true => None,
            false => match rebuild.swap().await? {
                None => return Ok(None),
                version => version,
            },
        };
        Ok(Some(told(definition, &folders, version)))
    }

    /// Their writer waits meanwhile, since it would change the same files.
    async fn try_orders(&self, progress: &RebuildProgress) -> Result<Option<RebuiltTable>, LakeError> {
        let definition = &SilverOrder::TABLE;
        self.settled(definition).await?;
        let _pause = self.committers.orders.pause().await?;
        let table = self.lake.table(definition, &self.properties).await?;
        let mut rebuild = OrderRebuild::begin(&self.lake, table, &self.properties, self.apps(definition)).await?;
        let events = self.events(definition, &Months::default(), rebuild.reached()).await?;
        let (cut, ahead) = self.cut(definition, rebuild.reached(), events.reached());
        rebuild.reaches(ahead);
        progress.begin(&definition.to_string(), events.len());
        let mut rows = TableRows::<OrderChange<'static>>::new()?;
        for place in 0..events.len() {
            let Some(mut file) = events.file(place).await? else { break };
            while file.next(|event| {
                if cut.has(&event) {
                    again_orders(&mut rows, &event)
                }
            })? {
                if rows.len() >= CHUNK {
                    rebuild.push(rows.take()?).await?;
                }
                tokio::task::yield_now().await;
            }
            progress.step();
        }
        rebuild.push(rows.take()?).await?;
        let folders = rebuild.compare(ORDERS_AT_ONCE).await?;
        if !self.months(definition, RebuildRange { from: None, to: None }).await?.is_all() {
            return Ok(None);
        }
        let version = match folders.iter().all(|folder| folder.equal) {
            true => None,
            false => match rebuild.swap().await? {
                None => return Ok(None),
                version => version,
            },
        };
        Ok(Some(told(definition, &folders, version)))
    }

    /// Who writes to a table: each partition, and at last whoever does redrives.
    fn apps(&self, table: &'static TableDefinition) -> Vec<AppId> {
        let partitions = self.partitions.all().map(|partition| AppId::of(table, partition));
        partitions.chain([AppId::of_redrives(table)]).collect()
    }

    /// How far a table and the events are, by who writes to them.
    fn both<'r>(
        &self,
        table: &'static TableDefinition,
        reached: &'r Reached,
        events: &'r Reached,
    ) -> impl Iterator<Item = (AppId, i64, i64)> + use<'r> {
        let apps = self.apps(table).into_iter().zip(self.apps(&SilverEvent::TABLE));
        apps.map(|(app, of_events)| {
            let (has, could) = (at(reached, &app), at(events, &of_events));
            (app, has, could)
        })
    }

    /// Waits for a moment until the table has what `silver.events` has: a commit of both is
    /// under way. What it has not then it has lost.
    async fn settled(&self, table: &'static TableDefinition) -> Result<(), LakeError> {
        let events = self.lake.table(&SilverEvent::TABLE, &self.properties).await?;
        let events = events.reached(self.apps(&SilverEvent::TABLE)).await?;
        let mut table_now = self.lake.table(table, &self.properties).await?;
        for _ in 0..LOOKS {
            let reached = table_now.reached(self.apps(table)).await?;
            if self.both(table, &reached, &events).all(|(_, has, could)| has >= could) {
                break;
            }
            sleep(BETWEEN_LOOKS).await;
            table_now.refresh().await?;
        }
        Ok(())
    }

    /// The events, as of when they have all that the table has.
    async fn events(
        &self,
        table: &'static TableDefinition,
        months: &Months,
        reached: &Reached,
    ) -> Result<EventFiles, LakeError> {
        for _ in 0..LOOKS {
            let events = self.lake.table(&SilverEvent::TABLE, &self.properties).await?;
            let events = EventFiles::open(events, months, self.apps(&SilverEvent::TABLE)).await?;
            if self.both(table, reached, events.reached()).all(|(_, has, could)| could >= has) {
                return Ok(events);
            }
            sleep(BETWEEN_LOOKS).await;
        }
        let events = SilverEvent::TABLE;
        let reason = format!("{events} lacks events that {table} is made of: let it come back from the log first");
        Err(LakeError::new(LakeErrorKind::Damaged, reason))
    }

    /// Up to where rows are made, and for which writers that is further than the table was.
    fn cut(&self, table: &'static TableDefinition, reached: &Reached, events: &Reached) -> (Cut, Reached) {
        let (mut sequences, mut ahead) = (Vec::new(), Reached::new());
        for (app, has, could) in self.both(table, reached, events) {
            if could > has {
                ahead.insert(app, could);
            }
            sequences.push(has.max(could));
        }
        let redrives = sequences.pop().unwrap_or_default();
        (Cut { sequences, redrives }, ahead)
    }
}

fn at(reached: &Reached, app: &AppId) -> i64 {
    reached.get(app).copied().unwrap_or_default()
}

fn contended() -> LakeError {
    let reason = format!("others have changed its files {TRIES} times: begin again when less goes on");
    LakeError::new(LakeErrorKind::Contended, reason)
}

fn told(table: &TableDefinition, folders: &[FolderComparison], version: Option<u64>) -> RebuiltTable {
    let differ = folders.iter().filter(|folder| !folder.equal).take(TOLD);
    let folder =
        |of: &FolderComparison| RebuiltFolder { folder: of.folder.clone(), before: of.before, after: of.after };
    RebuiltTable {
        table: table.to_string(),
        before: folders.iter().map(|folder| folder.before).sum(),
        after: folders.iter().map(|folder| folder.after).sum(),
        differ: differ.map(folder).collect(),
        version,
    }
}
