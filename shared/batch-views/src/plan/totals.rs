//! The totals of windows.

use tidemill_definitions::{MeasureKind, Window};

use super::{MetricPlan, Scope};
use crate::{
    SqlDialect,
    columns::{AmountColumns, Beside, MeasureColumns, MoneyColumns},
};

impl MetricPlan {
    /// Groups the rows of `placed`.
    pub(super) fn totals(&self, dialect: SqlDialect, scope: &Scope) -> String {
        let name = |name| dialect.name(name);
        let (start, end, time) = (name("window_start"), name("window_end"), name("time"));
        let dimensions = self.columns.dimensions.iter().map(|column| dialect.name(column));
        let mut keys: Vec<String> = dimensions.clone().collect();
        let mut columns = match self.metric.window {
            Window::Session { gap_millis } => {
                keys.extend([name("partition"), name("session")]);
                let last = format!("max({time})");
                vec![
                    name("partition"),
                    format!("min({time}) AS {start}"),
                    format!("{} AS {end}", dialect.later(&last, &gap_millis.to_string())),
                ]
            }
            window => {
                keys.insert(0, start.clone());
                let size = window.size_millis().to_string();
                vec![start.clone(), format!("{} AS {end}", dialect.later(&start, &size))]
            }
        };
        columns.extend(dimensions);
        let base = scope.base.map(|base| dialect.text(base.as_str()));
        if self.columns.has_money && dialect == SqlDialect::DataFusion {
            let base = base.clone().unwrap_or_else(|| "CAST(NULL AS VARCHAR(3))".into());
            columns.push(format!("{base} AS {}", name("base_currency")));
        }
        let measures = self.metric.measures.values().zip(&self.columns.measures);
        for (measure, of) in measures {
            columns.extend(MeasureSql { dialect, kind: &measure.kind, of, base: base.as_deref() }.columns());
        }
        format!(
            "SELECT {}\nFROM {}{}\nGROUP BY {}",
            columns.join(",\n  "),
            name("placed"),
            self.within(dialect, scope),
            keys.join(", ")
        )
    }

    /// Windows that start within the scope.
    pub(super) fn within(&self, dialect: SqlDialect, scope: &Scope) -> String {
        if matches!(self.metric.window, Window::Session { .. }) {
            return String::new();
        }
        let start = dialect.name("window_start");
        let from = scope.from.map(|from| format!("{start} >= {}", dialect.time(from)));
        let to = scope.to.map(|to| format!("{start} < {}", dialect.time(to)));
        let conditions: Vec<_> = from.into_iter().chain(to).collect();
        if conditions.is_empty() { String::new() } else { format!("\nWHERE {}", conditions.join(" AND ")) }
    }
}

/// The aggregates of one measure.
struct MeasureSql<'p> {
    dialect: SqlDialect,
    kind: &'p MeasureKind,
    of: &'p MeasureColumns,
    /// The base currency, as a text of SQL.
    base: Option<&'p str>,
}

const ZERO: &str = "CAST(0 AS DECIMAL(38, 12))";

impl MeasureSql<'_> {
    fn name(&self, column: &str) -> String {
        self.dialect.name(column)
    }

    fn columns(&self) -> Vec<String> {
        let value = self.name(&self.of.value);
        let mut columns = vec![format!("{} AS {value}", self.value(&value))];
        let sum_of = |column: &String| format!("sum({0}) AS {0}", self.name(column));
        match &self.of.beside {
            Beside::Nothing => {}
            Beside::Unread(unread) => columns.push(sum_of(unread)),
            Beside::Amount(beside) => {
                columns.extend(self.mean_of(beside, &value));
                columns.push(sum_of(&beside.unread));
                // Other engines do not tell what was rounded, and convert nothing.
                if self.dialect == SqlDialect::DataFusion {
                    columns.push(sum_of(&beside.rounded));
                    columns.extend(beside.money.iter().flat_map(|money| self.money(money, &value)));
                }
            }
        }
        columns
    }

    /// The aggregate of a column of the rows.
    fn value(&self, column: &str) -> String {
        match self.kind {
            MeasureKind::Count => format!("count({column})"),
            MeasureKind::Sum(_) => format!("coalesce(sum({column}), {ZERO})"),
            MeasureKind::Min(_) => format!("min({column})"),
            MeasureKind::Max(_) => format!("max({column})"),
            MeasureKind::Average(_) => match self.dialect {
                SqlDialect::DataFusion => format!("mean(sum({column}), count({column}))"),
                SqlDialect::DuckDb | SqlDialect::Spark => format!("CAST(sum({column}) AS DOUBLE) / count({column})"),
            },
            MeasureKind::Distinct { within_partition, .. } => self.distinct(column, *within_partition),
            MeasureKind::Quantile { per_mille, .. } => self.quantile(column, *per_mille),
        }
    }

    /// In our engine rows have hashes of the values, in others the values.
    fn distinct(&self, column: &str, is_keyed: bool) -> String {
        match (self.dialect, is_keyed) {
            (SqlDialect::DataFusion, false) => format!("distinct_estimate({column})"),
            (SqlDialect::DataFusion, true) | (_, false) => format!("count(DISTINCT {column})"),
            (SqlDialect::DuckDb, true) => {
                format!("count(DISTINCT ROW({}, {column})) FILTER ({column} IS NOT NULL)", self.name("partition"))
            }
            (SqlDialect::Spark, true) => format!("count(DISTINCT {}, {column})", self.name("partition")),
        }
    }

    fn quantile(&self, column: &str, per_mille: u16) -> String {
        let share = f64::from(per_mille) / 1000.0;
        match self.dialect {
            SqlDialect::DataFusion => format!("quantile_estimate({column}, {per_mille})"),
            SqlDialect::DuckDb => format!("quantile_disc(CAST({column} AS DOUBLE), {share})"),
            SqlDialect::Spark => format!("percentile_approx(CAST({column} AS DOUBLE), {share})"),
        }
    }

    fn mean_of(&self, beside: &AmountColumns, value: &str) -> Vec<String> {
        let Some(of) = &beside.mean_of else { return Vec::new() };
        vec![
            format!("coalesce(sum({value}), {ZERO}) AS {}", self.name(&of.sum)),
            format!("count({value}) AS {}", self.name(&of.count)),
        ]
    }

    /// The rows of which it is known what they are in the base currency, and how many
    /// others there are.
    fn money(&self, money: &MoneyColumns, value: &str) -> [String; 2] {
        let (converted, unconverted) = (self.name(&money.converted), self.name(&money.unconverted));
        let Some(base) = self.base else {
            let nothing = format!("CASE WHEN count({value}) = 0 THEN {} END AS {converted}", self.nothing());
            return [nothing, format!("count({value}) AS {unconverted}")];
        };
        let known = format!("CASE WHEN {} = {base} THEN {converted} END", self.name("base_currency"));
        let total = format!(
            "CASE WHEN count({value}) > 0 AND count({known}) = 0 THEN NULL ELSE {} END AS {converted}",
            self.value(&known)
        );
        [total, format!("count({value}) - count({known}) AS {unconverted}")]
    }

    /// What no rows come to.
    fn nothing(&self) -> &'static str {
        match self.kind {
            MeasureKind::Sum(_) => ZERO,
            MeasureKind::Average(_) => "CAST(NULL AS DOUBLE)",
            _ => "CAST(NULL AS DECIMAL(38, 12))",
        }
    }
}
