//! Settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::interaction::InteractionKind;

/// How the index learns and answers. All that concerns learning (`session_gap_seconds`,
/// `items_per_session`, `sessions_per_visitor`, `interactions_per_partition`) decides what is kept:
/// a checkpoint is read only under the settings that it was written under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecommenderSettings {
    /// A visitor who was away for longer than this, in seconds, begins another session.
    pub session_gap_seconds: u32,
    /// The latest items of a session that are kept.
    pub items_per_session: u32,
    /// The latest sessions of a visitor that are kept, in each partition.
    pub sessions_per_visitor: u32,
    /// The latest interactions of each partition that are kept. It bounds the memory of each replica:
    /// times the partitions, times some 100 bytes; more where most items are new.
    pub interactions_per_partition: u32,
    /// The latest items of the session to be continued that are looked at.
    pub query_items: u32,
    /// The latest sessions with an item that are looked at, for each item of the query.
    pub sessions_per_item: u32,
    /// The most recent of all these sessions that are compared (m).
    pub sample: u32,
    /// The nearest of those, which recommend their items (k).
    pub neighbours: u32,
    /// After how many items of the query, counted back from its latest, an item weighs half.
    pub position_half_life: f64,
    /// After how many hours a session counts half as a neighbour; 0 for never less.
    pub neighbour_half_life_hours: f64,
    /// How many items away from the latest common item an item of a neighbour weighs half.
    pub distance_half_life: f64,
    /// How much an item of the session itself is preferred, times how many interactions return to an item
    /// of their session for each that does not: visitors of some shops go back to what they saw, the
    /// lines of an order do not come again. 0 to never recommend what the session has.
    pub returning: f64,
    /// How much rare items are preferred: the score is multiplied by the logarithm of how rare the item
    /// is, to this power, in quarters; 0 for not at all.
    pub rarity: f64,
    /// What an interaction weighs by its kind.
    pub weights: Weights,
    /// After how many hours an interaction counts half for what is trending.
    pub trend_half_life_hours: u32,
    /// In how many baskets two items must be together to be said to be bought together.
    pub minimum_support: u32,
}

/// What an interaction weighs, by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// A view.
    pub view: u32,
    /// Into the cart.
    pub cart: u32,
    /// An order.
    pub order: u32,
}

impl Weights {
    /// The weight of a kind.
    #[must_use]
    pub const fn of(&self, kind: InteractionKind) -> u32 {
        match kind {
            InteractionKind::View => self.view,
            InteractionKind::Cart => self.cart,
            InteractionKind::Order => self.order,
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self { view: 1, cart: 2, order: 3 }
    }
}

impl Default for RecommenderSettings {
    fn default() -> Self {
        Self {
            session_gap_seconds: 30 * 60,
            items_per_session: 100,
            sessions_per_visitor: 50,
            interactions_per_partition: 250_000,
            query_items: 10,
            sessions_per_item: 1000,
            sample: 1000,
            neighbours: 500,
            position_half_life: 0.6,
            neighbour_half_life_hours: 24.0 * 30.0,
            distance_half_life: 3.0,
            returning: 8.0,
            rarity: 1.5,
            weights: Weights::default(),
            trend_half_life_hours: 24,
            minimum_support: 3,
        }
    }
}

/// A setting that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {range}")]
pub struct SettingsError {
    /// Which one.
    pub name: &'static str,
    /// What it may be.
    pub range: &'static str,
}

impl RecommenderSettings {
    /// Checks every setting.
    ///
    /// # Errors
    /// If one is out of its range: the first.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let check = |holds: bool, name, range| if holds { Ok(()) } else { Err(SettingsError { name, range }) };
        let counts = [
            ("session_gap_seconds", self.session_gap_seconds, 1, 7 * 86_400, "1 to 604800"),
            ("items_per_session", self.items_per_session, 2, 1000, "2 to 1000"),
            ("sessions_per_visitor", self.sessions_per_visitor, 1, 10_000, "1 to 10000"),
            ("interactions_per_partition", self.interactions_per_partition, 1, 100_000_000, "1 to 100000000"),
            ("query_items", self.query_items, 1, 100, "1 to 100"),
            ("sessions_per_item", self.sessions_per_item, 1, 100_000, "1 to 100000"),
            ("sample", self.sample, 1, 100_000, "1 to 100000"),
            ("neighbours", self.neighbours, 1, 100_000, "1 to 100000"),
            ("weights.view", self.weights.view, 0, 1000, "0 to 1000"),
            ("weights.cart", self.weights.cart, 0, 1000, "0 to 1000"),
            ("weights.order", self.weights.order, 0, 1000, "0 to 1000"),
            ("trend_half_life_hours", self.trend_half_life_hours, 1, 8760, "1 to 8760"),
            ("minimum_support", self.minimum_support, 1, 1_000_000, "1 to 1000000"),
        ];
        for (name, value, least, most, range) in counts {
            check((least..=most).contains(&value), name, range)?;
        }
        let scales = [
            ("position_half_life", self.position_half_life, 0.01, "0.01 to 1000000"),
            ("distance_half_life", self.distance_half_life, 0.01, "0.01 to 1000000"),
            ("neighbour_half_life_hours", self.neighbour_half_life_hours, 0.0, "0 to 1000000"),
        ];
        for (name, value, least, range) in scales {
            check((least..=1e6).contains(&value), name, range)?;
        }
        check((0.0..=100.0).contains(&self.returning), "returning", "0 to 100")?;
        let is_in_quarters = (self.rarity * 4.0).fract() == 0.0;
        check((0.0..=4.0).contains(&self.rarity) && is_in_quarters, "rarity", "0 to 4 in quarters, such as 0.75")
    }
}
