//! An experiment: visitors are divided among variants of the rules.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    standard::{FallbackKind, MAX_LISTED, RecommendationRules, VisitStrategy, WrittenBoost, boosts, twice},
    whole_number::{MostOfCategory, VariantShare, WHOLE},
};
use crate::learning::VisitorId;

/// Variants of an experiment.
const VARIANTS: std::ops::RangeInclusive<usize> = 2..=10;
/// Bytes of a name: it becomes a dimension of metrics.
const MAX_NAME: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenExperiment {
    name: String,
    variants: Vec<WrittenVariant>,
}

/// What it does not say is as in the rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenVariant {
    name: String,
    share: VariantShare,
    boost: Option<Vec<WrittenBoost>>,
    most_of_a_category: Option<MostOfCategory>,
    strategy: Option<VisitStrategy>,
    fallbacks: Option<Vec<FallbackKind>>,
}

/// An experiment.
#[derive(Debug, Clone)]
pub(crate) struct Experiment {
    name: String,
    variants: Vec<RulesVariant>,
}

#[derive(Debug, Clone)]
struct RulesVariant {
    name: String,
    /// Percent of the visitors.
    share: u16,
    rules: RecommendationRules,
}

/// Which variant of which experiment an answer was made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AssignedVariant {
    /// The experiment in which the visitor is.
    pub(crate) experiment: String,
    /// The variant of it by which the answer was made.
    pub(crate) variant: String,
}

impl Experiment {
    pub(super) fn new(written: WrittenExperiment, standard: &RecommendationRules) -> Result<Self, String> {
        let WrittenExperiment { name, variants: written } = written;
        check_name(&name)?;
        if !VARIANTS.contains(&written.len()) {
            return Err(format!("an experiment has {} to {} variants", VARIANTS.start(), VARIANTS.end()));
        }
        let mut variants: Vec<RulesVariant> = Vec::with_capacity(written.len());
        for variant in written {
            let variant = RulesVariant::new(variant, standard)?;
            if variants.iter().any(|known| known.name == variant.name) {
                return Err(format!("there are two variants `{}`", variant.name));
            }
            variants.push(variant);
        }
        match variants.iter().map(|variant| variant.share).sum::<u16>() {
            WHOLE => Ok(Self { name, variants }),
            sum => Err(format!("shares are percents and come to {WHOLE}; these come to {sum}")),
        }
    }

    /// The rules that a visitor gets: the same on every replica, and whenever they come.
    pub(crate) fn of(&self, visitor: VisitorId) -> (&RecommendationRules, AssignedVariant) {
        let mut percent = self.percent_of(visitor);
        let is_it = |variant: &&RulesVariant| match percent.checked_sub(variant.share) {
            Some(left) => {
                percent = left;
                false
            }
            None => true,
        };
        let last = &self.variants[self.variants.len() - 1];
        let variant = self.variants.iter().find(is_it).unwrap_or(last);
        (&variant.rules, AssignedVariant { experiment: self.name.clone(), variant: variant.name.clone() })
    }

    /// 0 to 99, by a hash of the experiment and the visitor: so who is in which variant of
    /// one says nothing of another.
    fn percent_of(&self, visitor: VisitorId) -> u16 {
        let digest = Sha256::new().chain_update(&self.name).chain_update([0]).chain_update(visitor.0).finalize();
        let number = digest[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        u16::try_from((u128::from(number) * u128::from(WHOLE)) >> 64).unwrap_or(WHOLE - 1)
    }
}

impl RulesVariant {
    fn new(written: WrittenVariant, standard: &RecommendationRules) -> Result<Self, String> {
        let WrittenVariant { name, share: VariantShare(share), boost, most_of_a_category, strategy, fallbacks } =
            written;
        check_name(&name)?;
        let wrong = |reason: String| format!("variant `{name}`: {reason}");
        let mut rules = standard.clone();
        if let Some(boost) = boost {
            if boost.len() > MAX_LISTED {
                return Err(wrong(format!("`boost` has more than {MAX_LISTED} entries")));
            }
            rules.boost = boosts(boost).map_err(|(_, reason)| wrong(reason))?;
        }
        if let Some(fallbacks) = fallbacks {
            if twice(&fallbacks).is_some() {
                return Err(wrong("`fallbacks` names one twice".into()));
            }
            rules.fallbacks = fallbacks;
        }
        rules.most_of_a_category = most_of_a_category.map(|most| most.0).or(rules.most_of_a_category);
        rules.strategy = strategy.unwrap_or(rules.strategy);
        Ok(Self { name, share, rules })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    match (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(format!("`{name}`: a name has 1 to {MAX_NAME} of a-z, 0-9, `-` and `_`")),
    }
}
