//! What the service tells about itself.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use tidemill_domain::{Partition, Timestamp};
use tidemill_lake_tables::{Appended, Compacted, LakeError, TableDefinition};
use tidemill_service::{Registry, telemetry::CodeLabel};
use tidemill_stage::Failure;

use crate::{error::Error, unit::LakeUnit};

/// `table`: its name, for instance `silver.events`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    table: String,
}

impl TableLabel {
    fn of(table: &TableDefinition) -> Self {
        Self { table: table.to_string() }
    }
}

/// `unit`: a unit of the service's work.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnitLabel {
    unit: String,
}

/// The service's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    rows: Family<TableLabel, Counter>,
    conflicts: Family<TableLabel, Counter>,
    version: Family<TableLabel, Gauge>,
    reached_time: Family<TableLabel, Gauge>,
    commit_seconds: Histogram,
    compacted: Family<TableLabel, Counter>,
    failures: Family<CodeLabel, Counter>,
    asked_again: Counter,
    lag: Family<UnitLabel, Gauge>,
    gold_time: Gauge,
}

impl Telemetry {
    pub(crate) fn register(registry: &Registry) -> Self {
        let telemetry = Self {
            rows: Family::default(),
            conflicts: Family::default(),
            version: Family::default(),
            reached_time: Family::default(),
            commit_seconds: Histogram::new([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]),
            compacted: Family::default(),
            failures: Family::default(),
            asked_again: Counter::default(),
            lag: Family::default(),
            gold_time: Gauge::default(),
        };
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_lake");
            registry.register("rows", "TableRows written, by table", telemetry.rows.clone());
            registry.register("conflicts", "Commits for which others were first", telemetry.conflicts.clone());
            registry.register("version", "Newest version of a table", telemetry.version.clone());
            registry.register(
                "reached_time_seconds",
                "When ingestion took the newest batch in that a table has, as Unix time",
                telemetry.reached_time.clone(),
            );
            registry.register("commit_seconds", "From rows to a version", telemetry.commit_seconds.clone());
            registry.register("compacted_files", "Files that were put together", telemetry.compacted.clone());
            registry.register("failures", "Failures of units, by code", telemetry.failures.clone());
            registry.register("asked_again", "Requests for batches that are missing", telemetry.asked_again.clone());
            registry.register(
                "gold_time_seconds",
                "When gold was last brought up to silver by this replica, as Unix time",
                telemetry.gold_time.clone(),
            );
            registry.register("consumer_lag", "Messages that are in no table yet, by unit", telemetry.lag.clone());
        });
        telemetry
    }

    pub(crate) fn gold_is_kept(&self, now: Timestamp) {
        self.gold_time.set(now.millis() / 1000);
    }

    pub(crate) fn committed(&self, table: &TableDefinition, appended: Appended, reached: Timestamp, took: Duration) {
        let label = TableLabel::of(table);
        self.rows.get_or_create(&label).inc_by(appended.rows as u64);
        self.conflicts.get_or_create(&label).inc_by(appended.conflicts.into());
        self.version.get_or_create(&label).set(appended.version.cast_signed());
        let newest = self.reached_time.get_or_create(&label);
        newest.set(newest.get().max(reached.millis().div_euclid(1000)));
        self.commit_seconds.observe(took.as_secs_f64());
        tracing::debug!(%table, version = appended.version, rows = appended.rows, "committed");
    }

    pub(crate) fn compacted(&self, table: &str, compacted: Compacted) {
        let Compacted { removed, added, rows } = compacted;
        self.compacted.get_or_create(&TableLabel { table: table.into() }).inc_by(removed as u64);
        tracing::info!(table, removed, added, rows, "files were put together");
    }

    pub(crate) fn upkeep_failed(&self, table: &str, what: &'static str, error: &LakeError) {
        self.failures.get_or_create(&CodeLabel::of(error.code())).inc();
        tracing::warn!(table, what, code = error.code().as_str(), %error, "upkeep failed; the table is as it was");
    }

    pub(crate) fn failed(&self, unit: LakeUnit, error: &Error) {
        self.failures.get_or_create(&CodeLabel::of(error.code())).inc();
        tracing::warn!(%unit, code = error.code().as_str(), %error, "the unit starts over from its tables");
    }

    pub(crate) fn asked_again(&self, partition: Partition, after: u64) {
        self.asked_again.inc();
        tracing::warn!(%partition, after, "batches are missing; asking enrichment for them");
    }

    pub(crate) fn lag(&self, unit: LakeUnit, waiting: Option<u64>) {
        let label = UnitLabel { unit: unit.to_string() };
        match waiting {
            Some(waiting) => {
                self.lag.get_or_create(&label).set(waiting.cast_signed());
            }
            None => drop(self.lag.remove(&label)),
        }
    }

    /// The unit is another replica's business now.
    pub(crate) fn forget(&self, unit: LakeUnit) {
        self.lag.remove(&UnitLabel { unit: unit.to_string() });
    }
}
