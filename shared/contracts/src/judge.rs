//! All rules of `silver.events` at once.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::{
    check::{CheckOutcome, RuleCheck},
    contract::{ContractSet, DataContract},
    event::JudgedEvent,
    rule::{Rule, RuleSeverity},
};

/// Some of the rules of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleSet(u64);

/// What the rules make of an event.
#[derive(Debug, Clone, Copy)]
pub enum Verdict<'r> {
    /// It is a row of silver, though these rules do not hold.
    Passes(RuleSet),
    /// It goes to the quarantine by this rule.
    Quarantined(&'r Rule),
    /// Its partition stops at it, by this rule.
    Stops(&'r Rule),
}

/// The rules of `silver.events`.
#[derive(Debug, Clone)]
pub struct EventJudge {
    contract: DataContract,
}

impl EventJudge {
    /// The rules of its contract; none, where there is none.
    pub fn of(contracts: &ContractSet) -> Option<Self> {
        contracts.of_table("silver/events").cloned().map(|contract| Self { contract })
    }

    /// The contract.
    pub const fn contract(&self) -> &DataContract {
        &self.contract
    }

    /// Whether a rule looks into the data of events of this type.
    pub fn needs_data(&self, kind: &str) -> bool {
        self.contract.rules.iter().any(|rule| rule.check().needs_data() && rule.is_about(kind))
    }

    /// Holds all rules against an event. The most severe counts, and of those the first.
    pub fn judge(&self, judged: &JudgedEvent<'_, '_>) -> Verdict<'_> {
        let (mut warned, mut worst) = (0, None::<&Rule>);
        for (place, rule) in self.contract.rules.iter().enumerate() {
            if rule.ask(judged) != CheckOutcome::Fails {
                continue;
            }
            match rule.severity() {
                RuleSeverity::Warn => warned |= 1 << place,
                severity if worst.is_none_or(|worst| worst.severity() < severity) => worst = Some(rule),
                RuleSeverity::Quarantine | RuleSeverity::Fail => {}
            }
        }
        match worst {
            None => Verdict::Passes(RuleSet(warned)),
            Some(rule) if rule.severity() == RuleSeverity::Fail => Verdict::Stops(rule),
            Some(rule) => Verdict::Quarantined(rule),
        }
    }

    /// What follows from a line that cannot be read: it is never a row of silver. `None`
    /// where no rule asks whether it can.
    pub fn unreadable(&self) -> Option<Verdict<'_>> {
        let rule = self.contract.rules.iter().find(|rule| matches!(rule.check(), RuleCheck::Readable))?;
        match rule.severity() {
            RuleSeverity::Warn => None,
            RuleSeverity::Quarantine => Some(Verdict::Quarantined(rule)),
            RuleSeverity::Fail => Some(Verdict::Stops(rule)),
        }
    }

    /// The rules of a set.
    pub fn rules(&self, set: RuleSet) -> impl Iterator<Item = &Rule> {
        self.contract.rules.iter().enumerate().filter(move |(place, _)| set.0 & (1 << place) != 0).map(|(_, rule)| rule)
    }

    /// The names of a set's rules, separated by commas; `None` of an empty one.
    pub fn names(&self, set: RuleSet) -> Option<Cow<'_, str>> {
        joined(self.rules(set).map(Rule::name))
    }
}

/// Names, separated by commas; `None` of none. Where there is one, nothing is copied.
pub(crate) fn joined<'n>(mut names: impl Iterator<Item = &'n str>) -> Option<Cow<'n, str>> {
    let first = names.next()?;
    let Some(second) = names.next() else { return Some(first.into()) };
    Some([first, second].into_iter().chain(names).collect::<Vec<_>>().join(",").into())
}
