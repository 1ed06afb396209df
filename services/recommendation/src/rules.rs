//! Rules as data: what is never recommended, what is preferred, and what fills an
//! answer up.

mod experiment;
mod in_use;
mod standard;
#[cfg(test)]
mod tests;
mod whole_number;

use std::path::Path;

use serde::Deserialize;
use tidemill_definitions::{DefinitionError, from_yaml};

pub use self::in_use::RulesInUse;
pub(crate) use self::{
    experiment::AssignedVariant,
    standard::{FallbackKind, RecommendationRules, VisitStrategy},
};
use self::{
    experiment::{Experiment, WrittenExperiment},
    standard::{ItemCondition, MAX_LISTED, WrittenBoost, WrittenCondition, boosts, twice},
    whole_number::MostOfCategory,
};
use crate::learning::VisitorId;

/// The rules of a shop that has none of its own.
pub const BUILT_IN: &str = include_str!("../rules/recommendation.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRules {
    #[serde(default)]
    exclude: Vec<WrittenCondition>,
    #[serde(default)]
    boost: Vec<WrittenBoost>,
    most_of_a_category: Option<MostOfCategory>,
    #[serde(default)]
    strategy: VisitStrategy,
    #[serde(default)]
    fallbacks: Vec<FallbackKind>,
    experiment: Option<WrittenExperiment>,
}

/// The rules of a shop.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShopRules {
    /// Of every list, and of every visitor who is in no variant.
    pub(crate) standard: RecommendationRules,
    /// What is compared.
    experiment: Option<Experiment>,
}

impl ShopRules {
    /// Reads a file, or the built-in rules.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, DefinitionError> {
        let Some(file) = file else { return Self::parse("recommendation.yaml", BUILT_IN) };
        let name = file.display().to_string();
        let yaml =
            tidemill_definitions::read_text(file).map_err(|e| DefinitionError::new(&name, None, e.to_string()))?;
        let yaml = yaml.strip_prefix('\u{feff}').unwrap_or(&yaml);
        // What was cut off would take away what the built-in rules exclude.
        if !yaml.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['#', '-', '.'])) {
            let reason = "has no rule; `exclude: []` says that nothing is excluded";
            return Err(DefinitionError::new(&name, None, reason));
        }
        Self::parse(&name, yaml)
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
        let boost = boosts(written.boost).map_err(|(place, reason)| wrong("boost", place, reason))?;
        let WrittenRules { most_of_a_category, strategy, fallbacks, experiment, .. } = written;
        if let Some(place) = twice(&fallbacks) {
            return Err(wrong("fallbacks", place, "`fallbacks` names one twice".into()));
        }
        let most_of_a_category = most_of_a_category.map(|most| most.0);
        let standard = RecommendationRules { exclude, boost, most_of_a_category, strategy, fallbacks };
        let experiment = experiment.map(|written| Experiment::new(written, &standard)).transpose();
        let experiment = experiment.map_err(|reason| DefinitionError::at(file, yaml, "experiment:", reason))?;
        Ok(Self { standard, experiment })
    }

    /// The rules that a visitor gets, and by which variant.
    pub(crate) fn of(&self, visitor: Option<VisitorId>) -> (&RecommendationRules, Option<AssignedVariant>) {
        match self.experiment.as_ref().zip(visitor) {
            None => (&self.standard, None),
            Some((experiment, visitor)) => {
                let (rules, variant) = experiment.of(visitor);
                (rules, Some(variant))
            }
        }
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
