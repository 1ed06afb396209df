//! A unit that this replica has taken over, and what its readers record.

use std::sync::Arc;

use tidemill_domain::Code;
use tidemill_events::{DeadLetter, StreamName};
use tidemill_stage::DeadLetters;
use tidemill_store::{answered, refused};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    dependencies::until_done,
    error::Error,
    state::{CellName, StepChanges},
    store::UnitClaim,
};

/// What the readers of one unit share, from its take-over to its end.
#[derive(Clone)]
pub(super) struct OpenUnit {
    pub(super) app: Arc<App>,
    /// This take-over of the unit.
    pub(super) claim: UnitClaim,
    /// What its readers read.
    pub(super) stream: StreamName,
    /// Cancelled when the unit is to be given back.
    pub(super) stop: CancellationToken,
    pub(super) dead_letters: Arc<DeadLetters>,
}

impl OpenUnit {
    /// State, alerts and position in one transaction. What a reader keeps in
    /// memory has moved on already, so this is tried until it succeeds, or
    /// until the unit ends and its memory with it. Answers how many parts had to
    /// be set aside, since the store will never hold them.
    pub(super) async fn record(&self, changes: &StepChanges) -> Result<usize, Error> {
        if changes.is_empty() {
            return Ok(0);
        }
        match self.commit(changes).await {
            Err(Error::Store(error)) if error.is_refusal() => self.record_what_is_held(changes, &error).await,
            committed => committed.map(|()| 0),
        }
    }

    async fn commit(&self, changes: &StepChanges) -> Result<(), Error> {
        let App { store, notification, dependencies, telemetry, wake, .. } = &*self.app;
        let commit = || answered(store.commit(&self.claim, changes, *notification));
        let fresh = until_done(&dependencies.store, &self.stop, commit).await?;
        changes.alerts.iter().filter(|alert| fresh.contains(&alert.firing.id)).for_each(|a| telemetry.fired(&a.firing));
        if !fresh.is_empty() {
            wake.fired();
        }
        Ok(())
    }

    /// Finds what the store refuses of a step, puts that among the dead letters
    /// and commits the rest.
    async fn record_what_is_held(&self, changes: &StepChanges, why: &tidemill_store::Error) -> Result<usize, Error> {
        let App { store, dependencies, .. } = &*self.app;
        let trial = |parts: Vec<usize>| {
            let some = changes.with(&parts);
            async move {
                until_done(&dependencies.store, &self.stop, || answered(store.try_commit(&self.claim, &some))).await
            }
        };
        let is_refusal = |error: &Error| matches!(error, Error::Store(error) if error.is_refusal());
        let refused = refused(changes.parts(), trial, is_refusal).await?;
        for part in &refused {
            self.give_up_part(&changes.with(&[*part]), why).await?;
        }
        let kept: Vec<usize> = (0..changes.parts()).filter(|part| !refused.contains(part)).collect();
        self.commit(&changes.with(&kept)).await?;
        Ok(refused.len())
    }

    /// Puts a part of a step among the dead letters.
    async fn give_up_part(&self, part: &StepChanges, why: &tidemill_store::Error) -> Result<(), Error> {
        const CODE: Code = Code::StoreRefused;
        let (name, body) = name_and_body(part);
        self.dead_letters.admit(1, 1)?;
        let letter = self.dead_letters.letter(&format!("refused-{name}"), CODE, why.to_string(), 0).about(body.into());
        let letter = DeadLetter { sequence: None, first_failed_at: self.app.context.clock.now(), ..letter };
        self.give_up(letter, CODE).await
    }

    /// Stores a dead letter.
    pub(super) async fn give_up(&self, letter: DeadLetter, code: Code) -> Result<(), Error> {
        self.dead_letters.store(&letter).await?;
        self.app.telemetry.dead_letter(code, self.stream, letter.sequence.unwrap_or(0), &letter.reason);
        Ok(())
    }
}

/// What tells a part of a step from others, and the part itself as JSON.
fn name_and_body(part: &StepChanges) -> (String, Vec<u8>) {
    // What was read from JSON is JSON.
    let json = |value: Result<Vec<u8>, serde_json::Error>| value.unwrap_or_default();
    let cell = part.cells.first_key_value();
    if let Some(alert) = part.alerts.first() {
        (format!("alert-{}", alert.firing.id), json(serde_json::to_vec(&alert.firing)))
    } else if let Some((CellName { metric, version, start, dimensions, partition }, totals)) = cell {
        let body = json(serde_json::to_vec(&(metric, version, start, dimensions)));
        let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &body);
        (format!("cell-{hash}-{partition}-{}", totals.raw_seq), body)
    } else if let Some(seen) = &part.observations {
        (format!("observations-{}-{}", seen.partition, seen.raw_seq), json(serde_json::to_vec(&seen.entries)))
    } else {
        ("nothing".into(), Vec::new())
    }
}
