//! Rules over single events.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidemill_definitions::{Condition, DefinitionError, version_of};
use tidemill_events::{Enrichment, EventRef};

use super::{
    amounts::{Amounts, Lists, ShopNames},
    file::RuleFile,
    meta::RuleMeta,
    period::Period,
    scalar::condition,
};

/// What conditions may name, beside dimensions, counters, amounts and lists.
const VARIABLES: [&str; 6] = ["id", "type", "time", "data", "customer", "quality"];
/// What templates may name, beside dimensions, counters and amounts.
const FACTS: [&str; 5] = ["id", "type", "time", "score", "signals"];

/// A rule over single events.
#[derive(Debug, Clone)]
pub(crate) struct EventRule {
    pub(crate) meta: RuleMeta,
    pub(crate) body: EventRuleBody,
    /// Its own, or the default ones.
    pub(crate) amounts: Amounts,
    /// Its own, or the default ones.
    pub(crate) lists: Lists,
    /// The version of each counter, by name. A rule that changes elsewhere goes
    /// on counting.
    pub(crate) counters: BTreeMap<String, String>,
}

/// What a rule over events says, beside its [`RuleMeta`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EventRuleBody {
    /// The event types that it looks at.
    pub(crate) types: Vec<String>,
    /// What an alert is said to be about.
    #[serde(default)]
    pub(crate) dimensions: Vec<Dimension>,
    /// Amounts in an event's data, by the name that conditions and templates use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amounts: Option<Amounts>,
    /// Lists in an event's data, by the name that conditions use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lists: Option<Lists>,
    /// Counts of events, by the name that conditions use.
    #[serde(default)]
    pub(crate) counters: BTreeMap<String, CounterText>,
    /// What adds to the score.
    pub(crate) signals: Vec<Signal>,
    /// The score from which it fires.
    pub(crate) fire_at: u64,
}

/// Counts events of the rule's types with the same key.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CounterText {
    pub(crate) key: Dimension,
    /// The window of this length that ends with the event.
    pub(crate) window: Period,
}

/// One sign of what the rule looks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signal {
    /// What it is called in an alert.
    pub(crate) name: String,
    /// When it shows.
    #[serde(deserialize_with = "condition")]
    pub(crate) when: Condition,
    /// What it adds.
    pub(crate) score: u64,
}

/// An attribute of an event that alerts and counters go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dimension {
    /// Whom it is about.
    Subject,
    /// Who sent it.
    Source,
    /// The sender's address.
    Clientip,
    /// Sales region.
    Region,
    /// Country.
    Country,
    /// Country of the sender's address.
    IpCountry,
}

impl Dimension {
    pub(crate) const ALL: [Self; 6] =
        [Self::Subject, Self::Source, Self::Clientip, Self::Region, Self::Country, Self::IpCountry];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Source => "source",
            Self::Clientip => "clientip",
            Self::Region => "region",
            Self::Country => "country",
            Self::IpCountry => "ip_country",
        }
    }

    /// Its value of an event, if the event has one.
    pub(crate) fn of<'e>(self, event: &'e EventRef<'_>, enriched: &'e Enrichment) -> Option<&'e str> {
        match self {
            Self::Subject => event.subject.as_deref(),
            Self::Source => Some(&event.source),
            Self::Clientip => event.clientip.as_deref(),
            Self::Region => Some(&enriched.region),
            Self::Country => enriched.country.as_deref(),
            Self::IpCountry => enriched.ip_country.as_deref(),
        }
    }
}

impl EventRule {
    /// Reads one from YAML. `names` are those that it has where it says nothing
    /// else.
    pub(super) fn read(file: &RuleFile<'_>, names: Option<&ShopNames>) -> Result<Self, DefinitionError> {
        let (meta, body): (RuleMeta, EventRuleBody) = file.read()?;
        if body.types.is_empty() || body.signals.is_empty() || body.fire_at == 0 {
            return Err(file.wrong("types:", "needs at least one type and one signal, and fire_at above 0"));
        }
        let reachable: u64 = body.signals.iter().map(|signal| signal.score).fold(0, u64::saturating_add);
        if reachable < body.fire_at {
            return Err(file.wrong("fire_at:", format!("can never fire: all scores together are {reachable}")));
        }
        body.check_own_names(file)?;
        let shop = names.cloned().map_or_else(ShopNames::built_in, Ok)?;
        let amounts = body.amounts.clone().unwrap_or(shop.amounts);
        let lists = body.lists.clone().unwrap_or(shop.lists);
        let counters =
            body.counters.iter().map(|(name, text)| (name.clone(), version_of(&(&body.types, name, text)))).collect();
        let rule = Self { meta, body, amounts, lists, counters };
        rule.check_names(file)?;
        Ok(rule)
    }

    /// Refuses what names something that no event has.
    fn check_names(&self, file: &RuleFile<'_>) -> Result<(), DefinitionError> {
        let names = |fixed: &[&str]| -> BTreeSet<String> {
            let dimensions = Dimension::ALL.map(Dimension::name);
            let fixed = fixed.iter().chain(&dimensions).map(|name| (*name).to_owned());
            fixed.chain(self.amounts.keys().cloned()).chain(self.body.counters.keys().cloned()).collect()
        };
        let (mut variables, facts) = (names(&VARIABLES), names(&FACTS));
        variables.extend(self.lists.keys().cloned());
        for signal in &self.body.signals {
            file.check_names(&signal.name, signal.when.variables().iter().map(String::as_str), &variables)?;
        }
        file.check_names("title:", self.meta.title.names(), &facts)?;
        file.check_names("summary:", self.meta.summary.names(), &facts)
    }

    /// Whether a signal's condition names it.
    pub(crate) fn uses(&self, variable: &str) -> bool {
        self.body.signals.iter().any(|signal| signal.when.variables().contains(variable))
    }
}

/// Words of CEL, which name nothing in a condition.
const RESERVED: [&str; 5] = ["as", "false", "in", "null", "true"];

/// A condition must be able to name it, and an alert to show it.
fn check_own_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let begins_right = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if begins_right && name.len() <= 64 && name.bytes().all(plain) && !RESERVED.contains(&name) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!("{shown:?} is not a name: 1 to 64 of a-z, 0-9 and _, not beginning with a digit, and no word of CEL"))
}

impl EventRuleBody {
    /// A rule's own amounts and lists must not hide anything else.
    fn check_own_names(&self, file: &RuleFile<'_>) -> Result<(), DefinitionError> {
        let counters = self.counters.keys().map(String::as_str);
        let mut taken: BTreeSet<&str> =
            VARIABLES.into_iter().chain(FACTS).chain(Dimension::ALL.map(Dimension::name)).chain(counters).collect();
        let amounts = self.amounts.iter().flatten().map(|(name, _)| ("amounts:", name));
        let lists = self.lists.iter().flatten().map(|(name, _)| ("lists:", name));
        for (place, name) in amounts.chain(lists) {
            check_own_name(name).map_err(|why| file.wrong(place, why))?;
            if !taken.insert(name) {
                return Err(file.wrong(place, format!("`{name}` is the name of something else")));
            }
        }
        Ok(())
    }
}
