//! What every letter of this service says.

use tidemill_events::DeadLetter;
use tidemill_service::Context;

/// A letter of this service that says nothing yet but who wrote it and when.
pub(crate) fn blank(context: &Context, id: String) -> DeadLetter {
    DeadLetter { first_failed_at: context.clock.now(), ..DeadLetter::new(context.service, id, "", String::new()) }
}
