//! The tables of gold: one for each metric, and two more.
//!
//! A table says in its commits how far silver is in it, as transactions of Delta: so
//! each run computes the days whose windows have new rows, and nothing else. A run
//! that is ended at any point leaves days that are right, and a table that says less
//! than it has; the next run computes them once more.

mod coverage;
mod lifetime;
mod owner;
mod rebuild;
mod refreshed;
mod silver;
mod table;
mod write;

use std::sync::Arc;

use tidemill_definitions::{CustomerSegments, DefinitionError, MetricDefinition};
use tidemill_lake_tables::TableProperties;
use tokio::sync::Mutex;

pub use rebuild::{RebuiltDays, RebuiltFolder, RebuiltTable};
pub use refreshed::{RefreshStep, RefreshTold, Refreshed};

use crate::{MetricPlan, SqlEngine, SqlError};
pub(crate) use coverage::{Coverage, text};
pub(crate) use silver::SilverState;
use table::GoldTable;
pub(crate) use table::{DayRun, columns_of, days_of, runs};

const DAILY: (&str, &str) = ("daily_metrics.yaml", include_str!("../gold/daily_metrics.yaml"));

/// Keeps gold up to silver.
#[derive(Debug)]
pub struct Gold {
    tables: Vec<GoldTable>,
    segments: CustomerSegments,
    /// How its tables are kept; without it, nobody keeps them.
    properties: Option<TableProperties>,
    /// Whoever brings tables up to silver, or makes one anew.
    work: Mutex<()>,
}

impl Gold {
    /// The tables of these metrics.
    ///
    /// # Errors
    /// A definition of ours is wrong.
    pub fn of(metrics: &[Arc<MetricDefinition>]) -> Result<Self, DefinitionError> {
        let plans = metrics.iter().map(|metric| GoldTable::of_metric(MetricPlan::of(metric)));
        let daily = MetricPlan::of(&Arc::new(MetricDefinition::parse(DAILY.0, DAILY.1)?));
        let tables = plans.chain([GoldTable::of_metric(daily)]).collect();
        Ok(Self { tables, segments: CustomerSegments::built_in()?, properties: None, work: Mutex::new(()) })
    }

    /// With tables that carry their lake's name, and are kept as it keeps its own.
    #[must_use]
    pub fn with_properties(mut self, properties: TableProperties) -> Self {
        self.properties = Some(properties);
        self
    }

    /// The paths of its tables.
    pub fn paths(&self) -> Vec<String> {
        self.tables.iter().map(GoldTable::path).chain([lifetime::PATH.to_owned()]).collect()
    }

    /// The metrics whose rows it takes.
    pub fn metrics(&self) -> impl Iterator<Item = Arc<MetricDefinition>> {
        self.tables.iter().map(|table| table.plan.shared_metric())
    }

    /// The tables of metrics, and the names under which they say how far they are.
    pub(crate) fn apps(&self) -> impl Iterator<Item = (String, String)> {
        self.tables.iter().map(|table| (table.path(), table.plan.gold_app()))
    }

    /// The plan of a table that has windows.
    pub(crate) fn plan(&self, name: &str) -> Option<&MetricPlan> {
        self.tables.iter().map(|table| &table.plan).find(|plan| plan.metric().name == name)
    }

    /// The names of tables that have windows.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.plan.metric().name.as_str())
    }

    /// Brings each table up to silver; answers those that changed.
    ///
    /// # Errors
    /// The store is away, or a table cannot be read or written. Tables before it are
    /// as they should be, and to call it again is always right.
    pub async fn refresh(&self, engine: &SqlEngine) -> Result<Vec<Refreshed>, SqlError> {
        let mut changed = Vec::new();
        let mut told = |step: RefreshStep<'_>| {
            if let RefreshStep::Done(refreshed) = step {
                changed.push(refreshed.clone());
            }
        };
        self.refresh_told(engine, &mut told).await?;
        Ok(changed)
    }

    /// The same; tells each table when it begins and when it is done.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn refresh_told(&self, engine: &SqlEngine, told: RefreshTold<'_>) -> Result<(), SqlError> {
        let _work = self.work.lock().await;
        let (context, sources) = self.sources(engine).await?;
        if sources.has("silver/events") {
            let silver = SilverState::of(engine, &context).await?;
            for table in &self.tables {
                if let Some(refreshed) = table.refresh(engine, &context, &silver, told).await? {
                    told(RefreshStep::Done(&refreshed));
                }
            }
        }
        let lifetime = lifetime::refresh(engine, &context, &sources, &self.segments, told).await?;
        if let Some(refreshed) = lifetime {
            told(RefreshStep::Done(&refreshed));
        }
        if let Some(properties) = &self.properties {
            for path in self.paths() {
                owner::claim(engine.lake(), &path, properties).await?;
            }
        }
        Ok(())
    }
}
