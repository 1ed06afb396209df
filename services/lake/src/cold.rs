//! Another place for what is old.

use tidemill_lake_tables::Lake;

use crate::config::ColdConfig;

/// Where old folders are.
pub(crate) struct ColdPlace {
    pub(crate) lake: Lake,
    pub(crate) config: ColdConfig,
}
