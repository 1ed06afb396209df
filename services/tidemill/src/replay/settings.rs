//! What a replay knows of the live services, and where it keeps its own.

use std::path::Path;

use tidemill_service::{StartError, config};

use crate::client::LakeClient;

/// What a replay knows of the live services, and where it keeps its own.
#[derive(Debug, Clone)]
pub struct ReplaySettings {
    /// Those of the live enrichment: how events are understood, and where its reference
    /// data are.
    pub enrichment: tidemill_enrichment::Config,
    /// Those of the live aggregation: when an event is late.
    pub aggregation: tidemill_aggregation::Config,
    /// Those of the live alert service, where they are known: which rules it has.
    pub alert: Option<tidemill_alert::Config>,
    /// Where the stores of generations are: a folder of SQLite files, or a PostgreSQL
    /// database with a schema for each.
    pub stores: tidemill_store::Config,
    /// The lake that has what the log has forgotten, where one was named.
    pub lake: Option<LakeClient>,
}

/// Connections to PostgreSQL at most.
const CONNECTIONS: u32 = 8;

impl ReplaySettings {
    /// From the settings files of the services. A variable `TIDEMILL_ENRICHMENT__X`
    /// stands for the `TIDEMILL_X` of enrichment, and so for aggregation.
    ///
    /// # Errors
    /// A file cannot be read, or is wrong.
    pub fn of_files(
        enrichment: &Path,
        aggregation: &Path,
        alert: Option<&Path>,
        stores: &str,
    ) -> Result<Self, StartError> {
        let parse_alert = |file: &Path| config::parse_with(&read(file)?, variables("ALERT")).map_err(StartError::new);
        Ok(Self {
            enrichment: config::parse_with(&read(enrichment)?, variables("ENRICHMENT")).map_err(StartError::new)?,
            aggregation: config::parse_with(&read(aggregation)?, variables("AGGREGATION")).map_err(StartError::new)?,
            alert: alert.map(parse_alert).transpose()?,
            stores: stores_at(stores),
            lake: None,
        })
    }
}

/// The stores of generations at this URL.
pub(crate) fn stores_at(url: &str) -> tidemill_store::Config {
    tidemill_store::Config { url: url.into(), max_connections: CONNECTIONS }
}

fn read(file: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(file).map_err(|error| StartError::new(format!("{}: {error}", file.display())))
}

/// The variables of one service, by the names that it reads.
fn variables(service: &str) -> Vec<(String, String)> {
    let prefix = format!("TIDEMILL_{service}__");
    let of = |(name, value): (String, String)| Some((format!("TIDEMILL_{}", name.strip_prefix(&prefix)?), value));
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).filter_map(of).collect()
}
