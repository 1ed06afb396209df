//! What everybody tells through.

use serde_json::Value;
use tidemill_domain::{SharedClock, Timestamp};
use tokio::sync::mpsc;

use super::{
    event::EventForm,
    telemetry::{DropReason, LineageTelemetry},
};

/// The way into the queue.
#[derive(Debug)]
pub(super) struct LineageTeller {
    pub(super) form: EventForm,
    /// Whose runs they are.
    pub(super) owner: String,
    pub(super) clock: SharedClock,
    pub(super) events: mpsc::Sender<String>,
    pub(super) telemetry: LineageTelemetry,
}

impl LineageTeller {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Puts an event into the queue, or drops it: nobody waits.
    pub(super) fn tell(&self, event: &Value) {
        if self.events.try_send(event.to_string()).is_err() {
            self.telemetry.dropped(DropReason::Full, "more run events wait than may");
        }
    }
}
