//! Events of the window that are in none of its numbers.

use super::{CellLineage, EventPosition, LeftOutEvents, LeftOutReason, places::whole, tracer::Tracer};
use crate::{
    Scope, SqlDialect, SqlError,
    rows::{ARGUMENTS, RowFunction},
};

/// Events that are told of each reason.
const TOLD: usize = 5;
const DIALECT: SqlDialect = SqlDialect::DataFusion;

impl Tracer {
    /// What is in none of the numbers, and why. Late events and those that gold has not
    /// got to are told of the asked dimensions, and all others of the whole window.
    pub(super) async fn left_out(&self, numbers: &[CellLineage], within: &str) -> Result<Vec<LeftOutEvents>, SqlError> {
        let late = Scope { places: true, late: true, ..self.asked.scope(numbers) };
        let behind = Scope { places: true, ..self.asked.scope(numbers).and(&format!("NOT ({within})")) };
        let mut all = vec![
            (LeftOutReason::Late, self.rows_of(&late, numbers)),
            (LeftOutReason::BehindGold, self.rows_of(&behind, numbers)),
            (LeftOutReason::NoRow, self.without_rows(numbers)),
        ];
        all.extend(self.has_bronze().then(|| (LeftOutReason::NotInSilver, self.not_in_silver(numbers))));
        let mut told = Vec::new();
        for (reason, places) in all {
            let sql = format!(
                "SELECT *, count(*) OVER () AS \"events\" FROM ({places}) ORDER BY \"partition\", \"raw_seq\", \"index\" \
                 LIMIT {TOLD}"
            );
            let rows = self.ask(&sql).await?;
            let events = rows.first().map_or(0, |row| whole(row, "events"));
            let first: Vec<_> = rows.iter().map(EventPosition::of).collect();
            told.extend((!first.is_empty()).then_some(LeftOutEvents { reason, events, first }));
        }
        Ok(told)
    }

    /// Positions of the rows that would be in the numbers.
    fn rows_of(&self, scope: &Scope, numbers: &[CellLineage]) -> String {
        format!(
            "{} SELECT DISTINCT \"partition\", \"#raw_seq\" AS \"raw_seq\", \"#index\" AS \"index\" FROM \"placed\" WHERE {}",
            self.asked.plan().own_rows(scope),
            self.asked.rows(numbers)
        )
    }

    fn without_rows(&self, numbers: &[CellLineage]) -> String {
        let arguments = ARGUMENTS.map(|name| DIALECT.name(name)).join(", ");
        let rows = format!("{}({arguments})", RowFunction::name_for(self.asked.plan().metric()));
        format!(
            "SELECT \"partition\", \"raw_seq\", \"index\" FROM silver.events WHERE NOT \"late\" AND {} \
             AND coalesce(cardinality({rows}), 0) = 0",
            self.of_window("", numbers)
        )
    }

    fn not_in_silver(&self, numbers: &[CellLineage]) -> String {
        format!(
            "SELECT b.\"partition\", b.\"raw_seq\", b.\"index\" FROM bronze.events b LEFT ANTI JOIN silver.events s \
             ON b.\"partition\" = s.\"partition\" AND b.\"raw_seq\" = s.\"raw_seq\" AND b.\"index\" = s.\"index\" WHERE {}",
            self.of_window("b.", numbers)
        )
    }

    /// Events of the metric's types and the numbers' window, as a condition.
    fn of_window(&self, of: &str, numbers: &[CellLineage]) -> String {
        let (from, to) = self.asked.bounds(numbers);
        let types =
            self.asked.plan().metric().types.iter().map(|kind| DIALECT.text(kind)).collect::<Vec<_>>().join(", ");
        let mut partitions: Vec<String> =
            numbers.iter().filter_map(|number| number.partition).map(|n| n.to_string()).collect();
        partitions.dedup();
        let of_partitions = match partitions.is_empty() {
            true => String::new(),
            false => format!(" AND {of}\"partition\" IN ({})", partitions.join(", ")),
        };
        format!(
            "{of}\"type\" IN ({types}) AND {of}\"time\" >= {} AND {of}\"time\" < {}{of_partitions}",
            DIALECT.time(from),
            DIALECT.time(to)
        )
    }
}
