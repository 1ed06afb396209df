//! Reference records as files and clients write them, read at the edge.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use tidemill_domain::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    country::Country,
    error::Error,
    reference::{Attributes, Kind},
};

const MAX_ID_BYTES: usize = 200;
const MAX_ATTRIBUTES: usize = 32;
const MAX_NAME_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 256;
/// All names and values of a record: they travel with every event of it.
const MAX_TOTAL_BYTES: usize = 4096;

/// What is to be known of something from some time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// From when; by default a few seconds ahead, or always for a new id.
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) attributes: Attributes,
}

/// A record as written: `id`, `valid_from` and attributes side by side.
pub(crate) type Fields = BTreeMap<String, Value>;

impl Record {
    /// Reads a record; `id` is for one whose address names it.
    pub(crate) fn read(kind: Kind, id: Option<String>, fields: Fields) -> Result<Self, Error> {
        let wrong = |name: &str, detail: String| Error::Record { pointer: pointer(name), detail };
        let mut record = Self { kind, id: id.unwrap_or_default(), valid_from: None, attributes: Attributes::new() };
        for (name, value) in fields {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Array(_) | Value::Object(_) => return Err(wrong(&name, "must be a single value".into())),
            };
            match name.as_str() {
                "id" if record.id.is_empty() || record.id == text => record.id = text,
                "id" => return Err(wrong(&name, "is not the id in the address".into())),
                "valid_from" => {
                    record.valid_from = Some(text.parse().map_err(|e| wrong(&name, format!("{text:?} is {e}")))?);
                }
                _ => {
                    check(&name, MAX_NAME_BYTES).map_err(|detail| wrong(&name, format!("the name {detail}")))?;
                    if text.len() > MAX_VALUE_BYTES {
                        return Err(wrong(&name, format!("is longer than {MAX_VALUE_BYTES} bytes")));
                    }
                    record.attributes.insert(name, text);
                }
            }
        }
        check(&record.id, MAX_ID_BYTES).map_err(|detail| wrong("id", detail))?;
        let size: usize = record.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        if record.attributes.len() > MAX_ATTRIBUTES || size > MAX_TOTAL_BYTES {
            let detail = format!("more than {MAX_ATTRIBUTES} attributes or {MAX_TOTAL_BYTES} bytes");
            return Err(Error::Record { pointer: String::new(), detail });
        }
        if kind == Kind::Country {
            record.id = Country::from_code(&record.id)
                .ok_or_else(|| wrong("id", "must be an ISO 3166-1 alpha-2 code".into()))?
                .as_str()
                .into();
            if record.attributes.get("region").is_none_or(String::is_empty) {
                return Err(wrong("region", "is required of a country".into()));
            }
        }
        Ok(record)
    }
}

fn check(text: &str, limit: usize) -> Result<(), String> {
    if text.is_empty() {
        Err("must not be empty".into())
    } else if text.len() > limit {
        Err(format!("must not be longer than {limit} bytes"))
    } else if text.chars().any(char::is_control) {
        Err("must not hold control characters".into())
    } else {
        Ok(())
    }
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A reference file, read.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    /// Tells whether its content is new.
    pub(crate) digest: String,
    pub(crate) records: Vec<Record>,
}

/// Reads all files. An id that stands in several places is refused unless each
/// place has its own `valid_from`: nobody could say which one holds.
pub(crate) fn read_files(paths: &[PathBuf]) -> Result<Vec<File>, Error> {
    let files = paths.iter().map(|path| read_file(path)).collect::<Result<Vec<_>, _>>()?;
    let mut times: HashMap<(Kind, &str), HashSet<Option<Timestamp>>> = HashMap::new();
    for file in &files {
        for record in &file.records {
            let times = times.entry((record.kind, &record.id)).or_default();
            if !times.insert(record.valid_from) || (times.len() > 1 && times.contains(&None)) {
                let reason = format!(
                    "the {} {:?} is there more than once, not each with its own valid_from",
                    record.kind, record.id
                );
                return Err(Error::Definition { file: file.path.clone(), reason });
            }
        }
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<File, Error> {
    let file = path.display().to_string();
    let wrong = |reason: String| Error::Definition { file: file.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let digest = format!("{:032x}", xxh3_128(text.as_bytes()));
    let records = match path.extension().and_then(|e| e.to_str()) {
        Some("yaml" | "yml") => read_yaml(&text),
        Some("csv") => read_csv(path, &text),
        _ => Err("must be a .yaml or .csv file".into()),
    };
    Ok(File { records: records.map_err(wrong)?, path: file, digest })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    #[serde(default)]
    products: Vec<Fields>,
    #[serde(default)]
    customers: Vec<Fields>,
    #[serde(default)]
    countries: Vec<Fields>,
}

fn read_yaml(text: &str) -> Result<Vec<Record>, String> {
    let sections: Sections = yaml_serde::from_str(text).map_err(|e| e.to_string())?;
    let sections =
        [(Kind::Product, sections.products), (Kind::Customer, sections.customers), (Kind::Country, sections.countries)];
    let each = sections.into_iter().flat_map(|(kind, records)| (1..).zip(records).map(move |r| (kind, r)));
    each.map(|(kind, (number, fields))| {
        Record::read(kind, None, fields).map_err(|e| format!("{} {number}: {e}", kind.plural()))
    })
    .collect()
}

fn read_csv(path: &Path, text: &str) -> Result<Vec<Record>, String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| stem.starts_with(kind.plural()))
        .ok_or("a .csv file's name must begin with products, customers or countries")?;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: Kind, json: Value) -> Result<Record, Error> {
        Record::read(kind, None, serde_json::from_value(json).expect("an object"))
    }

    #[test]
    fn the_sample_file_is_valid() {
        let path = tidemill_testkit::crate_folder().join("reference/products.yaml");
        let files = read_files(&[path]).expect("reads");
        assert_eq!(files[0].records.iter().filter(|r| r.kind == Kind::Product).count(), 8);
        assert_eq!(files[0].records[0].attributes["category"], "Books");
    }

    #[test]
    fn values_are_kept_as_text() {
        let record = read(
            Kind::Product,
            json!({"id": 7, "pages": 320, "new": true, "none": null, "valid_from": "2026-01-01T00:00:00Z"}),
        )
        .expect("reads");
        assert_eq!(record.id, "7");
        assert_eq!(record.valid_from.map(|t| t.to_string()).as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(
            record.attributes,
            Attributes::from([("pages".into(), "320".into()), ("new".into(), "true".into())])
        );
    }

    #[test]
    fn a_broken_rule_is_named_with_its_place() {
        for (kind, json, place) in [
            (Kind::Product, json!({"category": "Books"}), "/id"),
            (Kind::Product, json!({"id": "x\n"}), "/id"),
            (Kind::Product, json!({"id": "x", "a/b": []}), "/a~1b"),
            (Kind::Product, json!({"id": "x", "": "v"}), "/"),
            (Kind::Product, json!({"id": "x", "long": "v".repeat(257)}), "/long"),
            (Kind::Product, json!({"id": "x", "valid_from": "soon"}), "/valid_from"),
            (Kind::Country, json!({"id": "Germany", "region": "Europe"}), "/id"),
            (Kind::Country, json!({"id": "de"}), "/region"),
        ] {
            match read(kind, json.clone()) {
                Err(Error::Record { pointer, .. }) => assert_eq!(pointer, place, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
        let many = (0..33).map(|n| (n.to_string(), Value::from("v"))).collect();
        assert!(Record::read(Kind::Product, Some("x".into()), many).is_err());
    }

    #[test]
    fn files_are_refused_with_file_and_place() {
        let folder = tidemill_testkit::tempdir();
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("writes");
            read_files(&[path]).map(|mut files| files.remove(0).records).map_err(|e| e.to_string())
        };
        let csv = read("customers-2026.csv", "id,country,segment\n1,Germany,\n2,IE,\"a,b\"\n").expect("reads");
        assert_eq!((csv[0].kind, csv[0].attributes.len(), &*csv[1].attributes["segment"]), (Kind::Customer, 1, "a,b"));
        for (name, text, reason) in [
            ("products.csv", "id,category\n,Books\n", "line 2: /id"),
            ("other.csv", "id\n1\n", "must begin with"),
            ("products.json", "{}", ".yaml or .csv"),
            ("a.yaml", "products:\n  - {category: Books}\n", "products 1: /id"),
            ("b.yaml", "product: []\n", "unknown field"),
            ("c.yaml", "products: [{id: 1}, {id: 1}]\n", "more than once"),
            ("d.yaml", "products: [{id: 1}, {id: 1, valid_from: '2026-01-01T00:00:00Z'}]\n", "more than once"),
        ] {
            let error = read(name, text).expect_err(name);
            assert!(error.contains(name) && error.contains(reason), "{error}");
        }
        let history = "products:\n  - {id: 1, valid_from: '2025-01-01T00:00:00Z'}\n  - {id: 1, valid_from: '2026-01-01T00:00:00Z'}\n";
        assert_eq!(read("e.yaml", history).expect("reads").len(), 2);
    }
}
