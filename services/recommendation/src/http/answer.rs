//! Answers, as they are written.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_domain::{Amount, Currency, Partition, Timestamp};
use tidemill_events::{ProfileItem, ProfileName, PublishedProfile};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    model::{LearntPlace, ModelState},
    recommend::{Recommended, Why},
    rules::AssignedVariant,
};

/// A list of items.
#[derive(Serialize, ToSchema)]
pub(super) struct RecommendationsAnswer {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The answer's own id. A storefront sends it as `recommendation.request`, with
    /// `experiment` and `variant` where they are there and the item's `reason.strategy`, in
    /// the item of each event about it: shown, clicked, put into the cart, ordered.
    #[schema(value_type = String, format = "uuid")]
    request: Uuid,
    /// The experiment in which the visitor is.
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment: Option<String>,
    /// The variant of it by which the answer was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    /// The best first.
    items: Vec<RecommendedItem>,
    model: ModelPosition,
}

/// An item that is recommended.
#[derive(Serialize, ToSchema)]
struct RecommendedItem {
    item: String,
    /// As the last event with the item told.
    category: Option<String>,
    /// How strongly it is recommended; comparable among items of one `strategy`.
    score: f64,
    reason: RecommendationReason,
}

/// Why an item is recommended.
#[derive(Serialize, ToSchema)]
struct RecommendationReason {
    /// `visits`: visits that have something in common with this one have it. `similar`:
    /// who has to do with the one has to do with the other. `together`: it is bought
    /// together with it. `category`, `popular` and `trending`: it is popular in a category
    /// of the visit, all in all, or lately.
    strategy: &'static str,
    /// In how many visits and orders, or for `together` baskets, that was seen: a visitor who
    /// orders what they looked at counts twice. Lists are not sorted by it: `score` goes by
    /// more, for instance by what was done.
    count: u32,
    /// The same in words.
    text: String,
    /// Of `together`: which share of the baskets with the one has the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    /// Of `together`: how many times more often than by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    lift: Option<f64>,
}

/// How far the model has come that answers.
#[derive(Serialize, ToSchema)]
struct ModelPosition {
    /// That of the partition that is furthest behind; none before the first batch since
    /// the start.
    age_seconds: Option<f64>,
    partitions: Vec<PartitionPosition>,
}

/// How far a partition is learnt.
#[derive(Serialize, ToSchema)]
struct PartitionPosition {
    partition: u16,
    /// The sequence in `RAW` of its last batch.
    raw_sequence: u64,
    /// Seconds since ingestion took in the last batch of it that was learnt; none before
    /// the first one since the start. It grows while nothing comes, too.
    age_seconds: Option<f64>,
}

impl RecommendationsAnswer {
    pub(super) fn new(
        state: &ModelState,
        as_of: Timestamp,
        request: Uuid,
        assigned: Option<AssignedVariant>,
        items: Vec<Recommended>,
    ) -> Self {
        let age = |place: &LearntPlace| {
            place.ingested_at.map(|learnt| (as_of.millis() - learnt.millis()).max(0) as f64 / 1000.0)
        };
        let position = |(partition, place): (&Partition, &LearntPlace)| PartitionPosition {
            partition: partition.index(),
            raw_sequence: place.raw_seq,
            age_seconds: age(place),
        };
        let partitions = state.places.iter().map(position).collect();
        let age = state.places.values().filter_map(age).max_by(f64::total_cmp);
        let items = items.into_iter().map(RecommendedItem::from).collect();
        let (experiment, variant) =
            assigned.map(|AssignedVariant { experiment, variant }| (experiment, variant)).unzip();
        Self { as_of, request, experiment, variant, items, model: ModelPosition { age_seconds: age, partitions } }
    }
}

impl From<Recommended> for RecommendedItem {
    fn from(Recommended { item, category, score, why }: Recommended) -> Self {
        let reason = RecommendationReason::new(why, category.as_deref());
        Self { item, category, score, reason }
    }
}

impl RecommendationReason {
    fn new(why: Why, category: Option<&str>) -> Self {
        let times = |count: u32, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let sessions = |count: u32| format!("{} or order{}", times(count, "visit"), if count == 1 { "" } else { "s" });
        let of_visits =
            |strategy, count: u32, text: String| Self { strategy, count, text, confidence: None, lift: None };
        match why {
            Why::Visits { visits } => of_visits("visits", visits, format!("in {} like this one", sessions(visits))),
            Why::Similar { visits } => of_visits("similar", visits, format!("in {} with it", sessions(visits))),
            Why::Together { baskets: count, confidence, lift } => {
                let text = format!("in {} with it", times(count, "basket"));
                Self { strategy: "together", count, text, confidence: Some(confidence), lift: Some(lift) }
            }
            Why::Category { visits } => {
                let category = category.unwrap_or("its category");
                of_visits("category", visits, format!("popular in {category}: in {}", sessions(visits)))
            }
            Why::Popular { visits } => of_visits("popular", visits, format!("popular: in {}", sessions(visits))),
            Why::Trending { visits } => {
                of_visits("trending", visits, format!("popular lately; in {} in all", sessions(visits)))
            }
        }
    }
}

/// What is known of a customer.
#[derive(Serialize, ToSchema)]
pub(super) struct ProfileAnswer {
    /// When it was read.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// When the newest of their events was: a view, an order, or a refund.
    #[schema(value_type = String, format = DateTime)]
    last_active: Timestamp,
    /// Orders, as they were placed.
    orders: u64,
    /// What they come to, less what was given back; by currency, as decimals.
    #[schema(value_type = BTreeMap<String, String>)]
    value: BTreeMap<Currency, Amount>,
    /// Which segment the customer is in, by what the orders come to in the shop's base
    /// currency. Left out where there are no orders, or where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    /// What was seen, the latest first; each product once.
    views: Vec<DatedItem>,
    /// The same of what was bought.
    purchases: Vec<DatedItem>,
    /// The highest first.
    favourite_categories: Vec<Favourite>,
    /// The same, by the products' attribute `brand`.
    favourite_brands: Vec<Favourite>,
}

/// A product, and when.
#[derive(Serialize, ToSchema)]
struct DatedItem {
    item: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// A name, and how much speaks for it.
#[derive(Serialize, ToSchema)]
struct Favourite {
    name: String,
    /// A view counts as one, the cart as two, an order as three.
    weight: u64,
}

impl ProfileAnswer {
    pub(super) fn new(as_of: Timestamp, profile: PublishedProfile) -> Self {
        let shown = |ProfileName { name, weight }: ProfileName| Favourite { name, weight };
        let dated = |ProfileItem { at, item }: ProfileItem| DatedItem { item, at };
        Self {
            as_of,
            last_active: profile.last_active,
            orders: profile.orders,
            favourite_categories: profile.favourite_categories.into_iter().map(shown).collect(),
            favourite_brands: profile.favourite_brands.into_iter().map(shown).collect(),
            value: profile.value,
            segment: profile.segment,
            views: profile.views.into_iter().map(dated).collect(),
            purchases: profile.purchases.into_iter().map(dated).collect(),
        }
    }
}
