//! The process that answers one question, and ends.

use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    path::PathBuf,
    process::{ExitCode, exit},
    sync::Arc,
    thread,
};

use tidemill_batch_views::{AsOf, SqlEngine, SqlError};
use tidemill_definitions::Metrics;

use super::{
    folder,
    job::{SqlJob, SqlPlace},
    memory::{self, BLOCKING_THREADS},
};

/// The argument by which this program answers a question.
pub const SQL_PROCESS: &str = "sql-process";

/// Bytes of a job: the question, and the definitions of all metrics.
const MOST_BYTES: u64 = 64 << 20;

/// Answers the question that comes by standard input. To standard output goes first a line of JSON: the length
/// of the answer, or why there is none; and then the answer.
#[allow(clippy::print_stderr, reason = "the lake reads it, and writes it to its log")]
pub fn answer_question() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    tidemill_service::install_crypto();
    // The lake may have been killed before it has told anything.
    let job = read().inspect_err(|_| folder::remove_own())?;
    end_with_the_lake(job.folder.clone())?;
    memory::bound(&job.limits)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(answer(job));
    let mut stdout = io::stdout().lock();
    let (told, answer) = match answer {
        Ok(answer) => (Ok(answer.len() as u64), answer),
        Err(error) => (Err(error), Vec::new()),
    };
    serde_json::to_writer(&mut stdout, &told)?;
    stdout.write_all(b"\n")?;
    stdout.write_all(&answer)?;
    stdout.flush()
}

fn read() -> io::Result<SqlJob<SqlPlace>> {
    let mut line = Vec::new();
    io::stdin().lock().take(MOST_BYTES).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

/// The lake holds the other end of standard input, and lets go of it when it ends, however that happens.
fn end_with_the_lake(folder: Option<PathBuf>) -> io::Result<()> {
    let wait = move || {
        // Nothing more is sent: this returns at the end of the lake.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        folder.iter().for_each(|folder| folder::remove(folder));
        exit(1);
    };
    thread::Builder::new().name("tether".into()).spawn(wait).map(drop)
}

async fn answer(job: SqlJob<SqlPlace>) -> Result<Vec<u8>, SqlError> {
    let SqlJob { place, mut limits, folder, sql, at, format } = job;
    let wrong = |error: &dyn std::fmt::Display| SqlError::Failed(error.to_string());
    let at = at.map(|at| at.parse::<AsOf>()).transpose().map_err(SqlError::Invalid)?;
    let metrics = Metrics::of_files(&place.definitions).map_err(|error| wrong(&error))?;
    limits.blocking_threads = BLOCKING_THREADS;
    limits.spill_folder = folder;
    let engine = SqlEngine::new(place.open()?, metrics.iter().cloned().map(Arc::new).collect(), limits)?;
    let engine = Arc::new(engine.with_cold(place.open_cold()?));
    engine.query(&sql, at).await?.write(format)
}
