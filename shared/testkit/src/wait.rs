//! Waiting for a condition, with a deadline.

use std::{fmt::Debug, future::Future, time::Duration};

use tokio::time::{Instant, sleep};

const INTERVAL: Duration = Duration::from_millis(20);

/// Calls `probe` until it answers `Some`, and gives that.
///
/// # Panics
/// After `deadline`, naming what was waited for.
pub async fn eventually<T, F, Fut>(what: &str, deadline: Duration, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < end, "{what}: not within {deadline:?}");
        sleep(INTERVAL).await;
    }
}

/// Like [`eventually`], and the panic shows the last failure.
///
/// # Panics
/// After `deadline`.
pub async fn try_eventually<T, E: Debug, F, Fut>(what: &str, deadline: Duration, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + deadline;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < end, "{what}: not within {deadline:?}; last: {error:?}"),
        }
        sleep(INTERVAL).await;
    }
}
