//! Asks the tables, one question after the other, all of one state of them.

use std::sync::Arc;

use deltalake::{DeltaTable, datafusion::prelude::SessionContext, kernel::CommitInfo};
use futures::TryStreamExt as _;
use serde_json::{Map, Value};
use tidemill_definitions::MetricDefinition;
use tidemill_domain::Timestamp;

use super::{
    CellLineage, EventSummary, Lineage, LineageError, LineageQuestion, LogReach, TableLineage,
    cells::{AskedCells, MOST_NUMBERS},
    places::text,
    question::DimensionFilter,
};
use crate::{
    MetricPlan, Scope, SqlEngine, SqlError,
    engine::changed_at,
    gold::{Coverage, columns_of},
    session,
};

const SILVER: &str = "silver/events";
const BRONZE: &str = "bronze/events";
const DAY: i64 = 24 * 3_600_000;
/// Values of a dimension, and partitions by reference data, that are told.
const MOST_VALUES: usize = 20;
const MOST_SUMMARIES: usize = 1_000;
/// Versions of a table that are looked at for the release that wrote it.
const MOST_VERSIONS: usize = 5;

/// Traces one question.
pub(super) struct Tracer {
    pub(super) engine: Arc<SqlEngine>,
    pub(super) context: SessionContext,
    pub(super) question: LineageQuestion,
    pub(super) asked: AskedCells,
    gold: DeltaTable,
    silver: DeltaTable,
    bronze: Option<DeltaTable>,
}

impl Tracer {
    /// Opens the tables as they are now.
    pub(super) async fn open(
        engine: &Arc<SqlEngine>,
        plan: MetricPlan,
        metrics: &[Arc<MetricDefinition>],
        question: LineageQuestion,
        filters: Vec<DimensionFilter>,
    ) -> Result<Self, LineageError> {
        let context = engine.context();
        session::register(&context, metrics);
        let path = plan.gold_path();
        let mut tables = engine.opened(&context, &[&path, SILVER, BRONZE]).await?;
        let not_computed = || LineageError::NotComputed(question.metric.clone());
        let gold = tables.remove(&path).ok_or_else(not_computed)?;
        let silver = tables.remove(SILVER).ok_or_else(not_computed)?;
        let asked = AskedCells::new(plan, &question, filters);
        let (engine, bronze) = (Arc::clone(engine), tables.remove(BRONZE));
        Ok(Self { engine, context, question, asked, gold, silver, bronze })
    }

    pub(super) const fn has_bronze(&self) -> bool {
        self.bronze.is_some()
    }

    /// Rows of a question of ours.
    pub(super) async fn ask(&self, sql: &str) -> Result<Vec<Map<String, Value>>, SqlError> {
        let paths = [self.asked.plan().gold_path(), SILVER.into(), BRONZE.into()];
        let answer = self.engine.ask(&self.context, sql).await;
        answer.and_then(|answer| answer.objects()).map_err(|error| error.of_tables(&paths))
    }

    /// Goes from the numbers to their events.
    pub(super) async fn trace(self) -> Result<Lineage, LineageError> {
        let metric = self.asked.plan().metric();
        let (silver, gold) = self.coverage().await?;
        if gold.is_empty() {
            return Err(LineageError::NotComputed(metric.name.clone()));
        }
        let mut numbers = self.numbers().await?;
        self.are_there(&numbers).await?;
        let within = gold.within(&silver);
        self.add_up_again(&mut numbers, &within).await?;
        let made_of = self.made_of(&numbers, &within).await?;
        let left_out = self.left_out(&numbers, &within).await?;
        let (events, next) = self.events(&numbers, &within).await?;
        let bronze = match &self.bronze {
            Some(bronze) => Some(told(BRONZE, bronze, &silver.of_gold(bronze, BRONZE).await?).await),
            None => None,
        };
        Ok(Lineage {
            metric: metric.name.clone(),
            definition_version: metric.version().to_owned(),
            window: metric.window.kind(),
            release: env!("CARGO_PKG_VERSION"),
            gold: told(&self.asked.plan().gold_path(), &self.gold, &gold).await,
            silver: told(SILVER, &self.silver, &silver).await,
            bronze,
            equal: numbers.iter().all(|number| number.equal),
            numbers,
            made_of,
            left_out,
            events,
            next: next.map(|position| position.to_string()),
        })
    }

    /// How far silver is, and the metric's table.
    async fn coverage(&self) -> Result<(Coverage, Coverage), SqlError> {
        let silver = Coverage::of_silver(&self.context).await.map_err(|error| error.of_tables(&[SILVER.into()]))?;
        let gold = silver.of_gold(&self.gold, &self.asked.plan().gold_app()).await?;
        Ok((silver, gold))
    }

    /// Whether silver still has all events of the numbers.
    async fn are_there(&self, numbers: &[CellLineage]) -> Result<(), LineageError> {
        let Some(day) = self.engine.complete_since(SILVER).await? else { return Ok(()) };
        let since = Timestamp::saturating_from_millis(day.saturating_mul(DAY));
        match self.asked.bounds(numbers).0 < since {
            true => Err(LineageError::EventsDropped { since }),
            false => Ok(()),
        }
    }

    async fn numbers(&self) -> Result<Vec<CellLineage>, LineageError> {
        let rows = self.ask(&self.asked.sql()).await?;
        if rows.is_empty() {
            return Err(self.nothing().await?);
        }
        if rows.len() > MOST_NUMBERS {
            let all = self.asked.plan().metric().dimensions.keys();
            let dimensions = all.filter(|name| !self.question.dimensions.contains_key(*name));
            let dimensions = dimensions.cloned().collect::<Vec<_>>().join(", ");
            return Err(LineageError::TooManyNumbers { most: MOST_NUMBERS, dimensions });
        }
        rows.into_iter().map(|row| self.asked.cell(row)).collect()
    }

    /// Why there is no number.
    async fn nothing(&self) -> Result<LineageError, SqlError> {
        let (table, window) = (self.asked.table(), self.asked.window());
        let is_there = self.ask(&format!("SELECT 1 FROM {table} WHERE {window} LIMIT 1")).await?;
        if is_there.is_empty() {
            let nearest = self.nearest(&table).await?;
            let (metric, asked) = (self.question.metric.clone(), self.question.window);
            return Ok(LineageError::NoWindow { metric, asked, nearest });
        }
        for filter in self.asked.filters() {
            let column = crate::SqlDialect::DataFusion.name(&filter.column);
            let sql = format!(
                "SELECT DISTINCT {column} AS \"value\" FROM {table} WHERE {window} ORDER BY {} DESC, 1 LIMIT {MOST_VALUES}",
                filter.sql(),
            );
            let known: Vec<_> = self.ask(&sql).await?.iter().filter_map(|row| text(row, "value")).collect();
            if !known.contains(&filter.value) {
                let (dimension, value, known) = (filter.name.clone(), filter.value.clone(), known.join(", "));
                return Ok(LineageError::UnknownValue { dimension, value, known });
            }
        }
        Ok(LineageError::NotTogether)
    }

    /// The windows around, in words.
    async fn nearest(&self, table: &str) -> Result<String, SqlError> {
        let time = crate::SqlDialect::DataFusion.time(self.asked.time);
        let sql = format!(
            "SELECT max(\"window_start\") FILTER (WHERE \"window_start\" <= {time}) AS \"before\", \
             min(\"window_start\") FILTER (WHERE \"window_start\" > {time}) AS \"after\" FROM {table}"
        );
        let rows = self.ask(&sql).await?;
        let found = |name| rows.first().and_then(|row| text(row, name)).and_then(|text| text.parse::<Timestamp>().ok());
        Ok(match (found("before"), found("after")) {
            (Some(before), Some(after)) => format!("the nearest that have start at {before} and {after}"),
            (Some(last), None) => format!("the last that has starts at {last}"),
            (None, Some(first)) => format!("the first that has starts at {first}"),
            (None, None) => "no window has".into(),
        })
    }

    /// Adds the rows of each number up, as the metric's plan does.
    async fn add_up_again(&self, numbers: &mut [CellLineage], within: &str) -> Result<(), LineageError> {
        let scope = self.asked.scope_of_numbers(numbers).and(within);
        let totals = self.asked.plan().own_sql(&scope);
        let columns = columns_of(self.asked.plan());
        let sql =
            format!("SELECT {columns} FROM ({totals}) WHERE {} AND {}", self.asked.window(), self.asked.dimensions());
        for row in self.ask(&sql).await? {
            let again = self.asked.cell(row)?;
            let same = numbers.iter_mut().find(|number| {
                (number.window_start, number.partition) == (again.window_start, again.partition)
                    && number.dimensions == again.dimensions
            });
            if let Some(number) = same {
                number.equal = number.gold == again.gold && number.window_end == again.window_end;
                number.again = Some(again.gold);
            }
        }
        Ok(())
    }

    /// The rows of the numbers, as the beginning of a query over `placed`.
    pub(super) fn rows_within(&self, numbers: &[CellLineage], within: &str) -> String {
        let scope = Scope { places: true, ..self.asked.scope(numbers).and(within) };
        self.asked.plan().own_rows(&scope)
    }

    async fn made_of(&self, numbers: &[CellLineage], within: &str) -> Result<Vec<EventSummary>, LineageError> {
        let sql = format!(
            "{}, \"events\" AS (SELECT \"partition\", \"#raw_seq\", \"#index\", max(\"#reference\") AS \"reference\", \
             count(*) AS \"rows\" FROM \"placed\" WHERE {} GROUP BY 1, 2, 3) \
             SELECT \"partition\", \"reference\", count(*) AS \"events\", sum(\"rows\") AS \"rows\", \
             min(\"#raw_seq\") AS \"first\", max(\"#raw_seq\") AS \"last\" FROM \"events\" GROUP BY 1, 2 \
             ORDER BY 1, 2 LIMIT {MOST_SUMMARIES}",
            self.rows_within(numbers, within),
            self.asked.rows(numbers),
        );
        let summary = |row| serde_json::from_value(Value::Object(row));
        let all: Result<Vec<_>, _> = self.ask(&sql).await?.into_iter().map(summary).collect();
        all.map_err(|error| LineageError::Sql(SqlError::Failed(error.to_string())))
    }
}

/// What is told of a table.
async fn told(path: &str, table: &DeltaTable, covers: &Coverage) -> TableLineage {
    let covers = covers.sequences().map(|(partition, raw_seq)| LogReach { partition, raw_seq });
    // Whose versions are not kept any more does not say who wrote it.
    let versions: Vec<CommitInfo> = table.history(Some(MOST_VERSIONS)).try_collect().await.unwrap_or_default();
    let release = versions.iter().find_map(|version| Some(version.info.get("tidemill")?.as_str()?.to_owned()));
    TableLineage {
        table: path.replace('/', "."),
        version: table.version().unwrap_or_default(),
        changed_at: changed_at(table),
        release,
        covers: covers.collect(),
    }
}
