//! Gold that is declared: totals follow from the definitions of metrics.

use tidemill_domain::Timestamp;

use crate::declare::table;

table! {
    /// A figure of quality, as it was measured.
    QualityRow<'a> is Gold / "quality"
    partitioned by ["year", "month", "day"] clustered by ["table", "measure"]
    {
        /// The interval that it is of: when that begins, as Unix time.
        interval: i64,
        /// When it was measured.
        time: Timestamp,
        /// The layer of the table.
        layer: &'a str,
        /// The table, for instance `silver.events`.
        table: &'a str,
        /// What was measured.
        measure: &'a str,
        /// The contract of the rule.
        contract: Option<&'a str>,
        /// The rule whose failed rows it counts.
        rule: Option<&'a str>,
        /// What becomes of rows that break the rule: `warn`, `quarantine` or `fail`.
        severity: Option<&'a str>,
        /// The figure.
        value: f64,
        /// Rows that were looked at.
        checked: Option<i64>,
        /// What the figure may not be beyond.
        threshold: Option<f64>,
        /// Whether it is on the right side of `threshold`.
        good: Option<bool>,
        /// Version of the table.
        version: i64,
        /// Year of `time`, UTC.
        year: i32,
        /// Month of `time`.
        month: i32,
        /// Day of `time`.
        day: i32,
    }
}
