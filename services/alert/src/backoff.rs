//! Waiting for what is away.

use std::time::Duration;

use tidemill_service::Context;
use tokio::time::sleep;

use crate::error::Error;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Attempts at something, with waits between them that grow, and readiness
/// that says what is missing meanwhile.
pub struct Backoff {
    context: Context,
    what: &'static str,
    wait: Duration,
}

impl Backoff {
    /// For `what`, as readiness calls it.
    pub fn new(context: &Context, what: &'static str) -> Self {
        Self { context: context.clone(), what, wait: FIRST_WAIT }
    }

    /// Waits after a failed attempt. An error that waiting cannot mend comes
    /// back; [`Error::ShutDown`] once the service is to stop.
    pub async fn failed(&mut self, error: impl Into<Error>) -> Result<(), Error> {
        let error = error.into();
        if !error.is_transient() {
            return Err(error);
        }
        tracing::warn!(what = self.what, %error, "failed; trying again");
        self.context.health.unready(self.what, error.to_string());
        tokio::select! {
            () = sleep(self.wait) => {}
            () = self.context.shutdown.cancelled() => return Err(Error::ShutDown),
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Ok(())
    }

    /// An attempt succeeded.
    pub fn succeeded(&mut self) {
        self.wait = FIRST_WAIT;
        self.context.health.ready(self.what);
    }
}
