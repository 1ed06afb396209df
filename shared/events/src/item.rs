//! What enrichment knows of what is bought.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What enrichment knows of one item's product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemFacts {
    /// Category, `Unknown` where the product is not known.
    pub category: String,
    /// Further attributes of the product.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub product: BTreeMap<String, String>,
}

impl ItemFacts {
    /// The category of a product of which no category is known.
    pub const UNKNOWN_CATEGORY: &str = "Unknown";
}
