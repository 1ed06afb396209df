//! Going back in time.

use std::{fmt, str::FromStr};

use chrono::DateTime;
use deltalake::DeltaTable;
use tidemill_domain::Timestamp;

use crate::SqlError;

/// Which state of the tables is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// A version of the one table that a question names.
    Version(u64),
    /// The tables as they were then.
    Time(Timestamp),
}

impl FromStr for AsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let version = text.parse().map(Self::Version);
        let wrong = || format!("`{text}` is neither a version (`12`) nor a time (`2026-01-31T00:00:00Z`)");
        version.or_else(|_| text.parse().map(Self::Time)).map_err(|_| wrong())
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Time(time) => time.fmt(f),
        }
    }
}

/// Takes a table back to where it was.
pub(super) async fn go_back(path: &str, table: &mut DeltaTable, as_of: Option<AsOf>) -> Result<(), SqlError> {
    let newest = table.version();
    let loaded = match as_of {
        None => return Ok(()),
        Some(AsOf::Version(version)) => table.load_version(version).await,
        Some(AsOf::Time(time)) => match DateTime::from_timestamp_millis(time.millis()) {
            Some(time) => table.load_with_datetime(time).await,
            None => Ok(()),
        },
    };
    let asked = as_of.map(|as_of| as_of.to_string()).unwrap_or_default();
    let none = |reason: String| SqlError::NoSuchVersion { table: path.replace('/', "."), asked, reason };
    if let Err(error) = loaded {
        return Err(none(match (as_of, newest) {
            (Some(AsOf::Version(asked)), Some(newest)) if asked > newest => format!("its newest one is {newest}"),
            _ => error.to_string(),
        }));
    }
    match (as_of, changed_at(table)) {
        (Some(AsOf::Time(time)), Some(changed_at)) if changed_at > time => {
            Err(none(format!("its first version that is kept is of {changed_at}")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn changed_at(table: &DeltaTable) -> Option<Timestamp> {
    let snapshot = table.snapshot().ok()?;
    let millis = snapshot.version_timestamp(table.version()?)?;
    Some(Timestamp::saturating_from_millis(millis))
}
