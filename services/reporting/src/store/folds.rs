//! Folds: one transaction for each chunk of a stream's messages.
//!
//! Each claims its unit's position first, and moves it last: what was folded
//! before changes nothing, and what does not follow is refused.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use tidemill_domain::{Partition, Timestamp};
use tidemill_events::AlertTransition;
use tidemill_store::Error;

use super::{
    Store, alerts, batch, books, cells, changes, counting, dead_letters, definitions, generations, kept,
    positions::{self, advance, claim},
    rollups, settlement,
};
use crate::{
    alerts::AlertRecord,
    batch::fold_of,
    books::BookEntry,
    dead_letters::ListedLetter,
    generations::GenerationsFold,
    read_model::MetricsFold,
    unit::{SequenceRange, StreamUnit},
};

/// What became of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Folded<T> {
    /// It is in the read model.
    Done(T),
    /// Its range does not follow what is folded: nothing was changed.
    DoesNotFollow,
}

impl Store {
    /// Writes gathered updates. What is stored and reaches further stays.
    /// Answers the number of the change to cells, if there was one.
    pub(crate) async fn fold_metrics(
        &self,
        range: SequenceRange,
        fold: &MetricsFold,
        now: Timestamp,
    ) -> Result<Folded<Option<u64>>, Error> {
        let mut tx = self.database.begin().await?;
        let floor = claim(&mut tx, StreamUnit::Metrics).await?;
        if floor < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        let fold = kept::of_fold(&mut tx, fold).await?;
        write_metrics(&mut tx, &fold, now).await?;
        let change = changes::note_change(&mut tx, &fold.cells).await?;
        rollups::note_fold(&mut tx, SequenceRange { after: floor, ..range }, &fold, change, now).await?;
        advance(&mut tx, StreamUnit::Metrics, range.last, &BTreeMap::new()).await?;
        tx.commit().await?;
        Ok(Folded::Done(change))
    }

    /// Writes gathered updates of generations, but for those that are retired. Answers the
    /// number of the change to cells, if there was one.
    pub(crate) async fn fold_generations(
        &self,
        range: SequenceRange,
        fold: &GenerationsFold,
        now: Timestamp,
    ) -> Result<Folded<Option<u64>>, Error> {
        let mut tx = self.database.begin().await?;
        let floor = claim(&mut tx, StreamUnit::Generations).await?;
        if floor < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        // Changes to cells are numbered one by one, whoever makes them.
        claim(&mut tx, StreamUnit::Metrics).await?;
        let mut fold = generations::write_inputs(&mut tx, fold, now).await?;
        // Generations keep all; of views, those that are late bring nothing back.
        if !fold.batch.is_empty() {
            fold.to_mut().batch.cells.forget_before(&kept::kept(&mut tx).await?);
        }
        cells::write(&mut tx, &fold.totals.cells).await?;
        counting::write(&mut tx, &fold.totals).await?;
        definitions::note_data(&mut tx, &fold.totals, now).await?;
        generations::write_progress(&mut tx, &fold).await?;
        generations::outcomes::write(&mut tx, &fold).await?;
        let change = changes::note_change(&mut tx, &fold.totals.cells).await?;
        rollups::mark_fold(&mut tx, &fold.totals, change, now).await?;
        if !fold.batch.is_empty() {
            let landed = batch::land(&mut tx, &fold.batch, now).await?;
            // Where nothing is new, another roll-up is due all the same: it comes from elsewhere.
            let change = changes::number_change(&mut tx, &landed.news).await?;
            rollups::mark_fold(&mut tx, &fold_of(landed.taken), Some(change), now).await?;
        }
        advance(&mut tx, StreamUnit::Generations, range.last, &BTreeMap::new()).await?;
        tx.commit().await?;
        Ok(Folded::Done(change))
    }

    /// Whether the database would hold gathered updates. Nothing is written.
    pub(crate) async fn try_fold_metrics(&self, fold: &MetricsFold) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
        write_metrics(&mut tx, fold, Timestamp::EPOCH).await?;
        changes::note_change(&mut tx, &fold.cells).await?;
        Ok(tx.rollback().await?)
    }

    /// Adds batches of the log to the books, each once, and settles the dead
    /// letters whose events are in them (`redriven`: the batch's sequence by
    /// letter). `heads` are the furthest sequences by partition.
    pub(crate) async fn fold_log(
        &self,
        range: SequenceRange,
        entries: &[BookEntry],
        heads: &BTreeMap<Partition, u64>,
        redriven: &BTreeMap<u64, u64>,
        now: Timestamp,
    ) -> Result<Folded<()>, Error> {
        let mut tx = self.database.begin().await?;
        let floor = claim(&mut tx, StreamUnit::Log).await?;
        if floor < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        books::add_intake(&mut tx, crate::books::fold(entries, floor)).await?;
        let fresh = redriven.iter().filter(|(_, raw_seq)| **raw_seq > floor).map(|(letter, seq)| (*letter, *seq));
        settlement::settle_accepted(&mut tx, &fresh.collect(), now).await?;
        advance(&mut tx, StreamUnit::Log, range.last, heads).await?;
        tx.commit().await?;
        Ok(Folded::Done(()))
    }

    /// Adds dead letters to the books and to the list, each once, and settles
    /// those whose event has failed again.
    pub(crate) async fn fold_dead_letters(
        &self,
        range: SequenceRange,
        entries: &[BookEntry],
        letters: &[ListedLetter],
        now: Timestamp,
    ) -> Result<Folded<()>, Error> {
        let mut tx = self.database.begin().await?;
        let floor = claim(&mut tx, StreamUnit::DeadLetters).await?;
        if floor < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        let mut fresh: Vec<&ListedLetter> = letters.iter().filter(|letter| letter.sequence > floor).collect();
        let repeated = dead_letters::repetitions(&mut tx, &fresh).await?;
        fresh.retain(|letter| !repeated.contains(&letter.sequence));
        let entries = entries.iter().filter(|entry| !repeated.contains(&entry.sequence));
        books::add_intake(&mut tx, crate::books::fold(entries, floor)).await?;
        dead_letters::add(&mut tx, &fresh).await?;
        settlement::settle_failed(&mut tx, &fresh, now).await?;
        advance(&mut tx, StreamUnit::DeadLetters, range.last, &BTreeMap::new()).await?;
        tx.commit().await?;
        Ok(Folded::Done(()))
    }

    /// Takes alerts through their transitions, which come with their stream
    /// sequences; answers the alerts that changed.
    pub(crate) async fn fold_alerts(
        &self,
        range: SequenceRange,
        transitions: &[(u64, AlertTransition)],
    ) -> Result<Folded<Vec<AlertRecord>>, Error> {
        let mut tx = self.database.begin().await?;
        let floor = claim(&mut tx, StreamUnit::Alerts).await?;
        if floor < range.after {
            return Ok(Folded::DoesNotFollow);
        }
        let fresh = transitions.iter().filter(|(sequence, _)| *sequence > floor);
        let changed = alerts::apply(&mut tx, fresh).await?;
        advance(&mut tx, StreamUnit::Alerts, range.last, &BTreeMap::new()).await?;
        tx.commit().await?;
        Ok(Folded::Done(changed))
    }
}

async fn write_metrics(connection: &mut AnyConnection, fold: &MetricsFold, now: Timestamp) -> Result<(), Error> {
    cells::write(connection, &fold.cells).await?;
    books::write_outcomes(connection, fold).await?;
    settlement::write_outcomes(connection, fold).await?;
    positions::write_progress(connection, fold, now).await?;
    counting::write(connection, fold).await?;
    definitions::note_data(connection, fold, now).await
}
