//! Contracts, read.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use tidemill_definitions::{from_yaml, read_folder};

use crate::{
    error::ContractError,
    odcs::{WrittenContract, WrittenRule, WrittenTable},
    rule::{Rule, RuleSeverity},
    shipped::SHIPPED,
    sql_check::SqlCheck,
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
    /// The rules that the lake asks of each row.
    pub rules: Vec<Rule>,
    /// The questions that it asks of its tables.
    pub checks: Vec<SqlCheck>,
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
        let TableRules { rules, checks } =
            rules(&table, &path).map_err(|(place, reason)| ContractError::at(file, text, &place, reason))?;
        let column = |column: crate::odcs::WrittenColumn| ContractColumn {
            name: column.name,
            kind: column.physical_type.unwrap_or_default(),
            required: column.required,
        };
        let columns = table.properties.into_iter().map(column).collect();
        Ok(Self { id, version, table: path, columns, rules, checks })
    }
}

/// The place that is wrong, and why.
type RuleFault = (String, String);

/// The rules of a table, as far as the lake asks them.
#[derive(Default)]
struct TableRules {
    rules: Vec<Rule>,
    checks: Vec<SqlCheck>,
}

fn rules(table: &WrittenTable, path: &str) -> Result<TableRules, RuleFault> {
    let mut all = TableRules::default();
    let mut names = BTreeSet::new();
    let of_columns = table.properties.iter().flat_map(|column| &column.quality);
    for written in table.quality.iter().chain(of_columns) {
        let name = if written.is_sql() {
            let name = name(written)?;
            let check = written.sql_check(name.clone()).map_err(|reason| fault(&name, &reason))?;
            all.checks.push(check);
            name
        } else if written.engine.as_deref().is_some_and(|engine| ENGINES.contains(&engine)) {
            let name = name(written)?;
            all.rules.push(rule(written, name.clone(), path).map_err(|reason| fault(&name, &reason))?);
            name
        } else {
            continue;
        };
        if !names.insert(name.clone()) {
            return Err((format!("name: {name}"), format!("the rule `{name}` is there twice")));
        }
    }
    match all.rules.len() > MOST_RULES || all.checks.len() > MOST_RULES {
        true => Err(("quality:".into(), format!("a contract has at most {MOST_RULES} rules"))),
        false => Ok(all),
    }
}

fn fault(name: &str, reason: &str) -> RuleFault {
    (format!("name: {name}"), format!("rule `{name}`: {reason}"))
}

fn name(written: &WrittenRule) -> Result<String, RuleFault> {
    written.name.clone().filter(|name| is_name(name)).ok_or_else(|| {
        let reason = format!("a rule has a name of 1 to {MOST_NAME_BYTES} letters of ASCII, digits, `_`, `-` and `.`");
        let place = if written.is_sql() { "type: sql" } else { "engine:" };
        (place.into(), reason)
    })
}

fn rule(written: &WrittenRule, name: String, path: &str) -> Result<Rule, String> {
    let WrittenRule { severity, implementation, .. } = written;
    if path != JUDGED {
        return Err("the lake asks the rows of silver.events alone; for other tables write a rule of type sql".into());
    }
    let severity: RuleSeverity = match severity {
        Some(severity) => severity.parse()?,
        None => return Err("`severity` is missing: warn, quarantine or fail".into()),
    };
    let implementation = implementation.clone().ok_or("`implementation` is missing")?;
    let mut written: WrittenCheck = yaml_serde::from_value(implementation).map_err(|error| error.to_string())?;
    let check = written.check()?;
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
