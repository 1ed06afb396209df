//! What is done again and again.

use tidemill_events::StreamName;
use tidemill_lake_tables::{
    TableDefinition,
    tables::{BronzeEvent, RejectedBody},
};

/// What a run reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LineageSource {
    /// A stream of the log.
    Stream(StreamName),
    /// The table at this path (`silver/events`).
    Table(String),
}

/// What is done again and again.
#[derive(Debug, Clone)]
pub(crate) struct LineageJob {
    /// For instance `silver.events`.
    pub(crate) name: String,
    pub(crate) reads: Vec<LineageSource>,
}

impl LineageSource {
    /// What a table is written from as the log comes.
    pub(super) fn of(table: &TableDefinition) -> Self {
        let path = table.path();
        let of = |other: &TableDefinition| other.path() == path;
        Self::Stream(match path {
            _ if of(&BronzeEvent::TABLE) => StreamName::Raw,
            _ if of(&RejectedBody::TABLE) => StreamName::Dlq,
            _ => StreamName::Enriched,
        })
    }
}

impl LineageJob {
    /// One that reads tables, by their paths.
    pub(crate) fn over(name: impl Into<String>, tables: &[&str]) -> Self {
        let reads = tables.iter().map(|path| LineageSource::Table((*path).to_owned()));
        Self { name: name.into(), reads: reads.collect() }
    }
}
