//! Order lines and orders from the events of silver, by the code that made them first.

use std::time::Duration;

use tidemill_batch_views::{RebuiltFolder, RebuiltTable};
use tidemill_domain::{Partition, Timestamp};
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
/// How often it begins anew where others have changed the same files.
const TRIES: u32 = 5;
/// How often it looks whether a table has got as far as another, and how long between.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Folders that are told of a table.
const TOLD: usize = 100;

/// By partition, the last sequence of which rows are made.
struct Cut(Vec<i64>);

impl Cut {
    fn has(&self, event: &KeptEvent<'_>) -> bool {
        let reached = usize::try_from(event.partition).ok().and_then(|partition| self.0.get(partition));
        reached.is_some_and(|reached| event.raw_seq <= *reached)
    }
}

impl Rebuilder {
    pub(super) async fn silver(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        progress: &RebuildProgress,
    ) -> Result<(), LakeError> {
        let months = Months::of(from, to);
        progress.table(self.lines(months, progress).await.map_err(|error| error.of(SilverOrderLine::TABLE))?);
        // They have no months of their own.
        if months.is_all() {
            progress.table(self.orders(progress).await.map_err(|error| error.of(SilverOrder::TABLE))?);
        }
        Ok(())
    }

    async fn lines(&self, months: Months, progress: &RebuildProgress) -> Result<RebuiltTable, LakeError> {
        for _ in 0..TRIES {
            if let Some(rebuilt) = self.try_lines(months, progress).await? {
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
    async fn try_lines(&self, months: Months, progress: &RebuildProgress) -> Result<Option<RebuiltTable>, LakeError> {
        let definition = &SilverOrderLine::TABLE;
        self.settled(definition).await?;
        let table = self.lake.table(definition, &self.properties).await?;
        let mut rebuild = TableRebuild::begin(table, months, self.apps(definition)).await?;
        let events = self.events(definition, months, rebuild.reached()).await?;
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
        let events = self.events(definition, Months::default(), rebuild.reached()).await?;
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
        let folders = rebuild.compare(self.memory).await?;
        let version = match folders.iter().all(|folder| folder.equal) {
            true => None,
            false => match rebuild.swap().await? {
                None => return Ok(None),
                version => version,
            },
        };
        Ok(Some(told(definition, &folders, version)))
    }

    fn apps(&self, table: &'static TableDefinition) -> Vec<AppId> {
        self.partitions.all().map(|partition| AppId::of(table, partition)).collect()
    }

    /// Waits for a moment until the table has what `silver.events` has: a commit of both is
    /// under way. What it has not then it has lost.
    async fn settled(&self, table: &'static TableDefinition) -> Result<(), LakeError> {
        let events = self.lake.table(&SilverEvent::TABLE, &self.properties).await?;
        let events = events.reached(self.apps(&SilverEvent::TABLE)).await?;
        let mut table_now = self.lake.table(table, &self.properties).await?;
        for _ in 0..LOOKS {
            let reached = table_now.reached(self.apps(table)).await?;
            if self.partitions.all().all(|p| at(&reached, table, p) >= at(&events, &SilverEvent::TABLE, p)) {
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
        months: Months,
        reached: &Reached,
    ) -> Result<EventFiles, LakeError> {
        for _ in 0..LOOKS {
            let events = self.lake.table(&SilverEvent::TABLE, &self.properties).await?;
            let events = EventFiles::open(events, months, self.apps(&SilverEvent::TABLE)).await?;
            let has_all = |p| at(events.reached(), &SilverEvent::TABLE, p) >= at(reached, table, p);
            if self.partitions.all().all(has_all) {
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
        let (mut cut, mut ahead) = (Vec::new(), Reached::new());
        for partition in self.partitions.all() {
            let (has, could) = (at(reached, table, partition), at(events, &SilverEvent::TABLE, partition));
            if could > has {
                ahead.insert(AppId::of(table, partition), could);
            }
            cut.push(has.max(could));
        }
        (Cut(cut), ahead)
    }
}

fn at(reached: &Reached, table: &TableDefinition, partition: Partition) -> i64 {
    reached.get(&AppId::of(table, partition)).copied().unwrap_or_default()
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
