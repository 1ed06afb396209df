//! What is to be made anew.

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use utoipa::ToSchema;

/// A layer that can be made anew from the one below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RebuiltLayer {
    /// Order lines and orders, from the events of silver.
    Silver,
    /// All totals, from silver.
    Gold,
}

/// Which layer, and which part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RebuildOrder {
    pub(crate) layer: RebuiltLayer,
    /// From the month (silver) or the day (gold) of this event time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// Up to this event time; a month or a day that has begun by then is made anew as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
}
