//! Contracts, read.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path};

use tidemill_definitions::{from_yaml, read_folder};

use crate::{
    error::ContractError,
    odcs::{WrittenContract, WrittenRule, WrittenTable},
    rule::{Rule, RuleSeverity},
    shipped::SHIPPED,
    written::WrittenCheck,
};

/// Versions of the standard that are read.
const VERSIONS: &str = "v3.";
/// The engines whose rules the lake asks by itself.
const ENGINES: [&str; 2] = ["tidemill", "cel"];
/// The table whose rows it asks.
const JUDGED: &str = "silver/events";
/// Rules of a contract that the lake asks at most: each event is asked all of them.
pub(crate) const MOST_RULES: usize = 64;
const MOST_NAME_BYTES: usize = 64;

/// What a table has, and what is asked of its rows.
#[derive(Debug, Clone)]
pub struct DataContract {
    /// Its id, the same in all versions.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The table, as `silver/events`.
    pub table: String,
    /// The columns.
    pub columns: Vec<ContractColumn>,
    /// The rules that the lake asks.
    pub rules: Vec<Rule>,
}

/// A column as its contract has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractColumn {
    /// Its name.
    pub name: String,
    /// Its type, as Delta calls it.
    pub kind: String,
    /// Whether it is never null.
    pub required: bool,
}

impl DataContract {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no contract, or a rule of it cannot be asked; the error says where.
    pub fn parse(file: &str, text: &str) -> Result<Self, ContractError> {
        let WrittenContract { api_version, kind, id, version, status, schema } = from_yaml(file, text)?;
        let wrong = |place: &str, reason: String| Err(ContractError::at(file, text, place, reason));
        if kind != "DataContract" {
            return wrong("kind:", format!("it is a {kind}, and no DataContract"));
        }
        if !api_version.starts_with(VERSIONS) {
            return wrong("apiVersion:", format!("version {api_version} of the standard is not known; write v3.0.2"));
        }
        if let Some((key, _)) =
            [("id", &id), ("version", &version), ("status", &status)].iter().find(|(_, value)| value.is_empty())
        {
            return wrong(&format!("{key}:"), format!("`{key}` is empty"));
        }
        let Ok([table]) = <[WrittenTable; 1]>::try_from(schema) else {
            return wrong("schema:", "a contract is about one table".into());
        };
        let path = table.physical_name.clone().unwrap_or_else(|| table.name.clone());
        if path.split('/').count() != 2 {
            return wrong("physicalName:", format!("`{path}` is no table; write for instance silver/events"));
        }
        let rules = rules(&table, &path).map_err(|(place, reason)| ContractError::at(file, text, &place, reason))?;
        let column = |column: crate::odcs::WrittenColumn| ContractColumn {
            name: column.name,
            kind: column.physical_type.unwrap_or_default(),
            required: column.required,
        };
        let columns = table.properties.into_iter().map(column).collect();
        Ok(Self { id, version, table: path, columns, rules })
    }
}

/// The place that is wrong, and why.
type RuleFault = (String, String);

fn rules(table: &WrittenTable, path: &str) -> Result<Vec<Rule>, RuleFault> {
    let of_columns = table.properties.iter().flat_map(|column| &column.quality);
    let ours = |rule: &&WrittenRule| rule.engine.as_deref().is_some_and(|engine| ENGINES.contains(&engine));
    let mut rules: Vec<Rule> = Vec::new();
    for written in table.quality.iter().chain(of_columns).filter(ours) {
        let rule = rule(written, path)?;
        if rules.iter().any(|known| known.name() == rule.name()) {
            return Err((format!("name: {}", rule.name()), format!("the rule `{}` is there twice", rule.name())));
        }
        rules.push(rule);
    }
    match rules.len() > MOST_RULES {
        true => Err(("quality:".into(), format!("a contract has at most {MOST_RULES} rules"))),
        false => Ok(rules),
    }
}

fn rule(written: &WrittenRule, path: &str) -> Result<Rule, RuleFault> {
    let WrittenRule { name, severity, implementation, engine: _ } = written;
    let Some(name) = name.clone().filter(|name| is_name(name)) else {
        let reason = format!("a rule has a name of 1 to {MOST_NAME_BYTES} letters of ASCII, digits, `_`, `-` and `.`");
        return Err(("engine:".into(), reason));
    };
    let place = format!("name: {name}");
    let wrong = |reason: String| (place.clone(), format!("rule `{name}`: {reason}"));
    if path != JUDGED {
        return Err(wrong(
            "the lake asks the rows of silver.events alone; for other tables write a rule of type sql".into(),
        ));
    }
    let severity: RuleSeverity = match severity {
        Some(severity) => severity.parse().map_err(wrong)?,
        None => return Err(wrong("`severity` is missing: warn, quarantine or fail".into())),
    };
    let Some(implementation) = implementation.clone() else { return Err(wrong("`implementation` is missing".into())) };
    let implementation = yaml_serde::from_value::<WrittenCheck>(implementation);
    let mut written = implementation.map_err(|error| wrong(error.to_string()))?;
    let check = written.check().map_err(wrong)?;
    Ok(Rule::new(name, severity, written.types, check, written.pointer))
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= MOST_NAME_BYTES && name.bytes().all(is_plain)
}

/// A contract for each table.
#[derive(Debug, Clone)]
pub struct ContractSet(BTreeMap<String, DataContract>);

impl ContractSet {
    /// Those that come with the lake; one of the folder goes before the one that comes with
    /// the lake for its table.
    ///
    /// # Errors
    /// A file cannot be read, is no contract, or two are about one table.
    pub fn load(folder: Option<&Path>) -> Result<Self, ContractError> {
        let mut contracts = Self::of(SHIPPED.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())))?;
        if let Some(folder) = folder {
            contracts.0.extend(Self::of(read_folder(folder)?)?.0);
        }
        Ok(contracts)
    }

    fn of(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, ContractError> {
        let mut contracts = BTreeMap::new();
        for (file, text) in files {
            let contract = DataContract::parse(&file, &text)?;
            let table = contract.table.clone();
            if contracts.insert(table.clone(), contract).is_some() {
                return Err(ContractError::at(&file, &text, "physicalName:", format!("another file is about {table}")));
            }
        }
        Ok(Self(contracts))
    }

    /// The contract of a table, as `silver/events`.
    pub fn of_table(&self, path: &str) -> Option<&DataContract> {
        self.0.get(path)
    }

    /// All of them, in the order of their tables.
    pub fn iter(&self) -> impl Iterator<Item = &DataContract> {
        self.0.values()
    }
}
