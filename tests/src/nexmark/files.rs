//! The files that a suite is given.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{events::NexmarkEvents, query::NexmarkQuery};
use crate::error::Error;

/// What one dollar is in euros, by Nexmark's first query.
const RATES: &str = "id,rate,valid_from\nUSD,0.908,\n";

const SCHEMAS: [(&str, &str); 3] = [
    ("auction.json", include_str!("schemas/auction.json")),
    ("bid.json", include_str!("schemas/bid.json")),
    ("person.json", include_str!("schemas/person.json")),
];

/// Definitions and reference data.
#[derive(Debug, Clone)]
pub struct NexmarkFiles {
    /// Folder of metrics.
    pub metrics: PathBuf,
    /// Folder of rules; there are none.
    pub rules: PathBuf,
    /// Folder of schemas.
    pub schemas: PathBuf,
    /// What the events call things.
    pub shop: PathBuf,
    /// The side input, and the rate.
    pub reference: Vec<PathBuf>,
}

/// Writes the definitions of these queries, and the reference data of these events.
///
/// # Errors
/// Where they cannot be written.
pub fn write_files(folder: &Path, queries: &[NexmarkQuery], events: &NexmarkEvents) -> Result<NexmarkFiles, Error> {
    let [metrics, rules, schemas] = ["metrics", "rules", "schemas"].map(|name| folder.join(name));
    for folder in [&metrics, &rules, &schemas] {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    }
    for query in queries {
        write(&metrics.join(format!("{}.yaml", query.name())), query.definition())?;
    }
    for (name, text) in SCHEMAS {
        write(&schemas.join(name), text)?;
    }
    let shop = folder.join("shop.yaml");
    write(&shop, include_str!("shop.yaml"))?;
    let mut products = String::from("id,value\n");
    for (auction, value) in events.side_input() {
        // A text takes whatever is written to it.
        let _ = writeln!(products, "{auction},{value}");
    }
    let reference = [("products.csv", products.as_str()), ("rates.csv", RATES)];
    for (name, text) in reference {
        write(&folder.join(name), text)?;
    }
    Ok(NexmarkFiles { metrics, rules, schemas, shop, reference: reference.map(|(name, _)| folder.join(name)).to_vec() })
}

fn write(file: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(file, text).map_err(Error::file(file))
}
