//! The table of a metric.

use deltalake::datafusion::prelude::SessionContext;
use tidemill_definitions::Window;
use tidemill_domain::Timestamp;

use super::{
    coverage::{Coverage, text},
    refreshed::{RefreshStep, RefreshTold, Refreshed},
    silver::SilverState,
    write::{GoldPart, reaches, write},
};
use crate::{MetricPlan, Scope, SqlDialect, SqlEngine, SqlError};

const DAY: i64 = 24 * 3_600_000;
/// Days that are computed at once.
const MOST_DAYS: i64 = 31;

/// A table of gold that has windows.
#[derive(Debug)]
pub(super) struct GoldTable {
    pub(super) plan: MetricPlan,
}

/// Days in a row: from the first to before the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayRun {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl GoldTable {
    pub(super) const fn of_metric(plan: MetricPlan) -> Self {
        Self { plan }
    }

    pub(super) fn path(&self) -> String {
        self.plan.gold_path()
    }

    pub(super) fn name(&self) -> String {
        self.path().replace('/', ".")
    }

    pub(super) async fn refresh(
        &self,
        engine: &SqlEngine,
        context: &SessionContext,
        silver: &SilverState,
        told: RefreshTold<'_>,
    ) -> Result<Option<Refreshed>, SqlError> {
        let (path, app) = (self.path(), self.plan.gold_app());
        let mut table = engine.lake().existing(&path).await?;
        let known = match &table {
            Some(table) => silver.coverage.of_gold(table, &app).await?,
            None => Coverage::default(),
        };
        let Some(new) = silver.coverage.behind(&known) else { return Ok(None) };
        let transactions = silver.coverage.transactions(&app);
        told(RefreshStep::Begins { table: &self.name(), reads: &["silver/events"], reaches: reaches(&transactions) });
        let scope = Scope { base: silver.base, ..Scope::default() };
        let partitioned_by = Some("day");
        if known.is_empty() || self.is_of_sessions() {
            let part = GoldPart { sql: self.sql(&scope), replaces: None, transactions, partitioned_by };
            let written = write(engine, context, &path, table, part).await?;
            return Ok(Some(Refreshed::of(&path, None, &written)?));
        }
        let mut days = days_of(context, &self.plan, &new).await?;
        // Of days whose rows are gone from silver, the table keeps what it has.
        days.retain(|day| silver.complete_since.is_none_or(|since| *day >= since));
        let runs = runs(&days, MOST_DAYS);
        let mut written = None;
        for (n, run) in runs.iter().enumerate() {
            let time = |day: i64| Some(Timestamp::saturating_from_millis(day * DAY));
            let scope = Scope { from: time(run.from), to: time(run.to), ..scope.clone() };
            // Only with the last one is all of it there.
            let transactions = if n + 1 == runs.len() { transactions.clone() } else { Vec::new() };
            let part =
                GoldPart { sql: self.sql(&scope), replaces: Some(run.condition()), transactions, partitioned_by };
            written = Some(write(engine, context, &path, table.take(), part).await?);
            table = engine.lake().existing(&path).await?;
        }
        let Some(written) = written else {
            // Nothing of it counts here, which need not be looked at again.
            let nothing = Scope { from: Some(Timestamp::EPOCH), to: Some(Timestamp::EPOCH), ..scope };
            let none = DayRun { from: 0, to: 0 }.condition();
            let part = GoldPart { sql: self.sql(&nothing), replaces: Some(none), transactions, partitioned_by };
            let written = write(engine, context, &path, table, part).await?;
            return Ok(Some(Refreshed::of(&path, Some(0), &written)?));
        };
        Ok(Some(Refreshed::of(&path, Some(days.len()), &written)?))
    }

    pub(super) fn is_of_sessions(&self) -> bool {
        matches!(self.plan.metric().window, Window::Session { .. })
    }

    pub(super) fn sql(&self, scope: &Scope) -> String {
        let dialect = SqlDialect::DataFusion;
        let plan = self.plan.own_sql(scope);
        format!("SELECT {}, {} AS \"day\" FROM ({plan})", columns_of(&self.plan), dialect.day("\"window_start\""))
    }
}

/// What a metric's table has of its plan, in the words of SQL: all columns, and what follows from them.
pub(crate) fn columns_of(plan: &MetricPlan) -> &'static str {
    match &*plan.metric().name {
        "daily_metrics" => "*, share(\"revenue\", \"orders\") AS \"average_order_value\"",
        _ => "*",
    }
}

/// The days of the windows that have rows of a condition, ascending.
pub(crate) async fn days_of(context: &SessionContext, plan: &MetricPlan, new: &str) -> Result<Vec<i64>, SqlError> {
    let sql = format!("SELECT CAST(\"day\" AS INT) FROM ({}) ORDER BY 1", plan.days_of(new));
    let mut days = Vec::new();
    for batch in context.sql(&sql).await?.collect().await? {
        for row in 0..batch.num_rows() {
            days.extend(text(&batch, 0, row)?.parse::<i64>().ok());
        }
    }
    Ok(days)
}

impl DayRun {
    pub(super) fn condition(self) -> String {
        let day = |day: i64| {
            let time = Timestamp::saturating_from_millis(day * DAY).to_string();
            format!("DATE '{}'", time.split('T').next().unwrap_or_default())
        };
        format!("day >= {} AND day < {}", day(self.from), day(self.to))
    }
}

/// Days as runs, none longer than so many.
pub(crate) fn runs(days: &[i64], most: i64) -> Vec<DayRun> {
    let mut runs: Vec<DayRun> = Vec::new();
    for day in days {
        match runs.last_mut() {
            Some(run) if run.to == *day && run.to - run.from < most => run.to += 1,
            _ => runs.push(DayRun { from: *day, to: day + 1 }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_in_a_row_are_computed_at_once() {
        let long: Vec<i64> = (100..140).collect();
        assert_eq!(runs(&long, MOST_DAYS), [DayRun { from: 100, to: 131 }, DayRun { from: 131, to: 140 }]);
        assert_eq!(runs(&[-1, 0, 5], MOST_DAYS), [DayRun { from: -1, to: 1 }, DayRun { from: 5, to: 6 }]);
        let condition = DayRun { from: 20_000, to: 20_001 }.condition();
        assert_eq!(condition, "day >= DATE '2024-10-04' AND day < DATE '2024-10-05'");
    }
}
