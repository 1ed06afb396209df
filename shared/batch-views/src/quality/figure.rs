//! Figures, as `gold.quality` has them.

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{AppId, tables::QualityRow};

use crate::{SqlEngine, SqlError, engine::answer_of};

/// A figure of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QualityFigure {
    /// The table, for instance `silver.events`.
    pub table: String,
    /// What was measured.
    pub measure: String,
    /// The contract of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The rule whose failed rows it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What becomes of rows that break the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The figure.
    pub value: f64,
    /// Rows that were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<u64>,
    /// What the figure may not be beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Whether it is on the right side of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<bool>,
    /// Version of the table.
    pub version: u64,
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
