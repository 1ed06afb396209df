//! Waiting for what is away.

use std::time::Duration;

use tidemill_service::{Breaker, Context};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// How long a call may take. A server that is gone without a word (a cable, a
/// frozen machine) leaves calls hanging otherwise.
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// The breakers of what the service depends on. Readiness gives the reason
/// while one of them is open.
#[derive(Debug, Clone)]
pub struct Dependencies {
    /// The log.
    pub nats: Breaker,
    /// The service's own database.
    pub store: Breaker,
    /// The webhook.
    pub slack: Breaker,
}

impl Dependencies {
    /// Those of a process.
    pub fn of(context: &Context) -> Self {
        Self { nats: context.breaker("nats"), store: context.breaker("store"), slack: context.breaker("slack") }
    }
}

/// Calls a dependency until it works, and gives its answer: an error that
/// waiting cannot mend, or [`Error::Stopped`] when `stop` comes while it is
/// away. One that works is called even after `stop`, so that the step in hand
/// can be finished.
pub async fn until_done<T, E, F>(
    breaker: &Breaker,
    stop: &CancellationToken,
    mut call: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    loop {
        let attempt = tokio::select! {
            biased;
            attempt = breaker.attempt() => attempt,
            () = stop.cancelled() => return Err(Error::Stopped),
        };
        let answer = match timeout(CALL_DEADLINE, call()).await {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => Err(Error::NoAnswer(CALL_DEADLINE)),
        };
        match answer {
            Ok(value) => {
                attempt.succeeded();
                return Ok(value);
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "failed; trying again");
                attempt.failed(error);
            }
            Err(error) => return Err(error),
        }
    }
}
