//! Measures all tables, and keeps what it finds in `gold.quality`.

use std::sync::Arc;

use tidemill_batch_views::{FileCounts, Gold, MeasuredInterval, MeasuredTable, QualityFigure, SqlEngine};
use tidemill_bus::Bus;
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{
    AppId, Appender, Date, Lake, TablePart, TableProperties, TableRows,
    tables::{QualityRow, SilverEvent},
};

use super::{ContractChecks, error::QualityError, figures::TableFigures, rules};
use crate::{config::QualityConfig, store::Store};

/// What measures.
pub(crate) struct QualityMeter {
    pub(crate) config: QualityConfig,
    pub(crate) engine: Arc<SqlEngine>,
    pub(crate) gold: Arc<Gold>,
    pub(crate) lake: Lake,
    pub(crate) properties: TableProperties,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) checks: Arc<ContractChecks>,
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
        // First of all: what is measured has everything up to there.
        let positions = self.positions().await?;
        let mut tables = Vec::new();
        for path in self.engine.measured_paths() {
            let name = path.replace('/', ".");
            let since = before.and_then(|before| before.version_of(&name));
            if let Some(measured) = self.measure_table(&path, since).await? {
                tables.push((name, measured));
            }
        }
        let figures = self.figures(&tables, now).await?;
        let measured = MeasuredInterval { interval, time: now, figures };
        self.keep(&measured, positions).await
    }

    /// How far the log is in silver, as parts without rows.
    async fn positions(&self) -> Result<Vec<TablePart>, QualityError> {
        let silver = self.lake.table(&SilverEvent::TABLE, &self.properties).await?;
        let of_silver = |partition| AppId::of(&SilverEvent::TABLE, partition);
        let reached = silver.reached(self.bus.partitions().all().map(of_silver)).await?;
        let mut parts = Vec::new();
        for partition in self.bus.partitions().all() {
            if let Some(reaches) = reached.get(&of_silver(partition)).copied().filter(|reaches| *reaches > 0) {
                let rows = TableRows::<QualityRow<'static>>::new()?.take()?;
                parts.push(TablePart { app: AppId::of(&QualityRow::TABLE, partition), reaches, rows });
            }
        }
        Ok(parts)
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
        let mut checks = self.checks.told();
        let mut figures = Vec::new();
        for (name, measured) in tables {
            let all = TableFigures::of(name, measured, self.config, now);
            let rules = rules::with_kept(&self.checks.contracts, name, &measured.counts.rules);
            figures.extend(all.covering(&newest, now).rules(&rules, looked_at).done());
            figures.extend(checks.extract_if(.., |check| check.table == *name));
        }
        // Of tables that are not measured themselves.
        figures.extend(checks);
        Ok(figures)
    }

    /// Appends the figures to `gold.quality`, unless the interval is there, with how far the log was.
    async fn keep(&self, measured: &MeasuredInterval, mut parts: Vec<TablePart>) -> Result<(), QualityError> {
        let MeasuredInterval { interval, time, figures } = measured;
        let app = AppId::of_stream(&QualityRow::TABLE);
        let table = self.lake.table(&QualityRow::TABLE, &self.properties).await?;
        let mut appender = Appender::new(table, "interval");
        if appender.reached(&app).await? >= *interval {
            return Ok(());
        }
        let Date { year, month, day } = (*time).into();
        let mut rows = TableRows::<QualityRow<'static>>::new()?;
        for QualityFigure { table, version, figure } in figures {
            rows.push(&QualityRow {
                interval: *interval,
                time: *time,
                layer: table.split_once('.').map_or("", |(layer, _)| layer),
                table,
                measure: &figure.measure,
                contract: figure.contract.as_deref(),
                rule: figure.rule.as_deref(),
                severity: figure.severity.as_deref(),
                value: figure.value,
                checked: figure.checked.map(u64::cast_signed),
                threshold: figure.threshold,
                good: figure.good,
                version: version.cast_signed(),
                year,
                month,
                day,
            });
        }
        parts.push(TablePart { app, reaches: *interval, rows: rows.take()? });
        let version = appender.append(&parts).await?.version;
        if version.is_multiple_of(self.properties.checkpoint_interval.into()) {
            // Nobody waits for it.
            if let Err(error) = appender.checkpoint().await {
                tracing::warn!(%error, "gold.quality has no checkpoint yet");
            }
        }
        Ok(())
    }
}
