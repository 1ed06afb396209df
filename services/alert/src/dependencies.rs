//! Waiting for what is away.

use std::time::Duration;

use tidemill_service::{Breaker, Context};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// The breakers of what the service depends on. Readiness gives the reason
/// while one of them is open.
#[derive(Debug, Clone)]
pub(crate) struct Dependencies {
    /// The log.
    pub(crate) nats: Breaker,
    /// The service's own database.
    pub(crate) store: Breaker,
    /// The webhook.
    pub(crate) slack: Breaker,
}

impl Dependencies {
    /// Those of a process.
    pub(crate) fn of(context: &Context) -> Self {
        Self { nats: context.breaker("nats"), store: context.breaker("store"), slack: context.breaker("slack") }
    }
}

/// Calls a dependency until it works, and gives its answer: an error that
/// waiting cannot mend, or [`Error::Stopped`] when `stop` comes while it is
/// away.
pub(crate) async fn until_done<T, E, F>(
    breaker: &Breaker,
    stop: &CancellationToken,
    mut call: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    let call = || {
        let call = call();
        async { call.await.map_err(Into::into) }
    };
    breaker.call_until_done(stop, call).await.unwrap_or(Err(Error::Stopped))
}

/// Waits; answers whether to stop.
pub(crate) async fn pause(length: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = sleep(length) => false,
        () = stop.cancelled() => true,
    }
}
