//! Dead letters that are sent again.

use tidemill_events::{Body, Durable, Redrive};

use super::{Incoming, Inlet};
use crate::{
    error::Error,
    intake::{
        take_in::EventIntake,
        validate::{StreamedEvent, ValidatedEvents},
    },
    limits::Admission,
};

/// Bytes of events from which on they are stored, before the rest is validated.
const PIECE: usize = 1 << 20;
/// Events that are validated before others have their turn.
const BREATH: usize = 64;
/// Events of one request. No letter stands for more, unless a person made it so.
const MOST_EVENTS: u64 = 1_000_000;

impl Incoming for Redrive {
    const INLET: Inlet = Inlet::Redrive;
    const DURABLE: Durable = Durable::IngestionRedrive;

    /// A piece at a time.
    async fn take_in(&self, intake: &EventIntake, admission: &mut Admission) -> Result<(), Error> {
        let mut validated = ValidatedEvents::default();
        let bodies = bodies(self);
        let events = bodies.iter().flat_map(|body| (0..body.count).map(|_| &body.bytes));
        for (index, body) in events.enumerate() {
            let event = StreamedEvent::again(self, index, body);
            intake.validator.validate_streamed(&event, &mut validated, admission)?;
            if validated.parts.bytes() >= PIECE {
                store(self, intake, &mut validated).await?;
                admission.give_back();
            } else if index % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
        }
        store(self, intake, &mut validated).await?;
        intake.dead_letters.store_redriven(&validated.rejected, self).await?;
        intake.telemetry.redriven(self, validated.accepted.len(), validated.rejected.total());
        Ok(())
    }
}

async fn store(request: &Redrive, intake: &EventIntake, validated: &mut ValidatedEvents) -> Result<(), Error> {
    validated.parts.redriven(request.letter);
    intake.log.store(std::mem::take(&mut validated.parts)).await
}

/// The bodies of a request. A list that cannot be read, or that would never end,
/// is validated as it stands, and fails as one event.
fn bodies(request: &Redrive) -> Vec<Body> {
    let count = |bodies: &[Body]| bodies.iter().fold(0, |sum: u64, body| sum.saturating_add(body.count));
    match request.bodies() {
        Ok(bodies) if count(&bodies) <= MOST_EVENTS => bodies,
        _ => vec![Body { count: 1, bytes: request.body.clone() }],
    }
}
