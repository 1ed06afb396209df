//! Measures all tables, and keeps what it finds in `gold.quality`.

use std::sync::Arc;

use tidemill_batch_views::{FileCounts, Gold, MeasuredInterval, MeasuredTable, QualityFigure, SqlEngine};
use tidemill_bus::Bus;
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{
    AppId, Appender, Date, Lake, TablePart, TableProperties, TableRows,
    tables::{QualityRow, SilverEvent},
};

use super::{error::QualityError, figures::TableFigures};
use crate::{config::QualityConfig, store::Store};

/// What measures.
#[derive(Debug)]
pub(crate) struct QualityMeter {
    pub(crate) config: QualityConfig,
    pub(crate) engine: Arc<SqlEngine>,
    pub(crate) gold: Arc<Gold>,
    pub(crate) lake: Lake,
    pub(crate) properties: TableProperties,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
}

impl QualityMeter {
    /// Measures the tables for an interval, and keeps the figures. To do it again, also by
    /// somebody else, is always right: an interval is kept once.
    pub(super) async fn measure(
        &self,
        interval: i64,
        now: Timestamp,
        before: Option<&MeasuredInterval>,
    ) -> Result<(), QualityError> {
        let mut tables = Vec::new();
        for path in self.engine.measured_paths() {
            let name = path.replace('/', ".");
            let known = before.and_then(|before| before.figures.iter().find(|figure| figure.table == name));
            if let Some(measured) = self.measure_table(&path, known.map(|figure| figure.version)).await? {
                tables.push((name, measured));
            }
        }
        let figures = self.figures(&tables, now).await?;
        let measured = MeasuredInterval { interval, time: now, figures };
        self.keep(&measured).await
    }

    async fn measure_table(&self, path: &str, since: Option<u64>) -> Result<Option<MeasuredTable>, QualityError> {
        let terms = self.config.terms();
        let Some(fingerprint) = self.engine.quality_fingerprint(path, terms).await? else { return Ok(None) };
        let known = self.store.file_counts(path, &fingerprint).await?;
        let measured = self.engine.measure(path, terms, &known, since).await?;
        if let Some(MeasuredTable { counted, gone, .. }) = &measured
            && !(counted.is_empty() && gone.is_empty())
        {
            self.store.keep_file_counts(path, &fingerprint, counted, gone).await?;
        }
        Ok(measured)
    }

    async fn figures(
        &self,
        tables: &[(String, MeasuredTable)],
        now: Timestamp,
    ) -> Result<Vec<QualityFigure>, QualityError> {
        let of = |wanted: &str| tables.iter().find(|(name, _)| name == wanted).map(|(_, measured)| &measured.counts);
        let nothing = FileCounts::default();
        let silver = of(&SilverEvent::TABLE.to_string()).unwrap_or(&nothing);
        let newest = self.gold.newest(&self.engine, silver).await?;
        // Whatever came was looked at: it is in silver, or held back.
        let held = of("silver.quarantine").map_or(0.0, |counts| counts.sum("held"));
        let looked_at = (silver.sum("checked") + held) as u64;
        let figures = tables.iter().flat_map(|(name, measured)| {
            let all = TableFigures::of(name, measured, self.config, now);
            all.covering(&newest, now).rules(&measured.counts.rules, looked_at).done()
        });
        Ok(figures.collect())
    }

    /// Appends the figures to `gold.quality`, unless the interval is there.
    async fn keep(&self, measured: &MeasuredInterval) -> Result<(), QualityError> {
        let MeasuredInterval { interval, time, figures } = measured;
        let Date { year, month, day } = (*time).into();
        let mut rows = TableRows::<QualityRow<'static>>::new()?;
        for figure in figures {
            rows.push(&QualityRow {
                interval: *interval,
                time: *time,
                layer: figure.table.split_once('.').map_or("", |(layer, _)| layer),
                table: &figure.table,
                measure: &figure.measure,
                contract: figure.contract.as_deref(),
                rule: figure.rule.as_deref(),
                severity: figure.severity.as_deref(),
                value: figure.value,
                checked: figure.checked.map(u64::cast_signed),
                threshold: figure.threshold,
                good: figure.good,
                version: figure.version.cast_signed(),
                year,
                month,
                day,
            });
        }
        let app = AppId::of_stream(&QualityRow::TABLE);
        let part = TablePart { app, reaches: *interval, rows: rows.take()? };
        let table = self.lake.table(&QualityRow::TABLE, &self.properties).await?;
        let mut appender = Appender::new(table, "interval");
        let version = appender.append(&[part]).await?.version;
        if version.is_multiple_of(self.properties.checkpoint_interval.into()) {
            // Nobody waits for it.
            if let Err(error) = appender.checkpoint().await {
                tracing::warn!(%error, "gold.quality has no checkpoint yet");
            }
        }
        Ok(())
    }
}
