//! A rule of a contract.

use std::{fmt, str::FromStr};

use crate::{
    check::{CheckOutcome, RuleCheck},
    event::JudgedEvent,
};

/// What follows where a rule does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleSeverity {
    /// The row is kept, and says so.
    Warn,
    /// The event goes to `silver.quarantine`.
    Quarantine,
    /// Its partition waits until the contract or the event's sender is put right.
    Fail,
}

impl RuleSeverity {
    /// As contracts write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Quarantine => "quarantine",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for RuleSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RuleSeverity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Warn, Self::Quarantine, Self::Fail];
        let found = all.into_iter().find(|severity| severity.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is none of warn, quarantine and fail"))
    }
}

/// What is asked of each event of some types, and what follows from the answer.
#[derive(Debug, Clone)]
pub struct Rule {
    name: String,
    severity: RuleSeverity,
    /// The types that it is about; all, where there are none.
    types: Vec<String>,
    check: RuleCheck,
    pointer: Option<String>,
}

impl Rule {
    /// `pointer` says where the wrong thing is; without it that follows from the check.
    pub(crate) fn new(
        name: String,
        severity: RuleSeverity,
        types: Vec<String>,
        check: RuleCheck,
        pointer: Option<String>,
    ) -> Self {
        let pointer = pointer.or_else(|| check.pointer());
        Self { name, severity, types, check, pointer }
    }

    /// Its name, which is unique in its contract.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What follows where it does not hold.
    pub const fn severity(&self) -> RuleSeverity {
        self.severity
    }

    /// JSON Pointer to what is wrong in the event, where that is known.
    pub fn pointer(&self) -> Option<&str> {
        self.pointer.as_deref()
    }

    pub(crate) const fn check(&self) -> &RuleCheck {
        &self.check
    }

    /// Whether it is about events of this type.
    pub(crate) fn is_about(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|of| of == kind)
    }

    /// What it says of an event.
    pub(crate) fn ask(&self, judged: &JudgedEvent<'_, '_>) -> CheckOutcome {
        match self.is_about(&judged.event().kind) {
            true => self.check.ask(judged),
            false => CheckOutcome::DoesNotApply,
        }
    }
}
