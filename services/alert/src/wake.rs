//! Tells the outbox that there is something to do.

use std::sync::Arc;

use tokio::sync::Notify;

/// A call to each of the outbox's two tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake {
    pub(crate) publisher: Arc<Notify>,
    pub(crate) notifier: Arc<Notify>,
}

impl Wake {
    /// There are new alerts.
    pub(crate) fn fired(&self) {
        self.publisher.notify_one();
        self.notifier.notify_one();
    }
}
