//! Tells a catalogue of lineage what the lake does, as run events of OpenLineage.
//!
//! Nothing waits for it: events go into a short queue, and what does not fit, or is not
//! taken in time, is dropped and counted.

mod event;
mod job;
mod names;
mod run;
mod sender;
mod telemetry;
mod teller;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidemill_lake_tables::{Lake, TableDefinition, TablePart, tables::QuarantinedEvent};
use tidemill_service::{Context, StartError};
use tokio::sync::mpsc;
use uuid::Uuid;

use self::{
    event::EventForm, names::DatasetNames, sender::EventSender, telemetry::LineageTelemetry, teller::LineageTeller,
};
pub(crate) use self::{
    event::TableOutput,
    job::{LineageJob, LineageSource},
    run::LineageRun,
};
use crate::config::OpenLineageConfig;

/// Events that may wait.
const WAITING: usize = 256;
/// What the ids of runs are made in.
const RUNS: Uuid = Uuid::from_u128(0x6f1d_2c6a_0a3e_5f0b_9b1e_7d4c_52a8_90e3);

/// The way to a catalogue, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct OpenLineage(Option<Arc<LineageTeller>>);

impl OpenLineage {
    /// As the settings have it; `log` is the address of NATS.
    pub(crate) fn start(
        config: &OpenLineageConfig,
        lake: &Lake,
        log: &str,
        context: &Context,
    ) -> Result<Self, StartError> {
        let Some(address) = config.address() else { return Ok(Self(None)) };
        let telemetry = LineageTelemetry::register(&context.registry);
        let sender = EventSender::open(address, config, telemetry.clone())?;
        let (events, waiting) = mpsc::channel(WAITING);
        let teller = LineageTeller {
            form: EventForm::new(&config.namespace, DatasetNames::new(lake.root().as_str(), log)),
            owner: lake.owner().unwrap_or_default().to_owned(),
            clock: context.clock.clone(),
            events,
            telemetry,
        };
        context.spawn("openlineage", sender.run(waiting, context.shutdown.clone()));
        teller.tell(&teller.form.enrichment(teller.now()));
        Ok(Self(Some(Arc::new(teller))))
    }

    /// A run begins that is known by what it is of: the same work has the same id, whoever does it.
    pub(crate) fn begin(&self, job: LineageJob, of: &str) -> Option<LineageRun> {
        let teller = self.0.as_ref()?;
        let id = Uuid::new_v5(&RUNS, format!("{}/{}/{of}", teller.owner, job.name).as_bytes());
        Some(LineageRun::begin(teller, job, id))
    }

    /// A run begins that has an id already.
    pub(crate) fn begin_with_id(&self, job: LineageJob, id: Uuid) -> Option<LineageRun> {
        Some(LineageRun::begin(self.0.as_ref()?, job, id))
    }

    /// A commit begins. Without rows it only says how far the log is, and nobody is told.
    pub(crate) fn begin_commit(&self, table: &TableDefinition, parts: &[TablePart]) -> Option<LineageRun> {
        if self.0.is_none() || parts.iter().all(|part| part.rows.num_rows() == 0) {
            return None;
        }
        let (redriven, read): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.app.is_of_redrives());
        let stream = (!read.is_empty()).then(|| LineageSource::of(table));
        let held = (!redriven.is_empty()).then(|| LineageSource::Table(QuarantinedEvent::TABLE.path()));
        let job = LineageJob { name: table.to_string(), reads: stream.into_iter().chain(held).collect() };
        let mut reaches: Vec<String> = parts.iter().map(|part| format!("{}={}", part.app, part.reaches)).collect();
        reaches.sort();
        self.begin(job, &reaches.join(" "))
    }
}
