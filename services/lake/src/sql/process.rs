//! A question's process, as the lake sees it.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
};

use bytes::{Bytes, BytesMut};
use tidemill_batch_views::SqlError;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc::Sender,
    task::JoinHandle,
};

use super::{child::SQL_PROCESS, folder::WorkFolder};

/// Bytes of the line that says how it went.
const MOST_TOLD: u64 = 1 << 20;
/// Bytes that are passed on at once.
const CHUNK: usize = 64 * 1024;
/// Bytes of standard error that are kept: its end.
const MOST_SAID: usize = 4096;

/// A process. It ends when this is dropped.
pub(super) struct SqlProcess {
    child: Child,
    /// The process ends when this is closed.
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    said: JoinHandle<String>,
    /// Deleted last.
    folder: Option<WorkFolder>,
}

/// How a process ended.
pub(super) struct EndedProcess {
    status: Option<ExitStatus>,
    said: String,
}

impl SqlProcess {
    /// Starts one, which waits for its question.
    pub(super) fn start(program: &Path, folder: Option<WorkFolder>) -> Result<Self, SqlError> {
        let mut command = Command::new(program);
        command.arg(SQL_PROCESS).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Where the lake is to tell backtraces, one would follow its last words, and be kept in their place.
        command.env("RUST_BACKTRACE", "0");
        if let Some(folder) = &folder {
            command.current_dir(folder.path());
        }
        let mut child = command.spawn().map_err(|error| SqlError::NoProcess(error.to_string()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(SqlError::NoProcess("it has no pipes".into()));
        };
        let said = tokio::spawn(end_of(stderr));
        Ok(Self { child, stdin, stdout: BufReader::with_capacity(CHUNK, stdout), said, folder })
    }

    /// Hands it its question, and waits for the length of the answer, or for why there is none. Nothing, where it
    /// ends before it has told.
    pub(super) async fn ask(&mut self, job: &[u8]) -> io::Result<Option<Result<u64, SqlError>>> {
        // One that has ended takes nothing any more; how it ended says why.
        if self.stdin.write_all(job).await.is_err() {
            return Ok(None);
        }
        let mut line = Vec::new();
        (&mut self.stdout).take(MOST_TOLD).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// Passes its answer on, as fast as it is taken.
    pub(super) async fn pass(&mut self, mut left: u64, to: &Sender<io::Result<Bytes>>) -> io::Result<()> {
        while left > 0 {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            let read = (&mut self.stdout).take(left).read_buf(&mut chunk).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            to.send(Ok(chunk.freeze())).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(())
    }

    /// Ends it, whatever it does, and waits until nothing of it is left.
    pub(super) async fn end(mut self) -> EndedProcess {
        // One that has ended by itself keeps the status that it ended with.
        let _ = self.child.kill().await;
        let status = self.child.wait().await.ok();
        let said = self.said.await.unwrap_or_default();
        drop(self.folder);
        EndedProcess { status, said }
    }
}

impl EndedProcess {
    /// Why one that told nothing has ended.
    pub(super) fn reason(&self) -> SqlError {
        if self.is_out_of_memory() {
            let reason = "a value of it, or what is computed of it, is larger than sql.memory_megabytes allows; ask for \
                          less of it at a time";
            return SqlError::OutOfMemory(reason.into());
        }
        match self.status.and_then(|status| status.signal()) {
            // What it does itself where it cannot go on: its last words are in the log.
            None | Some(ABORTED) => SqlError::Broken,
            Some(signal) => SqlError::Killed(signal),
        }
    }

    /// The same of an error that it told: what cannot go on without memory may tell only that it is broken.
    pub(super) fn reason_of(&self, told: SqlError) -> SqlError {
        match told {
            SqlError::Broken if self.is_out_of_memory() => self.reason(),
            told => told,
        }
    }

    /// By its last words: Rust's of an allocation that failed, and the system's of a thread without room.
    fn is_out_of_memory(&self) -> bool {
        ["memory allocation of ", "Cannot allocate memory"].iter().any(|words| self.said.contains(words))
    }

    /// Writes its last words to the log.
    pub(super) fn log(&self) {
        if !self.said.is_empty() {
            let status = self.status.map(|status| status.to_string());
            tracing::warn!(status, said = self.said.trim_end(), "the process of a question had something to say");
        }
    }
}

/// SIGABRT, which has this number everywhere.
const ABORTED: i32 = 6;

/// The last words of a stream.
async fn end_of(mut stream: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..read]);
        kept.drain(..kept.len().saturating_sub(MOST_SAID));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(raw: i32, said: &str) -> EndedProcess {
        EndedProcess { status: Some(ExitStatus::from_raw(raw)), said: said.into() }
    }

    #[test]
    fn a_process_that_ends_is_told_by_what_ended_it() {
        let full = ended(6, "memory allocation of 99 bytes failed\n");
        assert!(matches!(full.reason(), SqlError::OutOfMemory(_)));
        assert!(matches!(full.reason_of(SqlError::Broken), SqlError::OutOfMemory(_)));
        assert!(matches!(full.reason_of(SqlError::Busy), SqlError::Busy));
        assert!(matches!(ended(9, "").reason(), SqlError::Killed(9)));
        assert!(matches!(ended(6, "has overflowed its stack").reason(), SqlError::Broken));
        assert!(matches!(ended(0, "").reason(), SqlError::Broken));
    }

    #[tokio::test]
    async fn of_much_that_is_said_the_end_is_kept() {
        let said = "x".repeat(10_000) + "the end";
        let kept = end_of(said.as_bytes()).await;
        assert_eq!((kept.len(), kept.ends_with("the end")), (MOST_SAID, true));
    }
}
