//! A rule's file while it is read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use tidemill_definitions::{DefinitionError, from_yaml, version_of};

use super::meta::RuleMeta;

/// Its name and its text.
pub(super) struct RuleFile<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl RuleFile<'_> {
    /// What every rule has, and the rest. A key that belongs to neither is an
    /// error: serde refuses unknown keys of one type, not of two.
    pub(super) fn read<T: DeserializeOwned + Serialize>(&self) -> Result<(RuleMeta, T), DefinitionError> {
        let mut meta: RuleMeta = from_yaml(self.file, self.text)?;
        let body: T = from_yaml(self.file, self.text)?;
        let keys: BTreeMap<String, IgnoredAny> = from_yaml(self.file, self.text)?;
        let known = [serde_json::to_value(&meta), serde_json::to_value(&body)];
        let is_known = |key: &str| known.iter().flatten().any(|part| part.get(key).is_some());
        if let Some(key) = keys.keys().find(|key| !is_known(key)) {
            return Err(self.wrong(key, format!("unknown key `{key}`")));
        }
        meta.version = version_of(&(&meta, &body));
        Ok((meta, body))
    }

    /// An error at the first line that holds `place`.
    pub(super) fn wrong(&self, place: &str, reason: impl Into<String>) -> DefinitionError {
        DefinitionError::at(self.file, self.text, place, reason)
    }

    /// Refuses a condition or template that needs an unknown name.
    pub(super) fn check_names<'n>(
        &self,
        place: &str,
        mut needed: impl Iterator<Item = &'n str>,
        known: &BTreeSet<String>,
    ) -> Result<(), DefinitionError> {
        match needed.find(|name| !known.contains(*name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Err(self.wrong(place, format!("`{name}` is not known here; known are {}", known.join(", "))))
            }
        }
    }
}
