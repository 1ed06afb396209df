//! Work that keeps a thread busy, beside those that answer.

use tidemill_bus::Error as BusError;
use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

use crate::error::Error;

/// How many do so at once: one learns at a time, and each thread has memory of its own that it
/// does not give back.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Does work that is done to its end, also if nobody waits for it any more. If it panics, so
/// does who waits for it; else it was not begun, since the service ends.
pub(super) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    // It is never closed. Work waits for no turn of other work.
    let _turn = TURNS.acquire().await;
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => Ok(done),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(error)) => Err(BusError::Ack(error.to_string()).into()),
    }
}
