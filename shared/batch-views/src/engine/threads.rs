//! Threads of their own, so that a question never holds up the service's work.

use std::{io, num::NonZeroUsize, thread};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use crate::SqlError;

/// Room for a question of the most operators, which is as deep as it is long.
const STACK_BYTES: usize = 8 << 20;

/// Threads that compute.
#[derive(Debug)]
pub(super) struct QueryThreads(Option<Runtime>);

impl QueryThreads {
    /// One for each processor, and two at least; beside them so many at most that wait for files.
    pub(super) fn start(blocking: usize) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut builder = Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(processors.max(2))
            .max_blocking_threads(blocking)
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .thread_name("sql")
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Computes something; it ends at its next await when nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
    ) -> Result<T, SqlError> {
        let Some(runtime) = &self.0 else { return Err(SqlError::Busy) };
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, runtime.handle());
        match tasks.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) => {
                tracing::error!(%error, "a question did not end by itself");
                Err(SqlError::Broken)
            }
            None => Err(SqlError::Busy),
        }
    }
}

impl Drop for QueryThreads {
    /// Without waiting: this may be dropped on a thread that must not.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
