//! SQL over the lake: it is only read, and within limits.

mod answer;
mod as_of;
mod bounds;
mod limits;
mod statement;
mod tables;
#[cfg(test)]
mod tests;
mod threads;
mod tiers;
mod turn;

use std::sync::Arc;

use deltalake::datafusion::{
    execution::{
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::SessionContext,
};
use tidemill_definitions::MetricDefinition;
use tidemill_lake_tables::Lake;
use tokio::sync::Semaphore;

use crate::{SqlError, session};
pub use answer::{Answer, ResultFormat};
pub use as_of::AsOf;
pub(crate) use as_of::changed_at;
pub use limits::SqlLimits;
use statement::NamedTables;
pub use tables::{ColumnState, TableListing, TableState, UnreadableTable};
pub(crate) use tables::{TableVersions, columns_of};
use threads::QueryThreads;
pub use turn::QueryTurn;

/// The longest question, in bytes.
const MAX_SQL: usize = 64 * 1024;

/// Answers questions in SQL.
#[derive(Debug)]
pub struct SqlEngine {
    lake: Lake,
    /// Where old folders of tables are, if not in the lake.
    cold: Option<Lake>,
    limits: SqlLimits,
    metrics: Vec<Arc<MetricDefinition>>,
    runtime: Arc<RuntimeEnv>,
    places: Arc<Semaphore>,
    threads: QueryThreads,
}

impl SqlEngine {
    /// Over a lake and the metrics whose tables gold has.
    ///
    /// # Errors
    /// The folder for what goes to disk cannot be made.
    pub fn new(lake: Lake, metrics: Vec<Arc<MetricDefinition>>, limits: SqlLimits) -> Result<Self, SqlError> {
        let mut disk = DiskManagerBuilder::default().with_max_temp_directory_size(limits.spill_bytes);
        if let Some(folder) = &limits.spill_folder {
            disk = disk.with_mode(DiskManagerMode::Directories(vec![folder.clone()]));
        }
        let pool = Arc::new(FairSpillPool::new(limits.memory_bytes));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(disk).build_arc()?;
        let places = Arc::new(Semaphore::new(limits.at_once.max(1)));
        let threads =
            QueryThreads::start(limits.blocking_threads).map_err(|error| SqlError::Failed(error.to_string()))?;
        Ok(Self { lake, cold: None, limits, metrics, runtime, places, threads })
    }

    /// With the place where old folders of tables are: questions see both as one.
    #[must_use]
    pub fn with_cold(mut self, cold: Option<Lake>) -> Self {
        self.cold = cold;
        self
    }

    /// The lake.
    pub const fn lake(&self) -> &Lake {
        &self.lake
    }

    /// The metrics whose tables gold has.
    pub fn metrics(&self) -> &[Arc<MetricDefinition>] {
        &self.metrics
    }

    /// Answers a question, as of now or then.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn query(self: &Arc<Self>, sql: &str, as_of: Option<AsOf>) -> Result<Answer, SqlError> {
        if sql.len() > MAX_SQL {
            return Err(SqlError::TooLong(MAX_SQL));
        }
        let (engine, sql) = (Arc::clone(self), sql.to_owned());
        self.limited(async move { engine.answer(&sql, as_of).await }).await
    }

    /// Waits until a question may be answered.
    ///
    /// # Errors
    /// [`SqlError::Busy`], where others take all of its time: whoever waited that long may ask the same again.
    pub async fn turn(&self) -> Result<QueryTurn, SqlError> {
        QueryTurn::wait(&self.places, self.limits.seconds).await
    }

    /// Does work as a question: in its turn, on the threads of questions, and no longer
    /// than one may take.
    pub(crate) async fn limited<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
    ) -> Result<T, SqlError> {
        let turn = self.turn().await?;
        let until = turn.until();
        let work = async move {
            // Until it has ended, also where nobody waits for it any more.
            let _turn = turn;
            work.await
        };
        let done = tokio::time::timeout_at(until, self.threads.run(work)).await;
        done.unwrap_or(Err(SqlError::TookTooLong(self.limits.seconds)))
    }

    /// The answer to a question of our own in a session that has its tables.
    pub(crate) async fn ask(&self, context: &SessionContext, sql: &str) -> Result<Answer, SqlError> {
        Answer::collect(context.sql(sql).await?.execute_stream().await?, &self.limits).await
    }

    async fn answer(&self, sql: &str, as_of: Option<AsOf>) -> Result<Answer, SqlError> {
        let context = self.context();
        let state = context.state();
        let statement = statement::read_only(&state, sql)?;
        bounds::check(&statement)?;
        let names = statement::tables(&state, &statement)?;
        let paths = match &names {
            NamedTables::Some(paths) => paths.iter().cloned().collect(),
            NamedTables::All => self.paths(),
        };
        let answer = async {
            self.register(&context, names, as_of).await?;
            let plan = context.state().statement_to_plan(statement).await?;
            statement::verify(&plan)?;
            bounds::check_plan(&plan)?;
            let frame = context.execute_logical_plan(plan).await?;
            Answer::collect(frame.execute_stream().await?, &self.limits).await
        };
        answer.await.map_err(|error: SqlError| error.of_tables(&paths))
    }

    /// Computes something on the threads of questions.
    ///
    /// # Errors
    /// Those of the work, or that it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
    ) -> Result<T, SqlError> {
        self.threads.run(work).await
    }

    /// How much a question may take.
    pub const fn limits(&self) -> &SqlLimits {
        &self.limits
    }

    /// A session without tables.
    pub(crate) fn context(&self) -> SessionContext {
        let context = session::session(Arc::clone(&self.runtime));
        session::register(&context, &self.metrics);
        context
    }
}

/// The answer to a question of ours, an object of JSON a row.
pub(crate) async fn answer_of(context: &SessionContext, sql: &str, limits: &SqlLimits) -> Result<Vec<u8>, SqlError> {
    let stream = context.sql(sql).await?.execute_stream().await?;
    Answer::collect(stream, limits).await?.write(ResultFormat::Ndjson)
}
