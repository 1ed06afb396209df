//! Settings from the environment, and from the files that it names.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
};

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{ConfigError, Secrets};

/// The prefix of environment variables: `TIDEMILL_<SECTION>__<KEY>`.
const ENV_PREFIX: &str = "TIDEMILL_";
/// Between section and key.
const SEPARATOR: &str = "__";
/// Ends the name of a variable that names a file.
const FILE_SUFFIX: &str = "_file";
/// Bytes that such a file may have: a list of keys has a few thousand.
const MAX_FILE: u64 = 1 << 20;

/// One setting, as one variable gives it.
pub(super) struct Variable {
    name: String,
    path: Vec<String>,
    value: Value,
}

/// The settings among `variables`. A value is read as TOML would read it, with
/// two exceptions. A secret is never a number or the like. A secret in a file
/// is a text, whatever it looks like.
pub(super) fn variables(
    variables: impl IntoIterator<Item = (String, String)>,
    secrets: &Secrets,
) -> Result<Vec<Variable>, ConfigError> {
    let mut found: BTreeMap<Vec<String>, Variable> = BTreeMap::new();
    for (name, given) in variables {
        let Some(mut path) = path_of(&name) else { continue };
        let file = path.last_mut().filter(|key| key.len() > FILE_SUFFIX.len() && key.ends_with(FILE_SUFFIX));
        let value = match file {
            Some(key) => {
                key.truncate(key.len() - FILE_SUFFIX.len());
                let text = content(&given).map_err(|error| ConfigError::file(&name, &error))?;
                if secrets.contains(&path) { text.into() } else { parsed(&text) }
            }
            None => match parsed(&given) {
                // A text in quotes of its own, or a list of texts.
                value @ (Value::String(..) | Value::Array(..)) => value,
                _ if secrets.contains(&path) => given.into(),
                value => value,
            },
        };
        if let Some(other) = found.insert(path.clone(), Variable { name: name.clone(), path, value }) {
            return Err(ConfigError::twice(&name, &other.name));
        }
    }
    Ok(found.into_values().collect())
}

/// Only variables with a section are settings; `TIDEMILL_CONFIG` is not.
fn path_of(name: &str) -> Option<Vec<String>> {
    let (prefix, rest) = name.split_at_checked(ENV_PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(ENV_PREFIX) || !rest.contains(SEPARATOR) {
        return None;
    }
    let path: Vec<String> = rest.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
    (!path.iter().any(String::is_empty)).then_some(path)
}

/// The value as TOML reads it. Anything else is a text, so this cannot fail.
fn parsed(text: &str) -> Value {
    text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
}

/// What a file holds, without the end of its last line.
fn content(file: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is larger than a MiB"));
    }
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.name))
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let nested =
            self.path.iter().rev().fold(self.value.clone(), |value, key| Dict::from([(key.clone(), value)]).into());
        Ok(Map::from([(Profile::Default, nested.into_dict().unwrap_or_default())]))
    }
}
