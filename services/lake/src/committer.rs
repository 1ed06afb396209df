//! Rows of all units of a replica into one version of a table.
//!
//! A table has one writer in a process. It takes what units give it within a short
//! while, and commits that at once: so there are as many versions as beats, and not
//! as many as partitions.

mod keeper;
mod orders;
mod standing;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use tidemill_domain::Timestamp;
use tidemill_lake_tables::{
    AppId, Lake, LakeError, LakeErrorKind, TableDefinition, TablePart, TableProperties,
    tables::{BronzeEvent, QuarantinedEvent, RejectedBody, SilverEvent, SilverOrder, SilverOrderLine},
};
use tidemill_service::Context;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::standing::TableStanding;
use self::{keeper::TableKind, orders::WriterOrder, writer::TableWriter};
use crate::{openlineage::OpenLineage, telemetry::Telemetry, threads::WorkThreads};

/// Orders that may wait for a writer: a unit has one at a time.
const WAITING: usize = 64;

/// The writers of all tables.
#[derive(Debug, Clone)]
pub(crate) struct Committers {
    pub(crate) events: Committer,
    pub(crate) rejected: Committer,
    pub(crate) silver_events: Committer,
    pub(crate) order_lines: Committer,
    pub(crate) orders: Committer,
    pub(crate) quarantine: Committer,
}

/// The way to the writer of a table.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    pub(crate) table: &'static TableDefinition,
    orders: mpsc::Sender<WriterOrder>,
    standing: Arc<Mutex<TableStanding>>,
}

/// Keeps a writer waiting.
#[derive(Debug)]
pub(crate) struct WriterPause {
    _resume: oneshot::Sender<()>,
}

impl Committers {
    /// Starts a writer for each table on threads of theirs; they end with the last of their clones.
    pub(crate) fn start(
        context: &Context,
        (lake, threads): (&Lake, &WorkThreads),
        properties: &TableProperties,
        (telemetry, lineage): &(Telemetry, OpenLineage),
    ) -> Self {
        let start = |table, kind| {
            let (orders, taken) = mpsc::channel(WAITING);
            let standing = Arc::default();
            let writer = TableWriter {
                lake: lake.clone(),
                table,
                kind,
                properties: properties.clone(),
                breaker: context.breaker("lake"),
                shutdown: context.shutdown.clone(),
                telemetry: telemetry.clone(),
                lineage: lineage.clone(),
                standing: Arc::clone(&standing),
                keeper: None,
            };
            threads.spawn(writer.run(taken));
            Committer { table, orders, standing }
        };
        Self {
            events: start(&BronzeEvent::TABLE, TableKind::Rows("raw_seq")),
            rejected: start(&RejectedBody::TABLE, TableKind::Rows("dlq_seq")),
            silver_events: start(&SilverEvent::TABLE, TableKind::Rows("raw_seq")),
            order_lines: start(&SilverOrderLine::TABLE, TableKind::Rows("raw_seq")),
            orders: start(&SilverOrder::TABLE, TableKind::Orders),
            quarantine: start(&QuarantinedEvent::TABLE, TableKind::Rows("raw_seq")),
        }
    }

    /// All of them.
    pub(crate) const fn all(&self) -> [&Committer; 6] {
        [&self.events, &self.rejected, &self.silver_events, &self.order_lines, &self.orders, &self.quarantine]
    }
}

impl Committer {
    /// Where the table stands, as far as this replica has written.
    pub(crate) fn standing(&self) -> TableStanding {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the log is in the table.
    pub(crate) async fn reached(&self, app: AppId) -> Result<i64, LakeError> {
        self.order(|answer| WriterOrder::Reached { app, answer }).await
    }

    /// Stores rows; `newest` is when ingestion took the newest of them in.
    pub(crate) async fn commit(&self, part: TablePart, newest: Timestamp) -> Result<(), LakeError> {
        self.order(|answer| WriterOrder::Append { part, newest, answer }).await
    }

    /// Has the table's writer wait for as long as the answer is kept.
    pub(crate) async fn pause(&self) -> Result<WriterPause, LakeError> {
        let (resume, resumed) = oneshot::channel();
        self.order(|answer| WriterOrder::Pause { resumed, answer }).await?;
        Ok(WriterPause { _resume: resume })
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, LakeError>>) -> WriterOrder,
    ) -> Result<T, LakeError> {
        let ended = || LakeError::new(LakeErrorKind::Internal, "its writer has ended").of(self.table);
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}
