//! The states of windows, by partition of the log: what the stream keeps of them.

use tidemill_definitions::{MeasureDefinition, MeasureKind};
use tidemill_domain::Currency;

use super::{MetricPlan, Scope};
use crate::{
    SqlDialect,
    columns::{Beside, MeasureColumns},
};

const DIALECT: SqlDialect = SqlDialect::DataFusion;

impl MetricPlan {
    /// A query that gives a row for each partition, window and combination of dimensions: the partition,
    /// the start of the window in microseconds, the dimensions, and what the states of the measures are made of, in
    /// the order in which `StateRow` reads it. `bases` are all base currencies that the shop has had.
    pub(crate) fn states_sql(&self, scope: &Scope, bases: &[Currency]) -> String {
        let dimensions = || self.columns.dimensions.iter().map(|column| DIALECT.name(column));
        let measures = self.metric.measures.values().zip(&self.columns.measures);
        let states = measures.flat_map(|(measure, of)| state_columns(measure, of, bases));
        let start = "\"window_start\"";
        let columns = [DIALECT.name("partition"), format!("CAST({start} AS BIGINT) AS \"start\"")];
        let numbered = states.enumerate().map(|(n, state)| format!("{state} AS \"#{n}\""));
        let columns: Vec<_> = columns.into_iter().chain(dimensions()).chain(numbered).collect();
        let keys: Vec<_> = [DIALECT.name("partition"), start.into()].into_iter().chain(dimensions()).collect();
        format!(
            "{}\nSELECT {}\nFROM \"placed\"{}\nGROUP BY {}",
            self.own_rows(scope),
            columns.join(",\n  "),
            self.within(DIALECT, scope),
            keys.join(", ")
        )
    }
}

fn state_columns(measure: &MeasureDefinition, of: &MeasureColumns, bases: &[Currency]) -> Vec<String> {
    let value = DIALECT.name(&of.value);
    let sum_of = |column: &String| format!("sum({})", DIALECT.name(column));
    let mut columns = state(&measure.kind, &value);
    match &of.beside {
        Beside::Nothing => {}
        Beside::Unread(unread) => columns.push(sum_of(unread)),
        Beside::Amount(beside) => {
            columns.extend([sum_of(&beside.unread), sum_of(&beside.rounded)]);
            if let Some(money) = &beside.money {
                columns.push(format!("count({value})"));
                for base in bases {
                    let known = format!(
                        "CASE WHEN \"base_currency\" = {} THEN {} END",
                        DIALECT.text(base.as_str()),
                        DIALECT.name(&money.converted)
                    );
                    columns.push(format!("count({known})"));
                    columns.extend(state(&measure.kind, &known));
                }
            }
        }
    }
    columns
}

/// Of what the state of a column is made.
fn state(kind: &MeasureKind, column: &str) -> Vec<String> {
    match kind {
        MeasureKind::Count => vec![format!("count({column})")],
        MeasureKind::Sum(_) => vec![format!("sum({column})")],
        MeasureKind::Min(_) => vec![format!("min({column})")],
        MeasureKind::Max(_) => vec![format!("max({column})")],
        MeasureKind::Average(_) => vec![format!("sum({column})"), format!("count({column})")],
        MeasureKind::Distinct { within_partition: true, .. } => vec![format!("count(DISTINCT {column})")],
        MeasureKind::Distinct { within_partition: false, .. } => vec![format!("distinct_state({column})")],
        MeasureKind::Quantile { per_mille, .. } => vec![format!("quantile_state({column}, {per_mille})")],
    }
}
