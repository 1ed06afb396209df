//! How soon a write is tried again while a sender waits for its answer.

use std::time::Duration;

use tokio::time::sleep;

/// Waits of 50 ms, 100 ms, 200 ms and so on, of a second at most. Shorter than
/// those of `Backoff`: the answer has a deadline.
pub(crate) struct ShortBackoff(Duration);

impl ShortBackoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) const fn new() -> Self {
        Self(Self::FIRST)
    }

    /// Waits after one more failed attempt.
    pub(crate) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::LONGEST);
    }
}
