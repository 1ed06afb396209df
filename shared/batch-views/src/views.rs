//! Batch views: the totals that the stream keeps of windows, computed from silver.
//!
//! A view has the states of a metric by cell and partition, each up to the `RAW` sequence that silver has of the
//! partition, which is told in the same way as tables of gold tell it. Days without new events are as the
//! view before has them.

mod reach;
mod state_row;

use std::{collections::BTreeMap, sync::Arc};

use deltalake::datafusion::prelude::SessionContext;
use futures::TryStreamExt as _;
use tidemill_definitions::{MetricDefinition, Window};
use tidemill_domain::{Currency, Partition, Timestamp};
use tidemill_events::{CellUpdate, WindowSpan};
use tokio::sync::mpsc::Sender;

use crate::{
    MetricPlan, Scope, SqlEngine, SqlError,
    gold::{DayRun, SilverState, days_of, runs, text},
    session,
};
pub use reach::ViewReach;
pub(crate) use state_row::StateRow;

const DAY: i64 = 24 * 3_600_000;
/// Days that are computed at once.
const MOST_DAYS: i64 = 7;
/// Bytes of totals, about, that are told at once.
const PART_BYTES: usize = 96 * 1024;
/// Base currencies that a shop may have had.
const MOST_BASES: usize = 16;
/// Days after which a lake that joined later has all events of a window.
const SETTLED_DAYS: i64 = 2;

/// Some totals of a view, all of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewPart {
    /// Whose they are.
    pub partition: Partition,
    /// The `RAW` sequence that they reach.
    pub raw_seq: u64,
    /// The totals.
    pub cells: Vec<CellUpdate>,
}

/// What a view covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputedView {
    /// It has windows that start then or later.
    pub since: Timestamp,
    /// The windows that were computed.
    pub computed: Vec<WindowSpan>,
    /// How many totals that gave.
    pub cells: u64,
}

/// Silver at one moment, of which views are computed.
pub struct ViewSource {
    engine: Arc<SqlEngine>,
    context: SessionContext,
    silver: SilverState,
    bases: Vec<Currency>,
    /// The day from which on silver has all events.
    first_day: i64,
}

impl std::fmt::Debug for ViewSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewSource").field("silver", &self.silver).field("first_day", &self.first_day).finish()
    }
}

/// Totals that wait until they are enough for a part.
#[derive(Default)]
struct Gathered {
    cells: Vec<CellUpdate>,
    bytes: usize,
}

impl ViewSource {
    /// Silver as it is now; `None` while it has nothing.
    ///
    /// # Errors
    /// The store is away, or silver cannot be read.
    pub async fn open(engine: &Arc<SqlEngine>) -> Result<Option<Self>, SqlError> {
        let context = engine.context();
        session::register(&context, engine.metrics());
        if !engine.sources(&context, &["silver/events"]).await?.has("silver/events") {
            return Ok(None);
        }
        let silver = SilverState::of(engine, &context).await?;
        let Some(joined) = joined_on(&context).await? else { return Ok(None) };
        let bases = bases(&context).await?;
        let first_day = silver.complete_since.unwrap_or(i64::MIN / DAY).max(joined);
        Ok(Some(Self { engine: Arc::clone(engine), context, silver, bases, first_day }))
    }

    /// How far silver is.
    pub fn reach(&self) -> ViewReach {
        ViewReach(self.silver.coverage.clone())
    }

    /// Whether a metric has views: sessions have none.
    pub fn has_views(metric: &MetricDefinition) -> bool {
        !matches!(metric.window, Window::Session { .. })
    }

    /// Computes the windows of a metric that start on the day of `since` or later, and that have
    /// events behind `known`; without that, all. Tells their totals as it goes. `None` where nothing is new.
    ///
    /// # Errors
    /// Silver cannot be read, or nobody takes the totals any more.
    pub async fn compute(
        &self,
        metric: &Arc<MetricDefinition>,
        known: Option<&ViewReach>,
        since: Timestamp,
        parts: &Sender<ViewPart>,
    ) -> Result<Option<ComputedView>, SqlError> {
        let plan = MetricPlan::of(metric);
        let new = match known {
            Some(known) => self.silver.coverage.behind(&known.0),
            None => Some("TRUE".into()),
        };
        let Some(new) = new else { return Ok(None) };
        let first = self.first_day.max(since.millis().div_euclid(DAY));
        let mut days = days_of(&self.context, &plan, &new).await?;
        days.retain(|day| *day >= first);
        let mut cells = 0;
        let mut computed = Vec::new();
        for run in runs(&days, MOST_DAYS) {
            cells += self.tell(&plan, run, parts).await?;
            computed.push(span(run));
        }
        if known.is_none() {
            // All others that it may have are empty.
            computed = vec![WindowSpan { from: day(first), to: Timestamp::saturating_from_millis(i64::MAX) }];
        }
        Ok(Some(ComputedView { since: day(first), computed, cells }))
    }

    /// Tells the totals of some days; answers how many there are.
    async fn tell(&self, plan: &MetricPlan, run: DayRun, parts: &Sender<ViewPart>) -> Result<u64, SqlError> {
        let WindowSpan { from, to } = span(run);
        let scope = Scope { from: Some(from), to: Some(to), ..Scope::default() };
        let sql = plan.states_sql(&scope, &self.bases);
        let mut batches = self.context.sql(&sql).await?.execute_stream().await?;
        let reaches: BTreeMap<Partition, u64> = self.reach().sequences().collect();
        let mut gathered: BTreeMap<Partition, Gathered> = BTreeMap::new();
        let mut count = 0;
        while let Some(batch) = batches.try_next().await? {
            for row in 0..batch.num_rows() {
                let (partition, cell) = StateRow::of(&batch, row).cell(plan.metric(), &self.bases)?;
                count += 1;
                let of_it = gathered.entry(partition).or_default();
                of_it.bytes += cell.totals.weight() + 64;
                of_it.cells.push(cell);
                if of_it.bytes >= PART_BYTES {
                    send(parts, &reaches, partition, std::mem::take(of_it)).await?;
                }
            }
        }
        for (partition, rest) in gathered {
            send(parts, &reaches, partition, rest).await?;
        }
        Ok(count)
    }

    /// The engine that computes.
    pub fn engine(&self) -> &SqlEngine {
        &self.engine
    }
}

async fn send(
    parts: &Sender<ViewPart>,
    reaches: &BTreeMap<Partition, u64>,
    partition: Partition,
    Gathered { cells, .. }: Gathered,
) -> Result<(), SqlError> {
    let raw_seq = reaches.get(&partition).copied().unwrap_or_default();
    if cells.is_empty() {
        return Ok(());
    }
    let taken = parts.send(ViewPart { partition, raw_seq, cells }).await;
    taken.map_err(|_| SqlError::Failed("nobody takes the view any more".into()))
}

fn day(day: i64) -> Timestamp {
    Timestamp::saturating_from_millis(day.saturating_mul(DAY))
}

fn span(run: DayRun) -> WindowSpan {
    WindowSpan { from: day(run.from), to: day(run.to) }
}

/// The day from which on windows have all their events: the first of all where the lake has read the log from
/// its beginning, else some days after it joined. `None` where silver has no row.
async fn joined_on(context: &SessionContext) -> Result<Option<i64>, SqlError> {
    let sql = "SELECT min(raw_seq), CAST(min(received) AS BIGINT) FROM silver.events";
    let batches = context.sql(sql).await?.collect().await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let Ok(first_seq) = text(batch, 0, 0)?.parse::<i64>() else { return Ok(None) };
    if first_seq <= 1 {
        return Ok(Some(i64::MIN / DAY));
    }
    let received: i64 = text(batch, 1, 0)?.parse().unwrap_or_default();
    Ok(Some(received.div_euclid(DAY * 1000) + SETTLED_DAYS))
}

/// The base currencies that the shop has had, by their codes.
async fn bases(context: &SessionContext) -> Result<Vec<Currency>, SqlError> {
    let sql = "SELECT DISTINCT base_currency FROM silver.events WHERE base_currency IS NOT NULL";
    let mut bases: Vec<Currency> = Vec::new();
    for batch in context.sql(sql).await?.collect().await? {
        for row in 0..batch.num_rows() {
            bases.extend(text(&batch, 0, row)?.parse::<Currency>());
        }
    }
    bases.sort_unstable();
    if bases.len() > MOST_BASES {
        return Err(SqlError::Failed(format!("the events have more than {MOST_BASES} base currencies")));
    }
    Ok(bases)
}
