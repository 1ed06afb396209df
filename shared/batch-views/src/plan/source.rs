//! What events contribute.

use tidemill_definitions::Window;

use super::{MetricPlan, Scope};
use crate::{
    SqlDialect,
    columns::{Beside, MeasureColumns},
    rows::{ARGUMENTS, RowFunction},
};

/// Columns that say which event a row is of, by names that no dimension has.
const PLACES: (&str, &str) = (
    ", \"#raw_seq\", \"#index\", \"#reference\"",
    ", \"raw_seq\" AS \"#raw_seq\", \"index\" AS \"#index\", \
     CAST(regexp_match(\"enriched\", '\"refdata\":([0-9]+)')[1] AS BIGINT) AS \"#reference\"",
);

impl MetricPlan {
    /// A query of the rows that count, with the columns `partition` and `time`, those
    /// of dimensions, and what each measure takes.
    pub(super) fn rows(&self, dialect: SqlDialect, scope: &Scope) -> String {
        let name = |name: &str| dialect.name(name);
        let arguments = ARGUMENTS.map(name).join(", ");
        let row = name("row");
        let member = |column: &str| format!("{row}[{}] AS {}", dialect.text(column), name(column));
        let members: Vec<_> = self.row_columns().into_iter().map(member).collect();
        let (partition, time) = (name("partition"), name("time"));
        let (places, of_places) = if scope.places { PLACES } else { ("", "") };
        format!(
            "SELECT {partition}, {time}{places}, {}\n  FROM (SELECT {partition}, {time}{of_places}, \
             unnest({}({arguments})) AS {row} FROM silver.events WHERE {})",
            members.join(", "),
            RowFunction::name_for(&self.metric),
            self.condition(dialect, scope)
        )
    }

    /// The columns that the row function gives.
    fn row_columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = self.columns.dimensions.iter().map(String::as_str).collect();
        columns.extend(self.columns.has_money.then_some("base_currency"));
        self.columns.measures.iter().for_each(|measure| columns.extend(row_columns_of(measure)));
        columns
    }

    /// Which events may count.
    pub(super) fn condition(&self, dialect: SqlDialect, scope: &Scope) -> String {
        let name = |name| dialect.name(name);
        let mut types: Vec<_> = self.metric.types.iter().map(|kind| dialect.text(kind)).collect();
        types.dedup();
        let mut conditions = vec![
            format!("{}{}", if scope.late { "" } else { "NOT " }, name("late")),
            format!("{} IN ({})", name("type"), types.join(", ")),
        ];
        let time = name("time");
        // Of a session, any event may decide where it begins.
        if !matches!(self.metric.window, Window::Session { .. }) {
            let from = scope.from.map(|from| format!("{time} >= {}", dialect.time(from)));
            let to = scope.to.map(|to| to.plus_millis(self.metric.window.size_millis()));
            let to = to.map(|to| format!("{time} < {}", dialect.time(to)));
            conditions.extend(from.into_iter().chain(to));
        }
        conditions.extend(scope.only.as_ref().map(|only| format!("({only})")));
        conditions.join(" AND ")
    }
}

fn row_columns_of(measure: &MeasureColumns) -> Vec<&str> {
    let mut columns = vec![measure.value.as_str()];
    match &measure.beside {
        Beside::Nothing => {}
        Beside::Unread(unread) => columns.push(unread),
        Beside::Amount(beside) => {
            columns.extend([beside.unread.as_str(), &beside.rounded]);
            columns.extend(beside.money.as_ref().map(|money| money.converted.as_str()));
        }
    }
    columns
}
