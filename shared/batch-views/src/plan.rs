//! From a metric definition to SQL.
//!
//! A plan has three parts. `rows` are what events contribute: dimensions, and values
//! of measures. `placed` puts each row into its windows. Then rows are grouped by window
//! and dimensions. The first part is our row function in our own engine
//! (`docs/adr/0050-the-batch-runs-the-streams-own-rows.md`); the others are plain SQL
//! in every engine.

mod conditions;
mod elsewhere;
mod fields;
mod placed;
mod source;
mod states;
#[cfg(test)]
mod tests;
mod totals;

use std::sync::Arc;

use tidemill_definitions::{MetricDefinition, Window};
use tidemill_domain::{Currency, Timestamp};

use crate::{SqlDialect, columns::MetricColumns};

/// How a metric is computed from the lake's tables.
#[derive(Debug, Clone)]
pub struct MetricPlan {
    metric: Arc<MetricDefinition>,
    columns: MetricColumns,
}

/// Why a metric has no plan for another engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A field that it cannot find.
    #[error("the engine has no words for the field {0}: read the metric's table in gold")]
    Field(String),
    /// A condition that does more than compare.
    #[error("the engine has no words for the condition {0:?}: read the metric's table in gold")]
    Condition(String),
}

/// What of a metric is computed.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Windows that start then or later.
    pub from: Option<Timestamp>,
    /// Windows that start before.
    pub to: Option<Timestamp>,
    /// The base currency in which amounts are told beside their own.
    pub base: Option<Currency>,
    /// A condition of SQL that events hold beside.
    pub only: Option<String>,
    /// Late events in place of those that count.
    pub late: bool,
    /// Rows say which event they are of, and with which reference data it was enriched:
    /// columns `#raw_seq`, `#index` and `#reference`.
    pub places: bool,
}

impl MetricPlan {
    /// The plan of a metric.
    pub fn of(metric: &Arc<MetricDefinition>) -> Self {
        Self { metric: Arc::clone(metric), columns: MetricColumns::of(metric) }
    }

    /// The metric.
    pub fn metric(&self) -> &MetricDefinition {
        &self.metric
    }

    pub(crate) const fn columns(&self) -> &MetricColumns {
        &self.columns
    }

    /// Where its table is in gold.
    pub(crate) fn gold_path(&self) -> String {
        format!("gold/{}", self.metric.name)
    }

    /// By what name the table says how far it is. A changed definition begins anew.
    pub(crate) fn gold_app(&self) -> String {
        format!("{}@{}", self.gold_path(), self.metric.version())
    }

    pub(crate) fn shared_metric(&self) -> Arc<MetricDefinition> {
        Arc::clone(&self.metric)
    }

    /// A query that gives the metric's table: a row for each window and combination of
    /// dimensions; of sessions, in each partition.
    ///
    /// # Errors
    /// Another engine than ours has no words for a field or a condition.
    pub fn sql(&self, dialect: SqlDialect, scope: &Scope) -> Result<String, PlanError> {
        let rows = match dialect {
            SqlDialect::DataFusion => self.rows(dialect, scope),
            SqlDialect::DuckDb | SqlDialect::Spark => self.rows_elsewhere(dialect, scope)?,
        };
        Ok(self.sql_over(dialect, scope, rows))
    }

    /// The same in our engine, which has words for everything.
    pub(crate) fn own_sql(&self, scope: &Scope) -> String {
        self.sql_over(SqlDialect::DataFusion, scope, self.rows(SqlDialect::DataFusion, scope))
    }

    fn sql_over(&self, dialect: SqlDialect, scope: &Scope, rows: String) -> String {
        let placed = self.placed(dialect);
        let totals = self.totals(dialect, scope);
        format!("WITH {}\n{totals}", with(dialect, &[("rows", rows)], placed))
    }

    /// Named queries in front of a question of its own over `placed`, which has each row
    /// once for each of its windows, and over `rows`.
    pub(crate) fn own_rows(&self, scope: &Scope) -> String {
        let dialect = SqlDialect::DataFusion;
        format!("WITH {}", with(dialect, &[("rows", self.rows(dialect, scope))], self.placed(dialect)))
    }

    /// The days of the windows that the events of a condition are in: a query with the
    /// column `day`.
    pub fn days_of(&self, condition: &str) -> String {
        let dialect = SqlDialect::DataFusion;
        let types = self.condition(dialect, &Scope::default());
        let events = format!("SELECT \"partition\", \"time\" FROM silver.events WHERE {types} AND ({condition})");
        let day = dialect.day("\"window_start\"");
        let placed = match self.metric.window {
            // A session may begin long before, and what is new may join two of them.
            Window::Session { .. } => vec![("placed", "SELECT \"time\" AS \"window_start\" FROM \"rows\"".into())],
            _ => self.placed(dialect),
        };
        format!("WITH {}\nSELECT DISTINCT {day} AS \"day\" FROM \"placed\"", with(dialect, &[("rows", events)], placed))
    }

    fn session_key(&self, dialect: SqlDialect) -> String {
        let names = std::iter::once("partition").chain(self.columns.dimensions.iter().map(String::as_str));
        names.map(|name| dialect.name(name)).collect::<Vec<_>>().join(", ")
    }
}

/// Named queries, one after the other.
fn with(dialect: SqlDialect, first: &[(&'static str, String)], then: Vec<(&'static str, String)>) -> String {
    let all = first.iter().cloned().chain(then);
    let named = all.map(|(name, query)| format!("{} AS (\n  {query}\n)", dialect.name(name)));
    named.collect::<Vec<_>>().join(", ")
}
