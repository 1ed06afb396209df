//! The figures as metrics. Their labels are names of tables, measures and rules, which
//! come from files.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
};
use tidemill_batch_views::{MeasuredInterval, QualityFigure};
use tidemill_service::Registry;

use super::checks::{CHECK, UNANSWERED};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MeasureLabels {
    table: String,
    measure: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QualityRuleLabels {
    table: String,
    rule: String,
    severity: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MeasuredTableLabel {
    table: String,
}

/// The metrics of quality; only the replica that measures has values.
#[derive(Debug, Clone, Default)]
pub(crate) struct QualityTelemetry {
    figures: Family<MeasureLabels, Gauge<f64, AtomicU64>>,
    failed_rows: Family<QualityRuleLabels, Gauge<f64, AtomicU64>>,
    checks: Family<QualityRuleLabels, Gauge<f64, AtomicU64>>,
    unanswered: Family<QualityRuleLabels, Gauge<f64, AtomicU64>>,
    bad: Family<MeasuredTableLabel, Gauge>,
    time: Gauge,
}

impl QualityTelemetry {
    pub(crate) fn register(registry: &Registry) -> Self {
        let telemetry = Self::default();
        registry.with(|registry| {
            let registry = registry.sub_registry_with_prefix("tidemill_lake_quality");
            registry.register("figure", "A figure of a table, as measured last", telemetry.figures.clone());
            registry.register("failed_rows", "Rows that break a rule", telemetry.failed_rows.clone());
            registry.register("check", "What a question of a contract was answered last", telemetry.checks.clone());
            registry.register(
                "unanswered_checks",
                "Questions of contracts that could not be answered",
                telemetry.unanswered.clone(),
            );
            registry.register("bad_figures", "Figures beyond their thresholds, by table", telemetry.bad.clone());
            registry.register("time_seconds", "When it was measured last, as Unix time", telemetry.time.clone());
        });
        telemetry
    }

    pub(super) fn measured(&self, measured: &MeasuredInterval) {
        // Of a table that is not there any more, nothing is told.
        self.forget();
        for QualityFigure { table, figure, .. } in &measured.figures {
            match (&figure.rule, &figure.severity) {
                (Some(rule), Some(severity)) => {
                    let (table, rule, severity) = (table.clone(), rule.clone(), severity.clone());
                    let labels = QualityRuleLabels { table, rule, severity };
                    // Versions of a contract, and contracts, may share a rule's name.
                    self.of_rule(&figure.measure).get_or_create(&labels).inc_by(figure.value);
                }
                _ => {
                    let labels = MeasureLabels { table: table.clone(), measure: figure.measure.clone() };
                    self.figures.get_or_create(&labels).set(figure.value);
                }
            }
            let bad = self.bad.get_or_create(&MeasuredTableLabel { table: table.clone() });
            bad.inc_by(i64::from(figure.good == Some(false)));
        }
        self.time.set(measured.time.millis() / 1000);
    }

    fn of_rule(&self, measure: &str) -> &Family<QualityRuleLabels, Gauge<f64, AtomicU64>> {
        match measure {
            CHECK => &self.checks,
            UNANSWERED => &self.unanswered,
            _ => &self.failed_rows,
        }
    }

    /// Measuring is another replica's business now.
    pub(super) fn forget(&self) {
        self.figures.clear();
        self.failed_rows.clear();
        self.checks.clear();
        self.unanswered.clear();
        self.bad.clear();
    }
}
