//! Files of records.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use tidemill_definitions::DefinitionError;
use tidemill_domain::{Currency, Timestamp};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{Record, RecordFields, RecordKind};
use crate::error::Error;

/// A reference file, read.
#[derive(Debug)]
pub(crate) struct ReferenceFile {
    pub(crate) path: String,
    /// Tells whether its content is new.
    pub(crate) digest: String,
    pub(crate) records: Vec<Record>,
    /// The line of each record, where it is known.
    pub(crate) lines: Vec<Option<usize>>,
}

impl ReferenceFile {
    /// A hash of each record's name, in the order of the hashes.
    pub(crate) fn names(&self) -> Vec<u64> {
        let name = |record: &Record| record_name(record.kind, &record.id, record.valid_from);
        let mut names: Vec<u64> = self.records.iter().map(name).collect();
        names.sort_unstable();
        names
    }
}

/// A hash of what tells a record of a file from the others.
pub(crate) fn record_name(kind: RecordKind, id: &str, valid_from: Option<Timestamp>) -> u64 {
    let from = valid_from.map_or_else(String::new, |from| from.millis().to_string());
    // No id has control characters.
    xxh3_64(format!("{kind}\0{id}\0{from}").as_bytes())
}

/// A record, and its line.
type PlacedRecord = (Option<usize>, Record);

/// Reads all files. An id that stands in several places is refused unless each
/// place has its own `valid_from`: nobody could say which one holds.
pub(crate) fn read_files(paths: &[PathBuf], base: Currency) -> Result<Vec<ReferenceFile>, Error> {
    let files = paths.iter().map(|path| read_file(path, base)).collect::<Result<Vec<_>, _>>()?;
    let mut times: HashMap<(RecordKind, &str), HashSet<Option<Timestamp>>> = HashMap::new();
    for file in &files {
        for record in &file.records {
            let times = times.entry((record.kind, &record.id)).or_default();
            if !times.insert(record.valid_from) || (times.len() > 1 && times.contains(&None)) {
                let reason = format!(
                    "the {} {:?} is there more than once, not each with its own valid_from",
                    record.kind, record.id
                );
                return Err(DefinitionError::new(&file.path, line_of_id(&file.path, &record.id), reason).into());
            }
        }
    }
    Ok(files)
}

/// What is wrong with a file: on which line, where that is known, and why.
type Wrong = (Option<usize>, String);

fn read_file(path: &Path, base: Currency) -> Result<ReferenceFile, Error> {
    let file = path.display().to_string();
    let wrong = |(line, reason): Wrong| Error::from(DefinitionError::new(&file, line, reason));
    let text = std::fs::read_to_string(path).map_err(|e| wrong((None, e.to_string())))?;
    let digest = format!("{:032x}", xxh3_128(text.as_bytes()));
    let records = match path.extension().and_then(|e| e.to_str()) {
        Some("yaml" | "yml") => read_yaml(&text, base),
        Some("csv") => read_csv(path, &text, base),
        _ => Err((None, "must be a .yaml or .csv file".into())),
    };
    let (lines, records) = records.map_err(wrong)?.into_iter().unzip();
    Ok(ReferenceFile { path: file, digest, records, lines })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    #[serde(default)]
    products: Vec<RecordFields>,
    #[serde(default)]
    customers: Vec<RecordFields>,
    #[serde(default)]
    countries: Vec<RecordFields>,
    #[serde(default)]
    rates: Vec<RecordFields>,
}

fn read_yaml(text: &str, base: Currency) -> Result<Vec<PlacedRecord>, Wrong> {
    let sections: Sections =
        yaml_serde::from_str(text).map_err(|e| (e.location().map(|at| at.line()), e.to_string()))?;
    let sections = [
        (RecordKind::Product, sections.products),
        (RecordKind::Customer, sections.customers),
        (RecordKind::Country, sections.countries),
        (RecordKind::Rate, sections.rates),
    ];
    let mut all = Vec::new();
    for (kind, records) in sections {
        let mut lines = lines_of_records(text, kind).into_iter();
        for (place, fields) in (1..).zip(records) {
            let line = lines.next();
            let record = Record::read(kind, None, fields).and_then(|record| record.of_another_currency_than(base));
            all.push((line, record.map_err(|e| (line, format!("{} {place}: {e}", kind.plural())))?));
        }
    }
    Ok(all)
}

/// The lines on which the records of a section begin, where each begins a line.
fn lines_of_records(text: &str, kind: RecordKind) -> Vec<usize> {
    let section = format!("{}:", kind.plural());
    let mut lines = (1..).zip(text.lines()).skip_while(|(_, line)| !line.starts_with(&section)).skip(1).peekable();
    let indented = |line: &str| line.trim_start().starts_with('-').then(|| line.len() - line.trim_start().len());
    let Some((first, depth)) = lines.find_map(|(number, line)| Some((number, indented(line)?))) else {
        return Vec::new();
    };
    let further = lines.filter(|(_, line)| indented(line) == Some(depth)).map(|(number, _)| number);
    std::iter::once(first).chain(further).collect()
}

/// The last line of a file that has an id as a word of its own.
fn line_of_id(file: &str, id: &str) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let has = |line: &str| line.split([' ', ',', '\t', '"', '\'', '{', '}', ':']).any(|word| word == id);
    (1..).zip(text.lines()).filter(|(_, line)| has(line)).last().map(|(number, _)| number)
}

fn read_csv(path: &Path, text: &str, base: Currency) -> Result<Vec<PlacedRecord>, Wrong> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let kind = RecordKind::ALL
        .into_iter()
        .find(|kind| stem.starts_with(kind.plural()))
        .ok_or((None, "a .csv file's name must begin with products, customers, countries or rates".to_owned()))?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let broken = |e: csv::Error| (e.position().and_then(|at| usize::try_from(at.line()).ok()), e.to_string());
    let names = reader.headers().map_err(broken)?.clone();
    let row = |row: Result<csv::StringRecord, csv::Error>| {
        let row = row.map_err(broken)?;
        let line = row.position().and_then(|at| usize::try_from(at.line()).ok());
        // An empty cell says nothing.
        let cells = names.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
        let fields = cells.map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect();
        let record = Record::read(kind, None, fields).and_then(|record| record.of_another_currency_than(base));
        Ok((line, record.map_err(|e| (line, e.to_string()))?))
    };
    reader.records().map(row).collect()
}
