//! Events, by the specification of OpenLineage, version 2-0-2.

use serde_json::{Map, Value, json};
use tidemill_domain::Timestamp;
use tidemill_events::StreamName;
use tidemill_lake_tables::{ColumnDefinition, TableDefinition};
use uuid::Uuid;

use super::{
    job::{LineageJob, LineageSource},
    names::{DatasetName, DatasetNames},
};

const SPECIFICATION: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs";
const FACETS: &str = "https://openlineage.io/spec/facets";
const PRODUCER: &str = concat!("https://crates.io/crates/tidemill-lake/", env!("CARGO_PKG_VERSION"));
/// Characters of a reason.
const REASON: usize = 2_000;

/// How events are written.
#[derive(Debug)]
pub(super) struct EventForm {
    namespace: String,
    names: DatasetNames,
}

/// What became of a run.
#[derive(Debug, Clone, Copy)]
pub(super) enum RunState<'r> {
    /// It begins.
    Start,
    /// It is done, and has written these.
    Complete(&'r [TableOutput]),
    /// It has come to nothing, for this reason.
    Fail(&'r str),
    /// It was told to end.
    Abort,
}

/// A table that was written.
#[derive(Debug, Clone)]
pub(crate) struct TableOutput {
    path: String,
    version: u64,
    rows: Option<u64>,
    fields: Vec<Value>,
}

impl TableOutput {
    /// A table that is declared; `rows` are those that were added.
    pub(crate) fn declared(table: &TableDefinition, version: u64, rows: Option<usize>) -> Self {
        let field = |column: &ColumnDefinition| json!({"name": column.name, "type": column.kind.to_string(), "description": column.about});
        let fields = table.columns.iter().map(field).collect();
        Self { path: table.path(), version, rows: rows.map(|rows| rows as u64), fields }
    }

    /// A table by its name (`gold.revenue`), with names of its columns, their types, and what they say.
    pub(crate) fn named<'c>(
        name: &str,
        version: u64,
        columns: impl Iterator<Item = (&'c str, &'c str, Option<&'c str>)>,
    ) -> Self {
        let field = |(name, kind, about): (&str, &str, Option<&str>)| match about {
            Some(about) => json!({"name": name, "type": kind, "description": about}),
            None => json!({"name": name, "type": kind}),
        };
        Self { path: name.replacen('.', "/", 1), version, rows: None, fields: columns.map(field).collect() }
    }
}

impl RunState<'_> {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Complete(_) => "COMPLETE",
            Self::Fail(_) => "FAIL",
            Self::Abort => "ABORT",
        }
    }
}

impl EventForm {
    pub(super) fn new(namespace: &str, names: DatasetNames) -> Self {
        Self { namespace: namespace.to_owned(), names }
    }

    /// A run event.
    pub(super) fn run(&self, id: Uuid, job: &LineageJob, state: &RunState<'_>, at: Timestamp) -> Value {
        let outputs = match state {
            RunState::Complete(written) => written.iter().map(|table| self.output(table)).collect(),
            RunState::Start | RunState::Fail(_) | RunState::Abort => Vec::new(),
        };
        let inputs: Vec<Value> = job.reads.iter().map(|source| self.input(source)).collect();
        json!({
            "eventType": state.as_str(),
            "eventTime": at.to_string(),
            "producer": PRODUCER,
            "schemaURL": format!("{SPECIFICATION}/RunEvent"),
            "run": {"runId": id.to_string(), "facets": run_facets(state)},
            "job": self.job(&job.name, "BATCH"),
            "inputs": inputs,
            "outputs": outputs,
        })
    }

    /// That enrichment makes the stream that silver is written from out of the one that bronze is
    /// written from: without it a catalogue would see no way between them.
    pub(super) fn enrichment(&self, at: Timestamp) -> Value {
        let stream = |stream| dataset(self.names.stream(stream), Map::new());
        json!({
            "eventTime": at.to_string(),
            "producer": PRODUCER,
            "schemaURL": format!("{SPECIFICATION}/JobEvent"),
            "job": self.job("enrichment", "STREAMING"),
            "inputs": [stream(StreamName::Raw)],
            "outputs": [stream(StreamName::Enriched)],
        })
    }

    fn job(&self, name: &str, processing: &str) -> Value {
        let kind = json!({"processingType": processing, "integration": "TIDEMILL", "jobType": "JOB"});
        json!({
            "namespace": self.namespace,
            "name": name,
            "facets": {"jobType": facet("2-0-4", "JobTypeJobFacet", kind)},
        })
    }

    fn input(&self, source: &LineageSource) -> Value {
        match source {
            LineageSource::Stream(stream) => dataset(self.names.stream(*stream), Map::new()),
            LineageSource::Table(path) => {
                let facets = Map::from_iter([("dataSource".to_owned(), self.data_source(path))]);
                dataset(self.names.table(path), facets)
            }
        }
    }

    fn output(&self, written: &TableOutput) -> Value {
        let version = json!({"datasetVersion": written.version.to_string()});
        let mut facets = Map::from_iter([
            ("dataSource".to_owned(), self.data_source(&written.path)),
            ("version".to_owned(), facet("1-0-1", "DatasetVersionDatasetFacet", version)),
        ]);
        if !written.fields.is_empty() {
            let fields = json!({ "fields": written.fields });
            facets.insert("schema".to_owned(), facet("1-2-0", "SchemaDatasetFacet", fields));
        }
        let mut output = dataset(self.names.table(&written.path), facets);
        if let Some(rows) = written.rows {
            let statistics = json!({ "rowCount": rows });
            output["outputFacets"] =
                json!({"outputStatistics": facet("1-0-2", "OutputStatisticsOutputDatasetFacet", statistics)});
        }
        output
    }

    fn data_source(&self, path: &str) -> Value {
        let source = json!({"name": path.replacen('/', ".", 1), "uri": self.names.address(path)});
        facet("1-0-1", "DatasourceDatasetFacet", source)
    }
}

fn run_facets(state: &RunState<'_>) -> Map<String, Value> {
    let release = env!("CARGO_PKG_VERSION");
    let engine = json!({"version": release, "name": "tidemill", "openlineageAdapterVersion": release});
    let mut facets = Map::new();
    facets.insert("processing_engine".into(), facet("1-1-1", "ProcessingEngineRunFacet", engine));
    if let RunState::Fail(reason) = state {
        let reason: String = reason.chars().take(REASON).collect();
        let error = json!({"message": reason, "programmingLanguage": "Rust"});
        facets.insert("errorMessage".into(), facet("1-0-1", "ErrorMessageRunFacet", error));
    }
    facets
}

fn dataset(DatasetName { namespace, name }: DatasetName, facets: Map<String, Value>) -> Value {
    json!({"namespace": namespace, "name": name, "facets": facets})
}

fn facet(version: &str, name: &str, mut members: Value) -> Value {
    members["_producer"] = PRODUCER.into();
    members["_schemaURL"] = format!("{FACETS}/{version}/{name}.json#/$defs/{name}").into();
    members
}
