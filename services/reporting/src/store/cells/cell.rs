//! A cell as it is read.

use sqlx::{Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::Error;
use tidemill_totals::{Totals, TotalsShape};

use crate::batch::AnswerSource;

/// Totals of one partition in one window, as they are stored; or rolled up, of
/// all partitions in several windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredCell<'a> {
    /// First instant of the window, or of the first.
    pub(crate) start: Timestamp,
    /// First instant after it, or after the last.
    pub(crate) end: Timestamp,
    /// Whether it is of several windows.
    pub(crate) is_joined: bool,
    /// The dimensions' canonical JSON.
    pub(crate) dimensions: &'a str,
    /// States by measure.
    pub(crate) totals: Totals,
    /// Where they come from.
    pub(crate) source: AnswerSource,
}

pub(super) fn text(row: &AnyRow, column: usize) -> Result<&str, Error> {
    Ok(row.try_get(column)?)
}

/// The shape that was read last: most rows have the same.
#[derive(Default)]
pub(super) struct KnownShape {
    json: String,
    shape: TotalsShape,
}

impl KnownShape {
    pub(super) fn read(&mut self, json: &str) -> Result<&TotalsShape, Error> {
        if self.json != json {
            self.shape = serde_json::from_str(json).map_err(|_| Error::Malformed("states"))?;
            json.clone_into(&mut self.json);
        }
        Ok(&self.shape)
    }
}
