//! Calls to dependencies that may be away.

use tidemill_service::Breaker;
use tidemill_store::answered;

use crate::Error;

/// Calls a dependency by leave of its breaker: waits while it is known to be
/// away, and tells the breaker what came of the call.
pub(crate) async fn guarded<T>(breaker: &Breaker, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let attempt = breaker.attempt().await;
    let done = call.await;
    match &done {
        Err(error) if error.is_outage() => attempt.failed(error),
        _ => attempt.succeeded(),
    }
    done
}

/// The same for the store, which may also say nothing at all.
pub(crate) async fn guarded_store<T>(
    breaker: &Breaker,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    guarded(breaker, answered(call)).await
}
