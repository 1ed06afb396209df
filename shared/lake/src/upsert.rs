//! Changes of orders into the table of orders, each exactly once.
//!
//! As with rows that are appended, a commit says how far the log is, and what the table
//! has already is left out. What is left is added up by order and currency, and added to
//! what is there: amounts of two currencies are never added.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use deltalake::{
    arrow::{array::RecordBatch, compute::concat_batches},
    datafusion::{
        datasource::MemTable,
        prelude::{DataFrame, SessionContext},
    },
};

use crate::{
    append::{Appended, Commit, TRIES, TablePart, apps_of, pause},
    error::{LakeError, LakeErrorKind, is_conflict},
    progress::{AppId, Reached},
    schema::arrow_schema,
    table::LakeTable,
    tables::OrderChange,
    write::fresh,
};

/// Amounts of an order, which add up.
const AMOUNTS: [&str; 9] = ["gross", "discount", "revenue", "refund", "cancelled", "net", "shipping", "tax", "excess"];
/// What is taken over from the first event that tells it.
const TEXTS: [&str; 3] = ["customer", "country", "region"];
/// What a row is of.
const SAME: &str = r#"target."partition" = source."partition" AND target.order_id = source.order_id
    AND target.currency IS NOT DISTINCT FROM source.currency"#;

/// Keeps the table of orders.
#[derive(Debug)]
pub struct OrderKeeper {
    table: LakeTable,
}

impl OrderKeeper {
    /// Of this table.
    pub const fn new(table: LakeTable) -> Self {
        Self { table }
    }

    /// How far the table is.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn reached(&mut self, app: &AppId) -> Result<i64, LakeError> {
        self.table.refresh().await?;
        let reached = self.table.reached([app.clone()]).await?;
        Ok(reached.get(app).copied().unwrap_or_default())
    }

    /// As [`LakeTable::checkpoint`].
    ///
    /// # Errors
    /// The store did not do it; the table is as it was.
    pub async fn checkpoint(&mut self) -> Result<usize, LakeError> {
        self.table.checkpoint().await
    }

    /// Takes changes in one version in, without what is in the table already.
    ///
    /// # Errors
    /// The store did not do it, or did not say so: to call it again with the same
    /// parts is always right.
    pub async fn apply(&mut self, parts: &[TablePart]) -> Result<Appended, LakeError> {
        let applied = self.try_apply(parts).await;
        applied.map_err(|error| error.of(self.table.definition()))
    }

    async fn try_apply(&mut self, parts: &[TablePart]) -> Result<Appended, LakeError> {
        for conflicts in 0..TRIES {
            self.table.refresh().await?;
            let reached = self.table.reached(apps_of(parts)).await?;
            let version = self.table.version();
            let commit = Commit { parts, reached: &reached };
            if commit.is_done() {
                return Ok(Appended { version, rows: 0, conflicts });
            }
            let changes = changes_behind(parts, &reached)?;
            let rows = changes.num_rows();
            let made = match rows {
                0 => commit.make(&self.table, Vec::new()).await?,
                _ => self.merge(changes, &commit).await?,
            };
            if let Some(version) = made {
                return Ok(Appended { version, rows, conflicts });
            }
            pause(conflicts).await;
        }
        Err(LakeError::new(LakeErrorKind::Contended, format!("others were first {TRIES} times")))
    }

    /// Makes the next version; `None` where somebody else was first.
    async fn merge(&self, changes: RecordBatch, commit: &Commit<'_>) -> Result<Option<u64>, LakeError> {
        let source = added_up(changes).await?;
        let merge = self
            .table
            .delta()
            .clone()
            .merge(source, SAME)
            .with_source_alias("source")
            .with_target_alias("target")
            .with_writer_properties(fresh())
            .with_commit_properties(commit.properties())
            .when_matched_update(|mut update| {
                for amount in AMOUNTS {
                    update = update.update(amount, format!("target.{amount} + source.{amount}"));
                }
                for text in TEXTS {
                    update = update.update(text, format!("coalesce(target.{text}, source.{text})"));
                }
                update
                    .update("placed_at", "coalesce(target.placed_at, source.placed_at)")
                    .update("first_event", "least(target.first_event, source.first_event)")
                    .update("last_event", "greatest(target.last_event, source.last_event)")
                    .update("raw_seq", "greatest(target.raw_seq, source.raw_seq)")
                    .update(
                        "status",
                        status(
                            |amount| format!("(target.{amount} + source.{amount})"),
                            "coalesce(target.placed_at, source.placed_at)",
                        ),
                    )
            })?
            .when_not_matched_insert(|mut insert| {
                let same = ["partition", "order_id", "currency", "placed_at", "first_event", "last_event", "raw_seq"];
                for column in same.into_iter().chain(TEXTS).chain(AMOUNTS) {
                    insert = insert.set(column, format!("source.\"{column}\""));
                }
                insert.set("status", status(|amount| format!("source.{amount}"), "source.placed_at"))
            })?;
        match merge.await {
            Ok((table, _)) => Ok(Some(table.version().unwrap_or_default())),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What became of an order, by what its amounts come to.
fn status(amount: impl Fn(&str) -> String, placed_at: &str) -> String {
    let [revenue, refund, cancelled, net] = ["revenue", "refund", "cancelled", "net"].map(amount);
    format!(
        "CASE WHEN {placed_at} IS NULL THEN 'unknown' \
         WHEN {cancelled} > 0 AND {cancelled} >= {revenue} THEN 'cancelled' \
         WHEN {refund} > 0 AND {net} <= 0 THEN 'refunded' \
         WHEN {refund} > 0 THEN 'partly_refunded' ELSE 'placed' END"
    )
}

/// The changes that the table has not.
fn changes_behind(parts: &[TablePart], reached: &Reached) -> Result<RecordBatch, LakeError> {
    let behind = |part: &TablePart| part.rows_behind("raw_seq", reached.get(&part.app).copied().unwrap_or_default());
    let batches = parts.iter().map(behind).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&arrow_schema(&OrderChange::TABLE), &batches)?)
}

/// The changes of each order and currency as one.
async fn added_up(changes: RecordBatch) -> Result<DataFrame, LakeError> {
    Ok(over(changes)?.sql(&sums_of_changes()).await?)
}

/// The orders that all of their changes come to.
pub(crate) async fn orders_of(changes: RecordBatch) -> Result<Vec<RecordBatch>, LakeError> {
    Ok(over(changes)?.sql(&orders_of_changes()).await?.collect().await?)
}

fn over(changes: RecordBatch) -> Result<SessionContext, LakeError> {
    let context = SessionContext::new();
    let table = MemTable::try_new(changes.schema(), vec![vec![changes]])?;
    context.register_table("changes", Arc::new(table))?;
    Ok(context)
}

/// The changes of each order and currency as one, in SQL over `changes`.
fn sums_of_changes() -> String {
    let sums = AMOUNTS.map(|amount| format!("CAST(sum({amount}) AS DECIMAL(38, 12)) AS {amount}")).join(", ");
    let first = |column: &&str| {
        // However changes are cut into commits, the first that tells it decides.
        let earliest = format!("first_value({column} ORDER BY raw_seq, {column})");
        format!("{earliest} FILTER (WHERE {column} IS NOT NULL) AS {column}")
    };
    let firsts = ["placed_at"].iter().chain(&TEXTS).map(first).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT \"partition\", order_id, currency, min(\"time\") AS first_event, max(\"time\") AS last_event, \
         {firsts}, {sums}, max(raw_seq) AS raw_seq FROM changes GROUP BY \"partition\", order_id, currency"
    )
}

/// The orders that all changes come to, in SQL over `changes`.
fn orders_of_changes() -> String {
    let status = status(str::to_owned, "placed_at");
    format!("SELECT *, {status} AS status FROM ({})", sums_of_changes())
}
