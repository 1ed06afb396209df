//! What the suite's own services tell.

use tidemill_events::{Durable, MeasuredEvent};

use super::{Incoming, Inlet};
use crate::{
    error::Error,
    intake::{
        take_in::EventIntake,
        validate::{StreamedEvent, ValidatedEvents},
    },
    limits::Admission,
};

impl Incoming for MeasuredEvent {
    const INLET: Inlet = Inlet::Measured;
    const DURABLE: Durable = Durable::IngestionMeasured;

    async fn take_in(&self, intake: &EventIntake, admission: &mut Admission) -> Result<(), Error> {
        let EventIntake { validator, dead_letters, telemetry, log, .. } = intake;
        let mut validated = ValidatedEvents::default();
        let event = StreamedEvent::measured(self, validator.context.clock.now());
        validator.validate_streamed(&event, &mut validated, admission)?;
        log.store(std::mem::take(&mut validated.parts)).await?;
        dead_letters.store_measured(&validated.rejected, self).await?;
        telemetry.measured(validated.accepted.len(), validated.rejected.total());
        Ok(())
    }
}
