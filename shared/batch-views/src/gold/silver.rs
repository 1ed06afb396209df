//! What silver has.

use tidemill_domain::Currency;

use super::coverage::Coverage;

/// What silver has, as of a run.
#[derive(Debug, Clone)]
pub(super) struct SilverState {
    pub(super) coverage: Coverage,
    /// The day, since 1970, from which on it has all rows.
    pub(super) complete_since: Option<i64>,
    /// The shop's base currency.
    pub(super) base: Option<Currency>,
}
