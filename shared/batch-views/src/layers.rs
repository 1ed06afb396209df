//! The names of layers and tables.

/// The layers, which are the schemas of questions.
pub(crate) const LAYERS: [&str; 3] = ["bronze", "silver", "gold"];

/// The tables of gold that are of no metric of the stream.
pub(crate) const GOLD: [&str; 3] = ["daily_metrics", "customer_lifetime_value", "quality"];
