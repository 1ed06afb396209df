//! The countries that are known: the many ways to write their names, and sales regions.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use foldhash::fast::RandomState;
use tidemill_definitions::DefinitionError;

use super::country::Country;
use crate::error::Error;

/// The table that ships with the service.
const BUILT_IN: &str = include_str!("../../reference/countries.yaml");
/// No country's name is longer, in bytes.
const LONGEST_NAME: usize = 100;

/// The countries that are known, by code and by name.
pub(crate) struct Countries {
    /// In lower case.
    names: HashMap<String, Country, RandomState>,
    regions: HashMap<Country, Arc<str>, RandomState>,
}

impl Countries {
    /// Reads a file, or the table that is built in.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Error> {
        let Some(file) = file else { return Self::built_in() };
        let name = file.display().to_string();
        let yaml = tidemill_definitions::read_text(file).map_err(|e| Error::definition(&name, e.to_string()))?;
        Self::parse(&name, &yaml)
    }

    pub(crate) fn built_in() -> Result<Self, Error> {
        Self::parse("countries.yaml", BUILT_IN)
    }

    /// Reads `region: { code: [name, other name, …] }`.
    fn parse(file: &str, yaml: &str) -> Result<Self, Error> {
        let wrong = |place: &str, reason: String| Error::from(DefinitionError::at(file, yaml, place, reason));
        let table: BTreeMap<String, BTreeMap<String, Vec<String>>> = yaml_serde::from_str(yaml).map_err(|e| {
            let line = e.location().map(|at| at.line());
            Error::from(DefinitionError::new(file, line, e.to_string()))
        })?;
        let mut countries = Self { names: HashMap::default(), regions: HashMap::default() };
        for (region, members) in table {
            let region: Arc<str> = region.into();
            for (code, names) in members {
                let country =
                    Country::from_code(&code).ok_or_else(|| wrong(&code, format!("{code:?} is no country code")))?;
                if countries.regions.insert(country, region.clone()).is_some() {
                    return Err(wrong(&code, format!("{code} stands in two regions")));
                }
                for name in names {
                    let other = countries.names.insert(name.to_lowercase(), country);
                    if other.is_some_and(|other| other != country) {
                        return Err(wrong(&name, format!("{name:?} names two countries")));
                    }
                }
            }
        }
        Ok(countries)
    }

    /// The country that a code or a name means, if any.
    pub(crate) fn find(&self, text: &str) -> Option<Country> {
        let text = text.trim();
        if text.len() > LONGEST_NAME {
            return None;
        }
        Country::from_code(text).filter(|country| self.regions.contains_key(country)).or_else(|| self.named(text))
    }

    fn named(&self, text: &str) -> Option<Country> {
        // Most names are of ASCII, and short: they need no memory of their own.
        let mut lower = [0; LONGEST_NAME];
        let lower = lower.get_mut(..text.len()).filter(|_| text.is_ascii());
        let name = lower.and_then(|lower| {
            lower.copy_from_slice(text.as_bytes());
            lower.make_ascii_lowercase();
            str::from_utf8(lower).ok().map(|name| self.names.get(name).copied())
        });
        name.unwrap_or_else(|| self.names.get(&text.to_lowercase()).copied())
    }

    /// The sales region of a country.
    pub(crate) fn region(&self, country: Country) -> Option<&str> {
        self.regions.get(&country).map(|region| &**region)
    }
}
