//! Questions take turns.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::SqlError;

/// The turn of a question; the next one has its place when it is dropped.
#[derive(Debug)]
pub struct QueryTurn {
    _place: OwnedSemaphorePermit,
    until: Instant,
}

impl QueryTurn {
    /// Waits for a place as long as a question may take: its time begins now.
    pub(super) async fn wait(places: &Arc<Semaphore>, seconds: u64) -> Result<Self, SqlError> {
        let until = Instant::now() + Duration::from_secs(seconds);
        match timeout_at(until, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(Self { _place: place, until }),
            Ok(Err(_)) | Err(_) => Err(SqlError::Busy),
        }
    }

    /// When the question's time is over.
    pub const fn until(&self) -> Instant {
        self.until
    }
}
