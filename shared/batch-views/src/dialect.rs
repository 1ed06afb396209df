//! What the engines write differently.

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;

/// An engine that a plan is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SqlDialect {
    /// Our own, with our functions.
    DataFusion,
    /// DuckDB 1.4 or later.
    DuckDb,
    /// Spark 4 SQL.
    Spark,
}

impl SqlDialect {
    /// A name, so that no word of SQL is in its way.
    pub(crate) fn name(self, name: &str) -> String {
        match self {
            Self::DataFusion | Self::DuckDb => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::Spark => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A text.
    pub(crate) fn text(self, text: &str) -> String {
        match self {
            Self::DataFusion | Self::DuckDb => format!("'{}'", text.replace('\'', "''")),
            Self::Spark => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        }
    }

    /// A point in time.
    pub(crate) fn time(self, time: Timestamp) -> String {
        match self {
            Self::DataFusion => format!("arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')", micros(time)),
            Self::DuckDb => format!("make_timestamptz({})", micros(time)),
            Self::Spark => format!("timestamp_micros({})", micros(time)),
        }
    }

    /// The last multiple of `step` milliseconds since 1970 that is not after `time`.
    pub(crate) fn window_start(self, time: &str, step: i64) -> String {
        let step_micros = step.saturating_mul(1000);
        match self {
            Self::DataFusion => format!("window_start({time}, {step})"),
            Self::DuckDb => format!(
                "make_timestamptz(epoch_us({time}) - (epoch_us({time}) % {step_micros} + {step_micros}) % {step_micros})"
            ),
            Self::Spark => format!("timestamp_micros(unix_micros({time}) - pmod(unix_micros({time}), {step_micros}))"),
        }
    }

    /// So many milliseconds after `time`.
    pub(crate) fn later(self, time: &str, millis: &str) -> String {
        match self {
            Self::DataFusion => format!("later({time}, {millis})"),
            Self::DuckDb => format!("make_timestamptz(epoch_us({time}) + CAST(1000 AS BIGINT) * ({millis}))"),
            Self::Spark => format!("timestamp_micros(unix_micros({time}) + CAST(1000 AS BIGINT) * ({millis}))"),
        }
    }

    /// The day of a time, in UTC.
    pub(crate) fn day(self, time: &str) -> String {
        match self {
            Self::DataFusion => format!("CAST({time} AS DATE)"),
            Self::DuckDb => format!("CAST({time} AT TIME ZONE 'UTC' AS DATE)"),
            Self::Spark => format!("CAST(to_utc_timestamp({time}, current_timezone()) AS DATE)"),
        }
    }

    /// A column of the numbers from 0 to before `count`, a row each.
    pub(crate) fn each_below(self, count: &str) -> String {
        match self {
            Self::DataFusion | Self::DuckDb => format!("unnest(range(0, {count}))"),
            Self::Spark => format!("explode(sequence(0, {count} - 1))"),
        }
    }

    /// What a row is split by, of a text that may be null.
    pub(crate) fn dimension(self, text: &str) -> String {
        let hash = match self {
            Self::DataFusion => return format!("dimension({text})"),
            Self::DuckDb => format!("left(sha256({text}), 16)"),
            Self::Spark => format!("left(sha2({text}, 256), 16)"),
        };
        format!(
            "CASE WHEN coalesce({text}, '') = '' THEN 'Unknown' \
             WHEN length({text}) > 120 THEN left({text}, 103) || '…' || {hash} ELSE {text} END"
        )
    }

    /// A member of a text of JSON, as a text.
    pub(crate) fn json(self, column: &str, path: &str) -> String {
        self.json_at(column, &self.text(path))
    }

    /// The same, where the path is computed.
    pub(crate) fn json_at(self, column: &str, path: &str) -> String {
        match self {
            Self::DataFusion | Self::DuckDb => format!("json_extract_string({column}, {path})"),
            Self::Spark => format!("get_json_object({column}, {path})"),
        }
    }

    /// The same, as a text of JSON.
    pub(crate) fn json_value_at(self, column: &str, path: &str) -> String {
        match self {
            Self::DataFusion | Self::DuckDb => format!("CAST(json_extract({column}, {path}) AS VARCHAR)"),
            Self::Spark => format!("get_json_object({column}, {path})"),
        }
    }

    /// How many items a list has; 0 of what is none.
    pub(crate) fn json_length(self, column: &str, path: &str) -> String {
        let path = self.text(path);
        match self {
            Self::DataFusion | Self::DuckDb => {
                format!("CAST(coalesce(json_array_length({column}, {path}), 0) AS BIGINT)")
            }
            Self::Spark => format!("coalesce(json_array_length(get_json_object({column}, {path})), 0)"),
        }
    }

    /// A whole number as a text.
    pub(crate) fn whole_text(self, number: &str) -> String {
        match self {
            Self::DataFusion | Self::DuckDb => format!("CAST({number} AS VARCHAR)"),
            Self::Spark => format!("CAST({number} AS STRING)"),
        }
    }

    /// Whether two values differ, of which one may be null.
    pub(crate) fn is_distinct(self, one: &str, other: &str) -> String {
        match self {
            Self::DataFusion | Self::DuckDb => format!("{one} IS DISTINCT FROM {other}"),
            Self::Spark => format!("NOT ({one} <=> {other})"),
        }
    }

    /// The product of exact amounts, rounded to twelve decimals. Each keeps six of its
    /// decimals where there are several, so that the engine's decimals hold it.
    pub(crate) fn product(self, amounts: &[String]) -> String {
        match amounts {
            [one] => one.clone(),
            several => {
                // DuckDB multiplies two numbers of 18 digits into one of 18, and Spark takes decimals away past 38.
                let digits = if self == Self::DuckDb { 19 } else { 18 };
                let factors = several.iter().map(|amount| format!("TRY_CAST({amount} AS DECIMAL({digits}, 6))"));
                format!("CAST({} AS DECIMAL(38, 12))", factors.collect::<Vec<_>>().join(" * "))
            }
        }
    }
}

/// Microseconds since 1970.
fn micros(time: Timestamp) -> i64 {
    time.millis().saturating_mul(1000)
}
