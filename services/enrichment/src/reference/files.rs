//! Files of records.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use tidemill_domain::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

use super::{Record, RecordFields, RecordKind};
use crate::error::Error;

/// A reference file, read.
#[derive(Debug)]
pub(crate) struct ReferenceFile {
    pub(crate) path: String,
    /// Tells whether its content is new.
    pub(crate) digest: String,
    pub(crate) records: Vec<Record>,
}

/// Reads all files. An id that stands in several places is refused unless each
/// place has its own `valid_from`: nobody could say which one holds.
pub(crate) fn read_files(paths: &[PathBuf]) -> Result<Vec<ReferenceFile>, Error> {
    let files = paths.iter().map(|path| read_file(path)).collect::<Result<Vec<_>, _>>()?;
    let mut times: HashMap<(RecordKind, &str), HashSet<Option<Timestamp>>> = HashMap::new();
    for file in &files {
        for record in &file.records {
            let times = times.entry((record.kind, &record.id)).or_default();
            if !times.insert(record.valid_from) || (times.len() > 1 && times.contains(&None)) {
                let reason = format!(
                    "the {} {:?} is there more than once, not each with its own valid_from",
                    record.kind, record.id
                );
                return Err(Error::definition(&file.path, reason));
            }
        }
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<ReferenceFile, Error> {
    let file = path.display().to_string();
    let wrong = |reason: String| Error::definition(&file, reason);
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let digest = format!("{:032x}", xxh3_128(text.as_bytes()));
    let records = match path.extension().and_then(|e| e.to_str()) {
        Some("yaml" | "yml") => read_yaml(&text),
        Some("csv") => read_csv(path, &text),
        _ => Err("must be a .yaml or .csv file".into()),
    };
    Ok(ReferenceFile { records: records.map_err(wrong)?, path: file, digest })
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

fn read_yaml(text: &str) -> Result<Vec<Record>, String> {
    let sections: Sections = yaml_serde::from_str(text).map_err(|e| e.to_string())?;
    let sections = [
        (RecordKind::Product, sections.products),
        (RecordKind::Customer, sections.customers),
        (RecordKind::Country, sections.countries),
        (RecordKind::Rate, sections.rates),
    ];
    let each = sections.into_iter().flat_map(|(kind, records)| (1..).zip(records).map(move |r| (kind, r)));
    each.map(|(kind, (number, fields))| {
        Record::read(kind, None, fields).map_err(|e| format!("{} {number}: {e}", kind.plural()))
    })
    .collect()
}

fn read_csv(path: &Path, text: &str) -> Result<Vec<Record>, String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let kind = RecordKind::ALL
        .into_iter()
        .find(|kind| stem.starts_with(kind.plural()))
        .ok_or("a .csv file's name must begin with products, customers, countries or rates")?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_err(|e| e.to_string())?.clone();
    let row = |row: Result<csv::StringRecord, csv::Error>| {
        let row = row.map_err(|e| e.to_string())?;
        let line = row.position().map_or(0, csv::Position::line);
        // An empty cell says nothing.
        let cells = names.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
        let fields = cells.map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect();
        Record::read(kind, None, fields).map_err(|e| format!("line {line}: {e}"))
    };
    reader.records().map(row).collect()
}
