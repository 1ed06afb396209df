//! Events of silver by the rules of now, and order lines and orders from them, by the code that made
//! them first.

use std::time::Duration;

use tidemill_batch_views::{RebuiltFolder, RebuiltTable};
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{
    AppId, EventFiles, FolderComparison, KeptEvent, LakeError, LakeErrorKind, Months, OrderRebuild, Reached,
    RebuildPart, Row, TableDefinition, TableRebuild, TableRows,
    tables::{OrderChange, SilverEvent, SilverOrder, SilverOrderLine},
};
use tokio::time::sleep;

use super::{Rebuilder, progress::RebuildProgress};
use crate::silver::{again_events, again_lines, again_orders};

/// Rows that are gathered before they are written.
const CHUNK: usize = 50_000;
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

/// A table of silver that is made anew.
#[derive(Debug, Clone, Copy)]
enum MadeTable {
    Events,
    Lines,
    Orders,
}

impl MadeTable {
    const fn definition(self) -> &'static TableDefinition {
        match self {
            Self::Events => &SilverEvent::TABLE,
            Self::Lines => &SilverOrderLine::TABLE,
            Self::Orders => &SilverOrder::TABLE,
        }
    }
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
        progress.table(self.made(MadeTable::Events, range, progress).await?);
        progress.table(self.made(MadeTable::Lines, range, progress).await?);
        // They have no months of their own: all events have to be there.
        if self.months(&SilverOrder::TABLE, range).await?.is_all() {
            progress.table(self.made(MadeTable::Orders, range, progress).await?);
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

    /// Makes a table anew, and once more where others have changed the same files meanwhile.
    async fn made(
        &self,
        table: MadeTable,
        range: RebuildRange,
        progress: &RebuildProgress,
    ) -> Result<RebuiltTable, LakeError> {
        let name = table.definition();
        for _ in 0..TRIES {
            let made = match table {
                MadeTable::Events => self.try_events(range, progress).await,
                MadeTable::Lines => self.try_lines(range, progress).await,
                MadeTable::Orders => self.try_orders(progress).await,
            };
            if let Some(rebuilt) = made.map_err(|error| error.of(name))? {
                return Ok(rebuilt);
            }
        }
        Err(contended().of(name))
    }

    /// The events themselves, out of what they are made of: columns that an older release or other
    /// rules have made otherwise.
    async fn try_events(
        &self,
        range: RebuildRange,
        progress: &RebuildProgress,
    ) -> Result<Option<RebuiltTable>, LakeError> {
        let definition = &SilverEvent::TABLE;
        let months = self.months(definition, range).await?;
        let table = self.lake.table(definition, &self.properties).await?;
        let part = TableRebuild::begin(table, &months, self.apps(definition)).await?;
        let rows = TableRows::<SilverEvent<'static>>::with(self.rules.columns.more().columns())?;
        let add = |rows: &mut _, event: &KeptEvent<'_>| again_events(rows, event, &self.rules);
        let (part, folders) = self.filled(definition, part, (rows, add), &months, progress).await?;
        let is_whole = self.months(definition, range).await? == months;
        exchanged(definition, part, &folders, is_whole).await
    }

    async fn try_lines(
        &self,
        range: RebuildRange,
        progress: &RebuildProgress,
    ) -> Result<Option<RebuiltTable>, LakeError> {
        let definition = &SilverOrderLine::TABLE;
        self.settled(definition).await?;
        let months = self.months(definition, range).await?;
        let table = self.lake.table(definition, &self.properties).await?;
        let part = TableRebuild::begin(table, &months, self.apps(definition)).await?;
        let rows = TableRows::<SilverOrderLine<'static>>::new()?;
        let (part, folders) = self.filled(definition, part, (rows, again_lines), &months, progress).await?;
        let is_whole = self.months(definition, range).await? == months;
        exchanged(definition, part, &folders, is_whole).await
    }

    /// Their writer waits meanwhile, since it would change the same files.
    async fn try_orders(&self, progress: &RebuildProgress) -> Result<Option<RebuiltTable>, LakeError> {
        let definition = &SilverOrder::TABLE;
        self.settled(definition).await?;
        let _pause = self.committers.orders.pause().await?;
        let table = self.lake.table(definition, &self.properties).await?;
        let part = OrderRebuild::begin(&self.lake, table, &self.properties, self.apps(definition)).await?;
        let (rows, months) = (TableRows::<OrderChange<'static>>::new()?, Months::default());
        let (part, folders) = self.filled(definition, part, (rows, again_orders), &months, progress).await?;
        let is_whole = self.months(definition, RebuildRange { from: None, to: None }).await?.is_all();
        exchanged(definition, part, &folders, is_whole).await
    }

    /// Fills a part with the rows that events give, as far as its table has those, and compares it.
    async fn filled<R: Row, P: RebuildPart>(
        &self,
        definition: &'static TableDefinition,
        mut part: P,
        (mut rows, add): (TableRows<R>, impl Fn(&mut TableRows<R>, &KeptEvent<'_>)),
        months: &Months,
        progress: &RebuildProgress,
    ) -> Result<(P, Vec<FolderComparison>), LakeError> {
        let events = self.events(definition, months, part.reached()).await?;
        let (cut, ahead) = self.cut(definition, part.reached(), events.reached());
        part.reaches(ahead);
        progress.begin(&definition.to_string(), events.len());
        for place in 0..events.len() {
            let Some(mut file) = events.file(place).await? else { break };
            while file.next(|event| {
                if cut.has(&event) {
                    add(&mut rows, &event);
                }
            })? {
                if rows.len() >= CHUNK {
                    part.push(rows.take()?).await?;
                }
                tokio::task::yield_now().await;
            }
            progress.step();
        }
        part.push(rows.take()?).await?;
        let folders = part.compare().await?;
        Ok((part, folders))
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
        // What events have got meanwhile is in files of their own, which stay.
        let are_its_own = table.path() == SilverEvent::TABLE.path();
        for (app, has, could) in self.both(table, reached, events) {
            let could = if are_its_own { has } else { could };
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

/// Puts a part in place where it differs; `None` where it is to be begun anew: others have changed
/// the same files, or events of it may have been dropped or moved before they were read.
async fn exchanged(
    table: &TableDefinition,
    part: impl RebuildPart,
    folders: &[FolderComparison],
    is_whole: bool,
) -> Result<Option<RebuiltTable>, LakeError> {
    if !is_whole {
        return Ok(None);
    }
    if folders.iter().all(|folder| folder.equal) {
        return Ok(Some(told(table, folders, None)));
    }
    Ok(part.swap().await?.map(|version| told(table, folders, Some(version))))
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
