//! Rows of the quarantine that become rows of silver after all.
//!
//! A redrive has a number. That it takes a row is one commit, with the number in the row and as a
//! transaction: who comes second finds the number there and takes nothing. So which rows a redrive
//! takes is settled before any of them is written elsewhere, and whoever goes on with it after a
//! crash finds the same ones.

mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use deltalake::{
    arrow::{
        array::{Int32Array, Int64Array, RecordBatch},
        datatypes::{DataType, Field, Schema},
    },
    datafusion::prelude::{Expr, SessionContext, col, ident, lit},
};
use futures::TryStreamExt;
use tidemill_domain::Timestamp;

pub use self::read::HeldEvent;
use self::read::{held, moment};
use crate::{
    append::{Commit, TRIES, TablePart, pause},
    error::{LakeError, LakeErrorKind, is_conflict},
    progress::{AppId, Reached},
    table::LakeTable,
    tables::QuarantinedEvent,
    write::fresh,
};

/// Rows that one redrive takes at most.
const MOST_ROWS: usize = 20_000;
/// What a row is of.
const SAME: &str = r#"target."partition" = source."partition" AND target.raw_seq = source.raw_seq
    AND target."index" = source."index""#;

/// Which rows a redrive looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveScope {
    /// The redrive; each has a higher number than those before.
    pub number: i64,
    /// The rule that has held them back; any, where none is named.
    pub rule: Option<String>,
    /// Taken in by ingestion at that time or later.
    pub from: Option<Timestamp>,
    /// Taken in before.
    pub to: Option<Timestamp>,
}

/// Keeps the quarantine.
#[derive(Debug)]
pub struct QuarantineKeeper {
    table: LakeTable,
}

impl QuarantineKeeper {
    /// Of this table.
    pub const fn new(table: LakeTable) -> Self {
        Self { table }
    }

    /// The number of the last redrive that has taken its rows; 0 for none.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn last(&mut self) -> Result<i64, LakeError> {
        self.table.refresh().await?;
        Ok(self.reached().await?.get(&app()).copied().unwrap_or_default())
    }

    /// Takes those rows for a redrive that pass, if it has not taken its rows before.
    ///
    /// # Errors
    /// The store did not do it, or did not say so: to call it again is always right.
    pub async fn take(&mut self, scope: &RedriveScope, passes: impl Fn(&HeldEvent) -> bool) -> Result<(), LakeError> {
        let taken = self.try_take(scope, passes).await;
        taken.map_err(|error| error.of(self.table.definition()))
    }

    async fn try_take(&mut self, scope: &RedriveScope, passes: impl Fn(&HeldEvent) -> bool) -> Result<(), LakeError> {
        for conflicts in 0..TRIES {
            self.table.refresh().await?;
            let reached = self.reached().await?;
            let parts =
                [TablePart { app: app(), reaches: scope.number, rows: RecordBatch::new_empty(places_schema()) }];
            let commit = Commit { parts: &parts, reached: &reached };
            if commit.is_done() {
                return Ok(());
            }
            let mut places = Vec::new();
            let mut rows = self.rows(waiting(scope)).await?;
            while let Some(batch) = rows.try_next().await? {
                let fitting = held(&batch)?.into_iter().filter(&passes);
                places.extend(fitting.map(|event| (event.partition, event.raw_seq, event.index)));
                if places.len() >= MOST_ROWS {
                    places.truncate(MOST_ROWS);
                    break;
                }
            }
            drop(rows);
            let made = match places.is_empty() {
                // That it has taken none is settled too.
                true => commit.make(&self.table, Vec::new()).await?.is_some(),
                false => self.mark(&places, scope.number, &commit).await?,
            };
            if made {
                return Ok(());
            }
            pause(conflicts).await;
        }
        Err(LakeError::new(LakeErrorKind::Contended, format!("others were first {TRIES} times")))
    }

    /// The rows that a redrive has taken, in the order of the log.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn taken(&mut self, number: i64) -> Result<Vec<HeldEvent>, LakeError> {
        let read = async {
            self.table.refresh().await?;
            let mut rows = self.rows(col("redrive").eq(lit(number))).await?;
            let mut events = Vec::new();
            while let Some(batch) = rows.try_next().await? {
                events.extend(held(&batch)?);
            }
            Ok(events)
        };
        read.await.map_err(|error: LakeError| error.of(QuarantinedEvent::TABLE))
    }

    async fn reached(&self) -> Result<Reached, LakeError> {
        self.table.reached([app()]).await
    }

    async fn rows(&self, only: Expr) -> Result<deltalake::datafusion::execution::SendableRecordBatchStream, LakeError> {
        let context = SessionContext::new();
        let provider = self.table.delta().table_provider().await?;
        let order = ["partition", "raw_seq", "index"].map(|column| ident(column).sort(true, true));
        let rows = context.read_table(provider)?.filter(only)?.sort(order.to_vec())?;
        Ok(rows.execute_stream().await?)
    }

    /// Marks rows as taken; answers whether nobody else was first.
    async fn mark(&self, places: &[(i32, i64, i32)], number: i64, commit: &Commit<'_>) -> Result<bool, LakeError> {
        let context = SessionContext::new();
        let source = context.read_batch(places_batch(places)?)?;
        let merge = self
            .table
            .delta()
            .clone()
            .merge(source, SAME)
            .with_source_alias("source")
            .with_target_alias("target")
            .with_writer_properties(fresh())
            .with_commit_properties(commit.properties())
            .when_matched_update(|update| update.update("redrive", lit(number)))?;
        match merge.await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn app() -> AppId {
    AppId::of_redrives(&QuarantinedEvent::TABLE)
}

/// What a redrive looks at.
fn waiting(scope: &RedriveScope) -> Expr {
    let RedriveScope { number: _, rule, from, to } = scope;
    let mut only = col("redrive").is_null();
    if let Some(rule) = rule {
        only = only.and(col("rule").eq(lit(rule.as_str())));
    }
    if let Some(from) = from {
        only = only.and(col("received").gt_eq(moment(*from)));
    }
    if let Some(to) = to {
        only = only.and(col("received").lt(moment(*to)));
    }
    only
}

fn places_schema() -> Arc<Schema> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let (int, long) = (DataType::Int32, DataType::Int64);
    Arc::new(Schema::new(vec![field("partition", int.clone()), field("raw_seq", long), field("index", int)]))
}

fn places_batch(places: &[(i32, i64, i32)]) -> Result<RecordBatch, LakeError> {
    let partitions: Int32Array = places.iter().map(|place| place.0).collect();
    let sequences: Int64Array = places.iter().map(|place| place.1).collect();
    let indexes: Int32Array = places.iter().map(|place| place.2).collect();
    Ok(RecordBatch::try_new(places_schema(), vec![Arc::new(partitions), Arc::new(sequences), Arc::new(indexes)])?)
}
