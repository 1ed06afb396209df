//! Window totals of generations.

use std::time::Duration;

use tidemill_events::GenerationUpdate;

use super::recipe::Recipe;
use crate::{
    error::Error,
    generations::GenerationsFold,
    state::Reporting,
    store::Folded,
    unit::{SequenceRange, StreamUnit},
};

pub(super) struct GenerationsRecipe;

impl Recipe for GenerationsRecipe {
    const UNIT: StreamUnit = StreamUnit::Generations;
    /// One that is served has readers, as the live totals have. One that is made has much to tell, and several
    /// partitions tell of one window at about one time.
    const PACE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
    type Message = GenerationUpdate;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, GenerationUpdate)>,
    ) -> Result<Folded<()>, Error> {
        let mut fold = GenerationsFold::default();
        messages.into_iter().for_each(|(_, update)| fold.observe(update));
        let now = reporting.now();
        let Folded::Done(change) = reporting.store.fold_generations(range, &fold, now).await? else {
            return Ok(Folded::DoesNotFollow);
        };
        if !fold.inputs.is_empty() {
            reporting.versions_stored(reporting.store.versions().await?);
        }
        if !fold.batch.is_empty() {
            reporting.windows.doubt();
        }
        reporting.cells_folded(&fold.totals.cells, now);
        change.into_iter().for_each(|number| reporting.seen.change(number));
        reporting.telemetry.cells(fold.totals.cells.len());
        Ok(Folded::Done(()))
    }
}
