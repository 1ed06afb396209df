//! Threads of their own for what takes a processor for long without an await: the work on tables, which encodes,
//! sorts and compares, and the making of rows, which asks rules of each event. Whoever answers the server, tells other
//! replicas that this one lives and speaks with the log has threads of tokio's that do none of it.
//!
//! Tables and rows have different threads: a rule that is slow holds up silver, and neither bronze nor commits.

use std::{io, num::NonZeroUsize, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};
use tokio_util::task::AbortOnDropHandle;

/// Threads beside them, at most, that wait for files.
const WAITING_FOR_FILES: usize = 16;

/// The threads; clones share them. They end with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct WorkThreads {
    handle: Handle,
    _runtime: Arc<WorkRuntime>,
}

#[derive(Debug)]
struct WorkRuntime(Option<Runtime>);

impl WorkThreads {
    /// One for each processor, all of this name.
    fn start(name: &str) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(processors).max_blocking_threads(WAITING_FOR_FILES).enable_all().thread_name(name);
        let runtime = builder.build()?;
        Ok(Self { handle: runtime.handle().clone(), _runtime: Arc::new(WorkRuntime(Some(runtime))) })
    }

    /// Those of tables, and those that make rows.
    pub(crate) fn of_tables_and_rows() -> io::Result<(Self, Self)> {
        Ok((Self::start("tables")?, Self::start("rows")?))
    }

    /// Begins work, which ends with these threads, if not before.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(work)
    }

    /// Does work; where nobody waits for it any more it ends at its next await.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match AbortOnDropHandle::new(self.spawn(work)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The service is about to end.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for WorkRuntime {
    /// Without waiting: this may be dropped on a thread that must not.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Option<String> {
        thread::current().name().map(String::from)
    }

    #[tokio::test]
    async fn work_is_done_elsewhere() {
        let threads = WorkThreads::start("tables").expect("threads");
        assert_eq!(threads.run(async { name() }).await.as_deref(), Some("tables"));
        assert_ne!(name().as_deref(), Some("tables"));
        let (told, tells) = tokio::sync::oneshot::channel::<()>();
        drop(threads.run(async move {
            let _told = told;
            std::future::pending::<()>().await;
        }));
        assert!(tells.await.is_err(), "work that nobody waits for ends");
    }
}
