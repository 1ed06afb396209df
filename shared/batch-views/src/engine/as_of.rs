//! Going back in time.

use std::str::FromStr;

use tidemill_domain::Timestamp;

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
