//! What is counted of a file, and of several.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;

/// The counts of files, by their paths in the table. A folder has counts of its own,
/// under a name that tells which files were in it.
pub type KnownCounts = BTreeMap<String, FileCounts>;

/// What is counted of a file, or of all files of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCounts {
    /// By name: numbers of rows, and sums of their scores.
    pub sums: BTreeMap<String, f64>,
    /// Rows that break a rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleCount>,
    /// When ingestion took the newest event in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// The same of events that the suite does not tell itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_sent: Option<Timestamp>,
}

/// Rows that break a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleCount {
    /// The rule.
    pub rule: String,
    /// Its contract, where rows tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// What becomes of such rows: `warn` or `quarantine`.
    pub severity: String,
    /// How many there are.
    pub failed: u64,
}

impl FileCounts {
    /// Adds those of another file.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.sums {
            *self.sums.entry(name.clone()).or_default() += count;
        }
        for counted in &other.rules {
            let same = |known: &&mut RuleCount| {
                (&known.rule, &known.contract, &known.severity) == (&counted.rule, &counted.contract, &counted.severity)
            };
            match self.rules.iter_mut().find(same) {
                Some(known) => known.failed += counted.failed,
                None => self.rules.push(counted.clone()),
            }
        }
        self.newest = self.newest.max(other.newest);
        self.newest_sent = self.newest_sent.max(other.newest_sent);
    }

    /// A count, 0 where nothing was counted under the name.
    pub fn sum(&self, name: &str) -> f64 {
        self.sums.get(name).copied().unwrap_or_default()
    }
}
