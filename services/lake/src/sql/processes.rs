//! Answers questions, each in a process of its own.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tidemill_batch_views::{AsOf, QueryTurn, ResultFormat, SqlEngine, SqlError, SqlLimits};
use tidemill_service::StartError;
use tokio::{
    sync::{mpsc, oneshot},
    time::{timeout, timeout_at},
};

use super::{
    folder::{OF_QUESTION, WorkFolder},
    job::{SqlJob, SqlPlace},
    passed::PassedAnswer,
    process::SqlProcess,
};

/// Parts of an answer that wait until they are taken.
const CHUNKS: usize = 2;
/// This program, even where its file has been replaced since: a process speaks as the release that started it.
const OURSELVES: &str = "/proc/self/exe";

/// Starts a process for each question.
pub(crate) struct SqlProcesses {
    program: PathBuf,
    place: SqlPlace,
    /// Whose turns questions take: others of the lake take them too.
    engine: Arc<SqlEngine>,
    /// Of each question.
    limits: SqlLimits,
    /// Where their folders are made.
    spill: PathBuf,
    name: String,
    started: AtomicU64,
}

/// A question, as it is attended to.
struct AttendedQuestion {
    process: SqlProcess,
    job: Vec<u8>,
    turn: QueryTurn,
    seconds: u64,
    told: oneshot::Sender<Result<PassedAnswer, SqlError>>,
}

impl SqlProcesses {
    /// By `program`, or by this one. `name` tells the folders of this lake from those of others.
    pub(crate) fn new(
        program: Option<PathBuf>,
        place: SqlPlace,
        engine: Arc<SqlEngine>,
        name: &str,
    ) -> Result<Self, StartError> {
        let ourselves = || match Path::new(OURSELVES).exists() {
            true => Ok(OURSELVES.into()),
            false => std::env::current_exe().map_err(StartError::new),
        };
        let limits = engine.limits().clone();
        let at_once = limits.at_once.max(1);
        let spill = limits.spill_folder.clone().unwrap_or_else(std::env::temp_dir);
        let limits = SqlLimits {
            memory_bytes: limits.memory_bytes / at_once,
            spill_bytes: limits.spill_bytes / at_once as u64,
            at_once: 1,
            ..limits
        };
        let program = program.map_or_else(ourselves, Ok)?;
        Ok(Self { program, place, engine, limits, spill, name: name.into(), started: AtomicU64::default() })
    }

    /// Answers a question, as of now or then. Whoever stops waiting ends it.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub(crate) async fn query(
        &self,
        sql: String,
        at: Option<AsOf>,
        format: ResultFormat,
    ) -> Result<PassedAnswer, SqlError> {
        let turn = self.engine.turn().await?;
        let (folder, limits) = self.folder();
        let job = SqlJob {
            place: &self.place,
            limits,
            folder: folder.as_ref().map(|folder| folder.path().to_owned()),
            sql,
            at: at.map(|at| at.to_string()),
            format,
        };
        let mut job = serde_json::to_vec(&job).map_err(|error| SqlError::NoProcess(error.to_string()))?;
        job.push(b'\n');
        let process = SqlProcess::start(&self.program, folder)?;
        let (told, answer) = oneshot::channel();
        let question = AttendedQuestion { process, job, turn, seconds: self.limits.seconds, told };
        // It ends the process also where nobody waits any more.
        tokio::spawn(question.attend());
        answer.await.unwrap_or(Err(SqlError::Broken))
    }

    /// A folder for a process. Without one it has no room on disk.
    fn folder(&self) -> (Option<WorkFolder>, SqlLimits) {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let folder = WorkFolder::make(&self.spill, &format!("{OF_QUESTION}{}-{number}", self.name));
        match folder {
            Ok(folder) => (Some(folder), self.limits.clone()),
            Err(error) => {
                tracing::warn!(%error, folder = %self.spill.display(), "a question has no room on disk");
                (None, SqlLimits { spill_bytes: 0, ..self.limits.clone() })
            }
        }
    }
}

impl AttendedQuestion {
    /// Sees a question to its end. Its turn is over when nothing is left of its process.
    async fn attend(self) {
        let Self { mut process, job, turn, seconds, mut told } = self;
        let asked = tokio::select! {
            asked = timeout_at(turn.until(), process.ask(&job)) => asked,
            () = told.closed() => {
                process.end().await;
                return;
            }
        };
        let reason = match asked {
            Ok(Ok(Some(Ok(bytes)))) => {
                let (chunks, passed) = mpsc::channel(CHUNKS);
                // Whoever is gone takes no part of it.
                let _ = told.send(Ok(PassedAnswer { bytes, chunks: passed }));
                pass(&mut process, bytes, seconds, &chunks).await;
                process.end().await.log();
                return;
            }
            Ok(Ok(Some(Err(error)))) => Some(error),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(SqlError::Failed(error.to_string())),
            Err(_) => Some(SqlError::TookTooLong(seconds)),
        };
        let ended = process.end().await;
        ended.log();
        drop(turn);
        let reason = reason.map_or_else(|| ended.reason(), |told| ended.reason_of(told));
        let _ = told.send(Err(reason));
    }
}

/// Passes an answer on, in the time again that it may take to be computed.
async fn pass(process: &mut SqlProcess, bytes: u64, seconds: u64, chunks: &mpsc::Sender<io::Result<Bytes>>) {
    let failed = match timeout(Duration::from_secs(seconds), process.pass(bytes, chunks)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    tracing::info!(error = %failed, "an answer was not taken to its end");
    // Where there is no room for it, the end of the answer comes too early, which says the same.
    let _ = chunks.try_send(Err(failed));
}
