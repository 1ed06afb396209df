//! Figures, as `gold.quality` has them.

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_events::MeasuredFigure;
use tidemill_lake_tables::{AppId, tables::QualityRow};

use crate::{SqlEngine, SqlError, engine::answer_of};

/// A figure of a version of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QualityFigure {
    /// The table, for instance `silver.events`.
    pub table: String,
    /// Its version.
    pub version: u64,
    /// The figure, as it is told.
    #[serde(flatten)]
    pub figure: MeasuredFigure,
}

/// What was measured in an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredInterval {
    /// When it begins, as Unix time.
    pub interval: i64,
    /// When it was measured.
    pub time: Timestamp,
    /// The figures, by table.
    pub figures: Vec<QualityFigure>,
}

impl MeasuredInterval {
    /// The version of a table that was measured. Answers to questions of its contract may be of earlier ones.
    pub fn version_of(&self, table: &str) -> Option<u64> {
        self.figures.iter().filter(|figure| figure.table == table).map(|figure| figure.version).max()
    }
}

/// A row of `gold.quality`, as it is asked for.
#[derive(Deserialize)]
struct StoredFigure {
    millis: i64,
    #[serde(flatten)]
    figure: QualityFigure,
}

impl SqlEngine {
    /// The paths of the tables that are measured, whether there are any or not.
    pub fn measured_paths(&self) -> Vec<String> {
        let own = QualityRow::TABLE.path();
        self.paths().into_iter().filter(|path| *path != own).collect()
    }

    /// What was measured last; nothing before the first time.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn last_measured(&self) -> Result<Option<MeasuredInterval>, SqlError> {
        let path = QualityRow::TABLE.path();
        let Some(table) = self.lake().existing(&path).await? else { return Ok(None) };
        let app = AppId::of_stream(&QualityRow::TABLE);
        let reached = table.snapshot()?.transaction_version(table.log_store().as_ref(), app.as_str()).await?;
        let Some(interval) = reached else { return Ok(None) };
        let context = self.context();
        self.sources(&context, &[&path]).await?;
        let sql = format!(
            "SELECT \"table\", measure, contract, rule, severity, \"value\", checked, threshold, good, version, \
             CAST(\"time\" AS BIGINT) / 1000 AS millis FROM gold.quality WHERE \"interval\" = {interval} \
             ORDER BY \"table\", measure, contract, rule"
        );
        let lines = answer_of(&context, &sql, self.limits()).await?;
        let wrong = |error: serde_json::Error| SqlError::Failed(format!("gold.quality: {error}"));
        let stored = serde_json::Deserializer::from_slice(&lines).into_iter::<StoredFigure>();
        let stored = stored.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let time = stored.first().map_or(interval.saturating_mul(1000), |first| first.millis);
        let figures = stored.into_iter().map(|stored| stored.figure).collect();
        Ok(Some(MeasuredInterval { interval, time: Timestamp::saturating_from_millis(time), figures }))
    }
}
