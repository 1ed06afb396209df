//! The numbers that are asked for, and which rows belong to them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidemill_definitions::Window;
use tidemill_domain::{Currency, Timestamp};

use super::{
    CellLineage, LineageError, LineageQuestion,
    places::{int, text},
    question::DimensionFilter,
};
use crate::{MetricPlan, Scope, SqlDialect};

/// Numbers that are told at once.
pub(super) const MOST_NUMBERS: usize = 50;
const DIALECT: SqlDialect = SqlDialect::DataFusion;

/// Which numbers, in the words of SQL.
pub(super) struct AskedCells {
    plan: MetricPlan,
    filters: Vec<DimensionFilter>,
    /// The start of the window; of sessions, a time in it.
    pub(super) time: Timestamp,
}

impl AskedCells {
    pub(super) fn new(plan: MetricPlan, question: &LineageQuestion, filters: Vec<DimensionFilter>) -> Self {
        let time = match plan.metric().window.step_millis() {
            // The last window that starts until then.
            Some(step) => question.window.floor_to(step),
            None => question.window,
        };
        Self { plan, filters, time }
    }

    pub(super) const fn plan(&self) -> &MetricPlan {
        &self.plan
    }

    pub(super) fn filters(&self) -> &[DimensionFilter] {
        &self.filters
    }

    pub(super) fn is_session(&self) -> bool {
        matches!(self.plan.metric().window, Window::Session { .. })
    }

    pub(super) fn table(&self) -> String {
        format!("gold.{}", DIALECT.name(&self.plan.metric().name))
    }

    /// The window, as a condition of the table.
    pub(super) fn window(&self) -> String {
        let time = DIALECT.time(self.time);
        match self.is_session() {
            true => format!("\"window_start\" <= {time} AND \"window_end\" > {time}"),
            false => format!("\"window_start\" = {time}"),
        }
    }

    /// The dimensions, as a condition of the table and of rows.
    pub(super) fn dimensions(&self) -> String {
        let all: Vec<_> = self.filters.iter().map(DimensionFilter::sql).collect();
        if all.is_empty() { "TRUE".into() } else { all.join(" AND ") }
    }

    /// A query of the numbers.
    pub(super) fn sql(&self) -> String {
        let order = ["window_start"].into_iter().chain(self.plan.columns().dimensions.iter().map(String::as_str));
        let order = order.map(|column| DIALECT.name(column)).collect::<Vec<_>>().join(", ");
        format!(
            "SELECT * EXCEPT (\"day\") FROM {} WHERE {} AND {} ORDER BY {order} LIMIT {}",
            self.table(),
            self.window(),
            self.dimensions(),
            MOST_NUMBERS + 1
        )
    }

    /// A number that gold has.
    pub(super) fn cell(&self, row: Map<String, Value>) -> Result<CellLineage, LineageError> {
        let time = |name: &str| {
            let read = text(&row, name).and_then(|text| text.parse::<Timestamp>().ok());
            read.ok_or_else(|| LineageError::Sql(crate::SqlError::Failed(format!("{name} of gold is no time"))))
        };
        let (window_start, window_end) = (time("window_start")?, time("window_end")?);
        let columns = &self.plan.columns().dimensions;
        let named = self.plan.metric().dimensions.keys().zip(columns);
        let dimensions: BTreeMap<_, _> =
            named.map(|(name, column)| (name.clone(), text(&row, column).unwrap_or_default())).collect();
        let partition = self.is_session().then(|| int(&row, "partition"));
        let is_key = |name: &String| {
            ["window_start", "window_end", "partition"].contains(&name.as_str()) || columns.contains(name)
        };
        let gold = row.into_iter().filter(|(name, _)| !is_key(name)).collect();
        Ok(CellLineage { window_start, window_end, partition, dimensions, gold, again: None, equal: false })
    }

    /// The window that numbers are of, as bounds of event time.
    pub(super) fn bounds(&self, cells: &[CellLineage]) -> (Timestamp, Timestamp) {
        let from = cells.iter().map(|cell| cell.window_start).min().unwrap_or(self.time);
        let to = cells.iter().map(|cell| cell.window_end).max().unwrap_or(self.time);
        (from, to)
    }

    /// Rows that the numbers are of, as a condition of `placed`.
    pub(super) fn rows(&self, cells: &[CellLineage]) -> String {
        let within = match self.is_session() {
            false => self.window(),
            true => self.spans(cells, 0),
        };
        format!("({within}) AND {}", self.dimensions())
    }

    /// Times of sessions and so much around them, as a condition of events.
    fn spans(&self, cells: &[CellLineage], around: i64) -> String {
        let span = |cell: &CellLineage| {
            let from = DIALECT.time(cell.window_start.plus_millis(-around));
            let to = DIALECT.time(cell.window_end.plus_millis(around));
            let partition = cell.partition.unwrap_or_default();
            format!("(\"partition\" = {partition} AND \"time\" >= {from} AND \"time\" < {to})")
        };
        let spans: Vec<_> = cells.iter().map(span).collect();
        if spans.is_empty() { "FALSE".into() } else { spans.join(" OR ") }
    }

    /// Which events may be in the numbers.
    pub(super) fn scope(&self, cells: &[CellLineage]) -> Scope {
        match self.plan.metric().window {
            // What lies within a gap would be part of it.
            Window::Session { gap_millis } => Scope { only: Some(self.spans(cells, gap_millis)), ..Scope::default() },
            _ => Scope { from: Some(self.time), to: Some(self.time.plus_millis(1)), ..Scope::default() },
        }
    }

    /// The same, in the base currency that gold has told its numbers in.
    pub(super) fn scope_of_numbers(&self, cells: &[CellLineage]) -> Scope {
        let told = cells.iter().find_map(|cell| text(&cell.gold, "base_currency"));
        let base: Option<Currency> = told.and_then(|told| told.parse().ok());
        Scope { base, ..self.scope(cells) }
    }
}

impl Scope {
    /// The same, of events for which a condition holds as well.
    pub(super) fn and(self, condition: &str) -> Self {
        let only = match &self.only {
            Some(only) => format!("({only}) AND ({condition})"),
            None => condition.to_owned(),
        };
        Self { only: Some(only), ..self }
    }
}
