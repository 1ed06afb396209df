//! Turns: requests with many records are worked on a few at a time.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::error::Error;

/// Requests in work at once; others wait their turn before their bodies are read.
const AT_ONCE: usize = 2;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// The turns of requests.
#[derive(Debug, Clone)]
pub(crate) struct BulkTurns(Arc<Semaphore>);

impl Default for BulkTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl BulkTurns {
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit, Error> {
        match timeout(PATIENCE, self.0.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            // Nobody closes it.
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }
}
