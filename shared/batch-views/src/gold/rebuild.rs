//! Gold made anew from silver, beside what is there; then both are compared, and one
//! version of a table takes the new rows in place of the old.

use std::collections::BTreeMap;

use deltalake::{DeltaTable, datafusion::prelude::SessionContext, kernel::Transaction};
use serde_json::{Map, Value};
use tidemill_domain::Timestamp;

use super::{
    Gold, lifetime,
    silver::SilverState,
    table::{DayRun, GoldTable},
    write::{GoldPart, write},
};
use crate::{Scope, SqlEngine, SqlError, engine::TableVersions, session};

/// Folders that are told of a table.
const TOLD: usize = 100;
/// The years that dates can be written of, in days since 1970.
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;

/// Days of windows: from the first to before the other. Without a bound, all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RebuiltDays {
    /// Windows that start on the day of this time or later.
    pub from: Option<Timestamp>,
    /// Windows that start before the end of the day that this time is in, or before it where it begins a day.
    pub to: Option<Timestamp>,
}

/// A folder in which something was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct RebuiltFolder {
    /// Its name, for instance `day=2026-01-31`.
    pub folder: String,
    /// Rows before.
    pub before: u64,
    /// Rows now.
    pub after: u64,
}

/// What became of a table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct RebuiltTable {
    /// Its name.
    pub table: String,
    /// Rows of the part before.
    pub before: u64,
    /// Rows of the part now.
    pub after: u64,
    /// Folders that were different, at most 100.
    pub differ: Vec<RebuiltFolder>,
    /// The version that has the new rows; none where nothing was different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// A table, computed beside.
struct NextTable {
    path: String,
    next: String,
    sql: String,
    days: Option<DayRun>,
    transactions: Vec<Transaction>,
    partitioned_by: Option<&'static str>,
}

impl RebuiltDays {
    /// As days since 1970; `None` where it is everything.
    fn run(self) -> Option<DayRun> {
        const DAY: i64 = 24 * 3_600_000;
        let from = self.from.map_or(FIRST_DAY, |from| from.millis().div_euclid(DAY));
        let to = self.to.map_or(LAST_DAY, |to| -(-to.millis()).div_euclid(DAY));
        (self.from.is_some() || self.to.is_some()).then_some(DayRun { from, to })
    }

    /// The same, of the days of which silver has all rows. Of others, a table keeps what it has.
    fn within(self, complete_since: Option<i64>) -> Option<DayRun> {
        let Some(since) = complete_since else { return self.run() };
        let DayRun { from, to } = self.run().unwrap_or(DayRun { from: since, to: LAST_DAY });
        Some(DayRun { from: from.max(since), to: to.max(since) })
    }
}

impl Gold {
    /// How many tables a rebuild goes through.
    pub fn tables(&self) -> usize {
        self.tables.len() + 1
    }

    /// Makes all tables anew, and tells each when it is done. What has no days, sessions
    /// and customers, is made anew as a whole, the latter unless days are named.
    ///
    /// # Errors
    /// The store is away, or a table cannot be read or written. Tables that were told are
    /// done, all others as they were, and to call it again is always right.
    pub async fn rebuild(
        &self,
        engine: &SqlEngine,
        days: RebuiltDays,
        mut told: impl FnMut(RebuiltTable) + Send,
    ) -> Result<(), SqlError> {
        for table in &self.tables {
            let _work = self.work.lock().await;
            let (context, sources) = self.sources(engine).await?;
            if !sources.has("silver/events") {
                continue;
            }
            let silver = SilverState::of(engine, &context).await?;
            // So that both are of the same events.
            table.refresh(engine, &context, &silver, &mut |_| {}).await?;
            let next = table.next(days, &silver);
            told(next.rebuild(engine, &context).await?);
        }
        if days.run().is_none() {
            let _work = self.work.lock().await;
            let (context, sources) = self.sources(engine).await?;
            lifetime::refresh(engine, &context, &sources, &self.segments, &mut |_| {}).await?;
            if let Some(next) = self.next_lifetime(&sources) {
                told(next.rebuild(engine, &context).await?);
            }
        }
        Ok(())
    }

    pub(super) async fn sources(&self, engine: &SqlEngine) -> Result<(SessionContext, TableVersions), SqlError> {
        let context = engine.context();
        session::register(&context, &self.metrics().collect::<Vec<_>>());
        let sources = engine.sources(&context, &["silver/events", "silver/order_lines", "silver/orders"]).await?;
        Ok((context, sources))
    }

    fn next_lifetime(&self, sources: &TableVersions) -> Option<NextTable> {
        Some(NextTable {
            path: lifetime::PATH.into(),
            next: format!("gold.next/{}", lifetime::NAME),
            sql: lifetime::sql(&self.segments),
            days: None,
            transactions: lifetime::transactions(sources)?,
            partitioned_by: None,
        })
    }
}

impl GoldTable {
    fn next(&self, days: RebuiltDays, silver: &SilverState) -> NextTable {
        let base = silver.base;
        let days = days.within(silver.complete_since).filter(|_| !self.is_of_sessions());
        let time = |day: i64| Some(Timestamp::saturating_from_millis(day.saturating_mul(24 * 3_600_000)));
        let scope = match days {
            Some(DayRun { from, to }) => Scope { from: time(from), to: time(to), base, ..Scope::default() },
            None => Scope { base, ..Scope::default() },
        };
        let path = self.plan.gold_path();
        NextTable {
            next: path.replacen("gold/", "gold.next/", 1),
            sql: self.sql(&scope),
            days,
            transactions: silver.coverage.transactions(&self.plan.gold_app()),
            partitioned_by: Some("day"),
            path,
        }
    }
}

impl NextTable {
    async fn rebuild(self, engine: &SqlEngine, context: &SessionContext) -> Result<RebuiltTable, SqlError> {
        let lake = engine.lake();
        // What an earlier run has left.
        lake.clear(&self.next).await?;
        let (partitioned_by, sql) = (self.partitioned_by, self.sql.clone());
        let part = GoldPart { sql, replaces: None, transactions: Vec::new(), partitioned_by };
        write(engine, context, &self.next, None, part).await?;
        let (old, next) = (lake.existing(&self.path).await?, lake.existing(&self.next).await?);
        let both = engine.context();
        let tables = [("gold/old", &old), ("gold/next", &next)];
        let tables = tables.into_iter().filter_map(|(name, table)| Some((name.to_owned(), table.clone()?))).collect();
        engine.provide(&both, tables).await?;
        let mut rebuilt = self.compared(engine, &both, old.is_some()).await?;
        if rebuilt.version == Some(0) {
            let next = self.next.clone();
            rebuilt.version = Some(self.swap(engine, &both, old).await?);
            lake.clear(&next).await?;
            return Ok(rebuilt);
        }
        lake.clear(&self.next).await?;
        Ok(rebuilt)
    }

    fn condition(&self) -> String {
        self.days.map_or_else(|| "TRUE".into(), DayRun::condition)
    }

    /// Both, folder by folder. The version is 0 where a new one has to be made.
    async fn compared(
        &self,
        engine: &SqlEngine,
        both: &SessionContext,
        has_old: bool,
    ) -> Result<RebuiltTable, SqlError> {
        let day = if self.partitioned_by.is_some() { "CAST(\"day\" AS VARCHAR)" } else { "''" };
        let old = format!("SELECT * FROM gold.old WHERE {}", self.condition());
        let rows = |from: String| counted(engine, both, day, from);
        let after = rows("SELECT * FROM gold.next".into()).await?;
        let mut before = BTreeMap::new();
        let mut differ: Vec<String> = after.keys().cloned().collect();
        // A table that cannot be read is different in all.
        let read = async {
            let before = rows(old.clone()).await?;
            let mut others = rows(format!("{old} EXCEPT SELECT * FROM gold.next")).await?;
            others.extend(rows(format!("SELECT * FROM gold.next EXCEPT {old}")).await?);
            let counted = before.keys().chain(after.keys()).filter(|day| before.get(*day) != after.get(*day));
            others.extend(counted.map(|day| (day.clone(), 0)));
            Ok::<_, SqlError>((before, others.into_keys().collect()))
        };
        if has_old {
            match read.await {
                Ok(known) => (before, differ) = known,
                Err(error) => tracing::warn!(table = self.path, %error, "cannot be compared, and is made anew"),
            }
        }
        let count = |of: &BTreeMap<String, u64>, folder: &String| of.get(folder).copied().unwrap_or_default();
        let folder = |name: &String| RebuiltFolder {
            folder: if name.is_empty() { String::new() } else { format!("day={name}") },
            before: count(&before, name),
            after: count(&after, name),
        };
        Ok(RebuiltTable {
            table: self.path.replace('/', "."),
            before: before.values().sum(),
            after: after.values().sum(),
            version: (!differ.is_empty()).then_some(0),
            differ: differ.iter().take(TOLD).map(folder).collect(),
        })
    }

    async fn swap(self, engine: &SqlEngine, both: &SessionContext, old: Option<DeltaTable>) -> Result<u64, SqlError> {
        let replaces = self.days.filter(|_| old.is_some()).map(DayRun::condition);
        let (sql, partitioned_by) = ("SELECT * FROM gold.next".into(), self.partitioned_by);
        let part = GoldPart { sql, replaces, transactions: self.transactions, partitioned_by };
        Ok(write(engine, both, &self.path, old, part).await?.version().unwrap_or_default())
    }
}

/// Rows of a query, by folder.
async fn counted(
    engine: &SqlEngine,
    both: &SessionContext,
    folder: &str,
    from: String,
) -> Result<BTreeMap<String, u64>, SqlError> {
    let sql = format!("SELECT {folder} AS \"folder\", count(*) AS \"rows\" FROM ({from}) GROUP BY 1");
    let rows = engine.ask(both, &sql).await?.objects()?;
    let row = |row: &Map<String, Value>| Some((row["folder"].as_str()?.to_owned(), row["rows"].as_u64()?));
    Ok(rows.iter().filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_whose_rows_are_gone_stay_as_they_are() {
        const DAY: i64 = 24 * 3_600_000;
        let days = |from: Option<i64>, to: Option<i64>, since| {
            let time = |day: i64| Timestamp::saturating_from_millis(day * DAY);
            let days = RebuiltDays { from: from.map(time), to: to.map(time) }.within(since);
            days.map(|DayRun { from, to }| (from, to))
        };
        assert_eq!(days(None, None, None), None);
        assert_eq!(days(None, None, Some(7)), Some((7, LAST_DAY)));
        assert_eq!(days(Some(3), Some(9), Some(7)), Some((7, 9)));
        assert_eq!(days(Some(3), Some(5), Some(7)), Some((7, 7)), "none");
        assert_eq!(days(Some(8), Some(9), Some(7)), Some((8, 9)));
    }
}
