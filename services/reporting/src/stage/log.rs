//! Batches of the log, for the books.

use std::{collections::BTreeMap, time::Duration};

use tidemill_domain::Partition;
use tidemill_events::RawBatch;

use super::recipe::Recipe;
use crate::{
    books::BookEntry,
    error::Error,
    state::Reporting,
    store::Folded,
    unit::{SequenceRange, StreamUnit},
};

pub(super) struct LogRecipe;

impl Recipe for LogRecipe {
    const UNIT: StreamUnit = StreamUnit::Log;
    /// The books are told of once a second.
    const PACE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
    type Message = RawBatch;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, RawBatch)>,
    ) -> Result<Folded<()>, Error> {
        let entries: Vec<BookEntry> =
            messages.iter().map(|(sequence, batch)| BookEntry::of_batch(*sequence, batch)).collect();
        // In stream order, so that the last of a partition is the furthest.
        let heads: BTreeMap<Partition, u64> =
            messages.iter().map(|(sequence, batch)| (batch.partition, *sequence)).collect();
        let redriven = messages.iter().flat_map(|(sequence, batch)| batch.redriven.iter().map(|l| (*l, *sequence)));
        let redriven: BTreeMap<u64, u64> = redriven.collect();
        let now = reporting.now();
        let Folded::Done(()) = reporting.store.fold_log(range, &entries, &heads, &redriven, now).await? else {
            return Ok(Folded::DoesNotFollow);
        };
        reporting.log_folded(&heads);
        Ok(Folded::Done(()))
    }
}
