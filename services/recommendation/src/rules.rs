//! Rules as data: what is never recommended, what is preferred, and what fills an
//! answer up.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, num::NonZeroUsize, path::Path};

use serde::Deserialize;
use tidemill_definitions::{DefinitionError, from_yaml};

use crate::store::KeptItem;

/// The rules of a shop that has none of its own.
pub const BUILT_IN: &str = include_str!("../rules/recommendation.yaml");
/// Conditions and boosts at most, and values of one.
const MAX_LISTED: usize = 200;
/// The largest factor of a boost.
const MAX_FACTOR: f64 = 100.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRules {
    #[serde(default)]
    exclude: Vec<WrittenCondition>,
    #[serde(default)]
    boost: Vec<WrittenBoost>,
    most_of_a_category: Option<NonZeroUsize>,
    #[serde(default)]
    fallbacks: Vec<FallbackKind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    category: Option<String>,
    attribute: Option<String>,
    is: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBoost {
    category: Option<String>,
    attribute: Option<String>,
    is: Option<Vec<String>>,
    factor: f64,
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
enum ItemCondition {
    Category(String),
    Attribute { name: String, is: BTreeSet<String> },
}

impl ItemCondition {
    fn new(category: Option<String>, attribute: Option<String>, is: Option<Vec<String>>) -> Result<Self, String> {
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

/// The rules of a shop.
#[derive(Debug, Clone)]
pub(crate) struct RecommendationRules {
    exclude: Vec<ItemCondition>,
    boost: Vec<(ItemCondition, f64)>,
    /// Of one category no more than so many.
    pub(crate) most_of_a_category: Option<NonZeroUsize>,
    /// In this order.
    pub(crate) fallbacks: Vec<FallbackKind>,
}

impl RecommendationRules {
    /// Reads a file, or the built-in rules.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, DefinitionError> {
        let Some(file) = file else { return Self::parse("recommendation.yaml", BUILT_IN) };
        let name = file.display().to_string();
        let yaml = std::fs::read_to_string(file).map_err(|e| DefinitionError::new(&name, None, e.to_string()))?;
        Self::parse(&name, &yaml)
    }

    pub(crate) fn parse(file: &str, yaml: &str) -> Result<Self, DefinitionError> {
        let written: WrittenRules = from_yaml(file, yaml)?;
        let wrong = |key: &str, place: usize, reason: String| {
            DefinitionError::new(file, Some(line_of_entry(yaml, key, place)), reason)
        };
        for (key, count) in [("exclude", written.exclude.len()), ("boost", written.boost.len())] {
            if count > MAX_LISTED {
                return Err(wrong(key, 0, format!("has more than {MAX_LISTED} entries")));
            }
        }
        let mut exclude = Vec::with_capacity(written.exclude.len());
        for (place, WrittenCondition { category, attribute, is }) in written.exclude.into_iter().enumerate() {
            let condition = ItemCondition::new(category, attribute, is);
            exclude.push(condition.map_err(|reason| wrong("exclude", place, reason))?);
        }
        let mut boost = Vec::with_capacity(written.boost.len());
        for (place, WrittenBoost { category, attribute, is, factor }) in written.boost.into_iter().enumerate() {
            let condition = ItemCondition::new(category, attribute, is);
            let condition = condition.map_err(|reason| wrong("boost", place, reason))?;
            if !(factor > 0.0 && factor <= MAX_FACTOR) {
                return Err(wrong("boost", place, format!("a factor is above 0, and at most {MAX_FACTOR}")));
            }
            boost.push((condition, factor));
        }
        let WrittenRules { most_of_a_category, fallbacks, .. } = written;
        if let Some(place) = (0..fallbacks.len()).find(|&place| fallbacks[..place].contains(&fallbacks[place])) {
            return Err(wrong("fallbacks", place, "`fallbacks` names one twice".into()));
        }
        Ok(Self { exclude, boost, most_of_a_category, fallbacks })
    }

    /// Whether an item may be recommended. Of one that nothing is known of nothing
    /// speaks against it.
    pub(crate) fn admit(&self, item: Option<&KeptItem>) -> bool {
        item.is_none_or(|item| !self.exclude.iter().any(|condition| condition.holds(item)))
    }

    /// What its score is multiplied by.
    pub(crate) fn factor(&self, item: Option<&KeptItem>) -> f64 {
        let Some(item) = item else { return 1.0 };
        self.boost.iter().filter(|(condition, _)| condition.holds(item)).map(|(_, factor)| factor).product()
    }
}

/// The line of an entry of a list that is written one entry a line; that of the list,
/// where it is written otherwise.
fn line_of_entry(yaml: &str, key: &str, place: usize) -> usize {
    let is_key = |line: &str| line.starts_with(&format!("{key}:"));
    let Some(begin) = yaml.lines().position(is_key) else { return 1 };
    let entries = yaml.lines().enumerate().skip(begin + 1).filter(|(_, line)| line.trim_start().starts_with("- "));
    entries.map(|(number, _)| number + 1).nth(place).unwrap_or(begin + 1)
}
