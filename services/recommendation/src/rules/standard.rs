//! Rules of a list: what is never recommended, what is preferred, and what fills an
//! answer up.

use std::{collections::BTreeSet, num::NonZeroUsize};

use serde::Deserialize;

use crate::store::KeptItem;

/// Conditions and boosts at most, and values of one.
pub(super) const MAX_LISTED: usize = 200;
/// The largest factor of a boost.
const MAX_FACTOR: f64 = 100.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCondition {
    pub(super) category: Option<String>,
    pub(super) attribute: Option<String>,
    pub(super) is: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBoost {
    category: Option<String>,
    attribute: Option<String>,
    is: Option<Vec<String>>,
    factor: f64,
}

/// What an answer for a visit is made of first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VisitStrategy {
    /// What visits that have something in common with it have.
    #[default]
    Visits,
    /// What is popular.
    Popular,
    /// What is popular lately.
    Trending,
}

/// What fills an answer up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FallbackKind {
    /// What is popular in the categories of the visit.
    Category,
    /// What is popular.
    Popular,
}

/// What a rule looks for in an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemCondition {
    Category(String),
    Attribute { name: String, is: BTreeSet<String> },
}

impl ItemCondition {
    pub(super) fn new(
        category: Option<String>,
        attribute: Option<String>,
        is: Option<Vec<String>>,
    ) -> Result<Self, String> {
        match (category, attribute, is) {
            (Some(category), None, None) => Ok(Self::Category(category)),
            (None, Some(name), Some(is)) if (1..=MAX_LISTED).contains(&is.len()) => {
                Ok(Self::Attribute { name, is: is.into_iter().collect() })
            }
            _ => Err("names either a `category`, or an `attribute` and what it `is`".into()),
        }
    }

    fn holds(&self, item: &KeptItem) -> bool {
        match self {
            Self::Category(category) => item.category == *category,
            Self::Attribute { name, is } => item.attributes.get(name).is_some_and(|value| is.contains(value)),
        }
    }
}

/// The rules of a list.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecommendationRules {
    pub(super) exclude: Vec<ItemCondition>,
    pub(super) boost: Vec<(ItemCondition, f64)>,
    /// Of one category no more than so many.
    pub(crate) most_of_a_category: Option<NonZeroUsize>,
    /// For a visit.
    pub(crate) strategy: VisitStrategy,
    /// In this order.
    pub(crate) fallbacks: Vec<FallbackKind>,
}

impl RecommendationRules {
    /// Whether an item may be recommended. Of one that nothing is known of nothing
    /// speaks against it.
    pub(crate) fn admit(&self, item: Option<&KeptItem>) -> bool {
        item.is_none_or(|item| !self.exclude.iter().any(|condition| condition.holds(item)))
    }

    /// Whether an item may come before one with a higher score.
    pub(crate) const fn reorder(&self) -> bool {
        !self.boost.is_empty()
    }

    /// What its score is multiplied by.
    pub(crate) fn factor(&self, item: Option<&KeptItem>) -> f64 {
        let Some(item) = item else { return 1.0 };
        self.boost.iter().filter(|(condition, _)| condition.holds(item)).map(|(_, factor)| factor).product()
    }
}

/// Boosts as they are written; an error tells the place.
pub(super) fn boosts(written: Vec<WrittenBoost>) -> Result<Vec<(ItemCondition, f64)>, (usize, String)> {
    let mut boosts = Vec::with_capacity(written.len());
    for (place, WrittenBoost { category, attribute, is, factor }) in written.into_iter().enumerate() {
        let condition = ItemCondition::new(category, attribute, is).map_err(|reason| (place, reason))?;
        if !(factor > 0.0 && factor <= MAX_FACTOR) {
            return Err((place, format!("a factor is above 0, and at most {MAX_FACTOR}")));
        }
        boosts.push((condition, factor));
    }
    Ok(boosts)
}

/// The first fallback that was named before.
pub(super) fn twice(fallbacks: &[FallbackKind]) -> Option<usize> {
    (0..fallbacks.len()).find(|&place| fallbacks[..place].contains(&fallbacks[place]))
}
