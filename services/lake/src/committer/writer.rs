//! The one that writes to a table.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidemill_domain::{Outage, Timestamp};
use tidemill_lake_tables::{AppId, Appended, Lake, LakeError, TableDefinition, TablePart, TableProperties};
use tidemill_service::Breaker;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    keeper::{TableKeeper, TableKind},
    orders::{CommitBatch, WriterOrder},
    standing::TableStanding,
};
use crate::{
    openlineage::{OpenLineage, TableOutput},
    telemetry::Telemetry,
};

/// How long it waits for the other units of a beat.
const GATHERED: Duration = Duration::from_millis(200);

pub(super) struct TableWriter {
    pub(super) lake: Lake,
    pub(super) table: &'static TableDefinition,
    pub(super) kind: TableKind,
    pub(super) properties: TableProperties,
    pub(super) breaker: Breaker,
    pub(super) shutdown: CancellationToken,
    pub(super) telemetry: Telemetry,
    pub(super) lineage: OpenLineage,
    pub(super) standing: Arc<Mutex<TableStanding>>,
    /// Opened when it is first needed, and anew after an error.
    pub(super) keeper: Option<TableKeeper>,
}

impl TableWriter {
    /// Works until nobody can order any more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<WriterOrder>) {
        while let Some(first) = orders.recv().await {
            let mut waiting = vec![first];
            if matches!(waiting[..], [WriterOrder::Append { .. }]) && !self.shutdown.is_cancelled() {
                sleep(GATHERED).await;
            }
            while let Ok(order) = orders.try_recv() {
                waiting.push(order);
            }
            while !waiting.is_empty() {
                waiting = self.work(waiting).await;
            }
        }
    }

    /// Does what can be done at once; answers what is left.
    async fn work(&mut self, orders: Vec<WriterOrder>) -> Vec<WriterOrder> {
        let (mut batch, mut left) = (CommitBatch::default(), Vec::new());
        for order in orders {
            match batch.take(order) {
                None => {}
                Some(WriterOrder::Reached { app, answer }) => {
                    // Who asked may be gone.
                    let _ = answer.send(self.reached(&app).await);
                }
                Some(WriterOrder::Pause { resumed, answer }) => {
                    let is_awaited = answer.send(Ok(())).is_ok();
                    if is_awaited {
                        // Whoever paused it may just go away.
                        let _ = resumed.await;
                    }
                }
                Some(later) => left.push(later),
            }
        }
        if !batch.is_empty() {
            let done = self.append_told(&batch.parts, batch.newest).await;
            batch.answer(&done);
            self.keep_up().await;
        }
        left
    }

    async fn reached(&mut self, app: &AppId) -> Result<i64, LakeError> {
        let breaker = self.breaker.clone();
        let folder = self.lake.folder().clone();
        let reached = async { self.open().await?.reached(app).await.map_err(|error| folder.explain(error)) };
        breaker.call(reached).await
    }

    /// Appends, as a run of the table's job.
    async fn append_told(&mut self, parts: &[TablePart], newest: Option<Timestamp>) -> Result<(), LakeError> {
        let run = self.lineage.begin_commit(self.table, parts);
        let done = self.append(parts, newest).await;
        match (run, &done) {
            (None, _) => {}
            (Some(run), Ok(Appended { version, rows, conflicts: _ })) => {
                // Of orders it is not known: a change may go to a row that is there.
                let rows = matches!(self.kind, TableKind::Rows(_)).then_some(*rows);
                run.completed(&[TableOutput::declared(self.table, *version, rows)]);
            }
            (Some(run), Err(error)) => run.failed(&error.to_string()),
        }
        done.map(drop)
    }

    /// Appends until the store has it. While it is away the units wait, and the log
    /// keeps what comes.
    async fn append(&mut self, parts: &[TablePart], newest: Option<Timestamp>) -> Result<Appended, LakeError> {
        let (breaker, begun) = (self.breaker.clone(), Instant::now());
        loop {
            match breaker.call(self.store(parts)).await {
                Ok(appended) => {
                    self.appended(appended, newest, begun);
                    return Ok(appended);
                }
                Err(error) if error.is_outage() && !self.shutdown.is_cancelled() => {
                    tracing::warn!(table = %self.table, %error, "a commit failed; trying again");
                    // What is known of the table may be of another one.
                    self.keeper = None;
                }
                Err(error) => {
                    self.keeper = None;
                    return Err(error);
                }
            }
        }
    }

    async fn store(&mut self, parts: &[TablePart]) -> Result<Appended, LakeError> {
        let (folder, table) = (self.lake.folder().clone(), self.table);
        let stored = self.open().await?.store(parts).await;
        let appended = stored.map_err(|error| folder.explain(error).of(table))?;
        // Nobody is told of what may have gone to another place.
        folder.check().map_err(|error| error.of(self.table))?;
        Ok(appended)
    }

    fn appended(&self, appended: Appended, newest: Option<Timestamp>, begun: Instant) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.version = Some(appended.version);
        standing.reached = standing.reached.max(newest);
        drop(standing);
        self.telemetry.committed(self.table, appended, newest.unwrap_or(Timestamp::EPOCH), begun.elapsed());
    }

    async fn open(&mut self) -> Result<&mut TableKeeper, LakeError> {
        self.lake.folder().check().map_err(|error| error.of(self.table))?;
        let keeper = match self.keeper.take() {
            Some(keeper) => keeper,
            None => TableKeeper::open(&self.lake, self.table, self.kind, &self.properties).await?,
        };
        Ok(self.keeper.insert(keeper))
    }

    /// Makes a checkpoint where it is time. Nobody waits for it.
    async fn keep_up(&mut self) {
        let version = self.standing.lock().unwrap_or_else(PoisonError::into_inner).version;
        let is_due = version.is_some_and(|version| version % u64::from(self.properties.checkpoint_interval) == 0);
        let Some(keeper) = self.keeper.as_mut().filter(|_| is_due) else { return };
        if let Err(error) = keeper.checkpoint().await {
            self.telemetry.upkeep_failed(&self.table.to_string(), "checkpoint", &error);
        }
    }
}
