//! Countries: codes, the many ways to write their names, and sales regions.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use crate::error::Error;

/// The table that ships with the service.
const BUILT_IN: &str = include_str!("../reference/countries.yaml");
/// No country's name is longer, in bytes.
const LONGEST_NAME: usize = 100;

/// A country code of ISO 3166-1 alpha-2's form: two capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Country([u8; 2]);

impl Country {
    /// The code in `text`, in whichever case.
    pub(crate) fn from_code(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_alphabetic).then(|| Self(code.map(|b| b.to_ascii_uppercase())))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The countries that are known, by code and by name.
pub(crate) struct Countries {
    names: HashMap<String, Country>,
    regions: HashMap<Country, Arc<str>>,
}

impl Countries {
    pub(crate) fn built_in() -> Result<Self, Error> {
        Self::parse("countries.yaml", BUILT_IN)
    }

    /// Reads `region: { code: [name, other name, …] }`.
    pub(crate) fn parse(file: &str, yaml: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Definition { file: file.into(), reason };
        let table: BTreeMap<String, BTreeMap<String, Vec<String>>> =
            yaml_serde::from_str(yaml).map_err(|e| wrong(e.to_string()))?;
        let mut countries = Self { names: HashMap::new(), regions: HashMap::new() };
        for (region, members) in table {
            let region: Arc<str> = region.into();
            for (code, names) in members {
                let country = Country::from_code(&code).ok_or_else(|| wrong(format!("{code:?} is no country code")))?;
                if countries.regions.insert(country, region.clone()).is_some() {
                    return Err(wrong(format!("{code} stands in two regions")));
                }
                for name in names {
                    let other = countries.names.insert(name.to_lowercase(), country);
                    if other.is_some_and(|other| other != country) {
                        return Err(wrong(format!("{name:?} names two countries")));
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
        Country::from_code(text)
            .filter(|country| self.regions.contains_key(country))
            .or_else(|| self.names.get(&text.to_lowercase()).copied())
    }

    /// The sales region of a country.
    pub(crate) fn region(&self, country: Country) -> Option<&str> {
        self.regions.get(&country).map(|region| &**region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<String> {
        Some(Countries::built_in().expect("parses").find(text)?.as_str().to_owned())
    }

    #[test]
    fn the_built_in_table_is_all_of_iso_3166() {
        let countries = Countries::built_in().expect("parses");
        assert_eq!(countries.regions.len(), 250, "249 of ISO 3166-1 and Kosovo");
        let mut regions: Vec<&str> = countries.regions.values().map(|r| &**r).collect();
        regions.sort_unstable();
        regions.dedup();
        assert_eq!(regions, ["Asia Pacific", "Europe", "Latin America", "Middle East & Africa", "North America"]);
    }

    #[test]
    fn a_shops_spellings_are_understood() {
        for (text, expected) in [
            ("United Kingdom", "GB"),
            ("uk", "GB"),
            ("EIRE", "IE"),
            ("RSA", "ZA"),
            ("USA", "US"),
            (" de ", "DE"),
            ("Norway", "NO"),
            ("NO", "NO"),
            ("ÖSTERREICH", "AT"),
            ("Hong Kong", "HK"),
            ("Czech Republic", "CZ"),
        ] {
            assert_eq!(code(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["Channel Islands", "European Community", "Unspecified", "", "ZZ", &"x".repeat(1000)] {
            assert_eq!(code(text), None, "{text}");
        }
    }

    #[test]
    fn every_country_of_the_real_data_has_a_region_or_is_none() {
        let truth = crate::testing::data("online-retail/truth/per_country.csv");
        let Some(truth) = truth else {
            return tidemill_testkit::skipped("country names of the real data", "the data set is absent");
        };
        let countries = Countries::built_in().expect("parses");
        let mut reader = csv::Reader::from_path(truth).expect("opens");
        let unknown: Vec<String> = reader
            .records()
            .map(|record| record.expect("reads")[0].to_owned())
            .filter(|name| countries.find(name).and_then(|country| countries.region(country)).is_none())
            .collect();
        assert_eq!(unknown, ["Channel Islands", "European Community", "Unspecified"]);
    }

    #[test]
    fn a_wrong_table_is_refused_with_its_reason() {
        for (yaml, reason) in [
            ("Europe: {DEU: [Germany]}", "no country code"),
            ("Europe: {DE: []}\nAsia: {DE: []}", "two regions"),
            ("Europe: {DE: [Land], AT: [Land]}", "two countries"),
            ("Europe: [DE]", "line 1"),
        ] {
            let error = Countries::parse("mine.yaml", yaml).err().expect(yaml).to_string();
            assert!(error.contains("mine.yaml") && error.contains(reason), "{error}");
        }
    }
}
