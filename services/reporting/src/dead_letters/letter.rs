//! A dead letter, as the read model keeps it.

use serde::{Deserialize, Serialize};
use tidemill_domain::{Code, Timestamp};
use tidemill_events::{DeadLetter, Events};
use utoipa::ToSchema;

use super::{
    masking,
    names::{LetterState, RequestKind},
};
use crate::books;

#[cfg(test)]
mod tests;

/// Databases know no larger whole number.
pub(crate) const MAX_SEQUENCE: u64 = i64::MAX as u64;
/// Characters of a reason that are kept.
const REASON: usize = 2000;

/// A dead letter, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Letter)]
pub(crate) struct ListedLetter {
    /// Its sequence in the stream of dead letters.
    pub(crate) sequence: u64,
    /// Its name, which a repetition of its publish shares.
    #[serde(default)]
    pub(crate) id: String,
    /// Who gave the event up.
    pub(crate) service: String,
    /// The stable code of the reason.
    pub(crate) code: String,
    /// The reason in words.
    pub(crate) reason: String,
    /// JSON Pointer to what is wrong.
    pub(crate) pointer: Option<String>,
    /// Events that it stands for: those of one request that failed alike are
    /// one letter.
    #[serde(default = "one")]
    pub(crate) count: u64,
    /// Whether their bodies are kept. Events beyond what their sender may have
    /// kept are counted alone.
    #[serde(default = "yes")]
    pub(crate) kept: bool,
    /// The event's source, as it claims.
    pub(crate) source: Option<String>,
    /// The event's id; of several, that of the first.
    pub(crate) event_id: Option<String>,
    /// When it first failed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) failed_at: Timestamp,
    /// The event's trace.
    pub(crate) trace_id: Option<String>,
    /// The letter whose event was sent again and failed as this one.
    #[serde(default)]
    pub(crate) redriven_from: Option<u64>,
    /// Where it stands.
    #[serde(default)]
    pub(crate) state: LetterState,
    /// Sequence in `RAW` of the batch that has its event, once it is accepted.
    #[serde(default)]
    pub(crate) raw_sequence: Option<u64>,
    /// The letter as which its event has failed again.
    #[serde(default)]
    pub(crate) failed_again_as: Option<u64>,
    /// The body as text, at most 4 KiB of it, of several the first, and without
    /// what is personal; `null` where nothing is kept, once the stream has
    /// forgotten it, or while the stream is away.
    #[serde(default)]
    pub(crate) body: Option<String>,
}

const fn one() -> u64 {
    1
}

const fn yes() -> bool {
    true
}

impl ListedLetter {
    /// Without the body, and nothing done about it.
    pub(crate) fn new(sequence: u64, letter: &DeadLetter) -> Self {
        Self {
            sequence,
            id: letter.id.clone(),
            service: letter.service.clone(),
            code: letter.code.clone(),
            reason: letter.reason.chars().take(REASON).collect(),
            pointer: letter.pointer.clone(),
            count: letter.events.count(),
            kept: letter.events.are_kept(),
            source: Some(letter.source.clone()),
            event_id: letter.event_id.clone(),
            failed_at: letter.first_failed_at,
            trace_id: letter.trace.map(|trace| trace.trace_id_hex()),
            redriven_from: letter.redriven_from,
            state: LetterState::Dead,
            raw_sequence: None,
            failed_again_as: None,
            body: None,
        }
    }

    /// The letter that stays behind in the stream when this one is deleted.
    /// Books that are made anew find the event in the log, and need its
    /// outcome. It has the same name, so that readers take it for a repetition.
    /// `None` where the log has no such event.
    pub(crate) fn trace_left(&self) -> Option<DeadLetter> {
        let left = books::is_outcome_of_accepted(&self.service) && !self.id.is_empty();
        left.then(|| DeadLetter {
            first_failed_at: self.failed_at,
            source: self.source.clone().unwrap_or_default(),
            event_id: self.event_id.clone(),
            redriven_from: self.redriven_from,
            events: Events::Counted(self.count),
            ..DeadLetter::new(&self.service, self.id.clone(), &self.code, "discarded".into())
        })
    }

    /// Without what is personal; see [`masking`].
    #[must_use]
    pub(crate) fn masked(self) -> Self {
        let of = |text: Option<String>| text.map(|text| masking::text(&text).into_owned());
        Self {
            reason: masking::text(&self.reason).into_owned(),
            pointer: of(self.pointer),
            source: of(self.source),
            event_id: of(self.event_id),
            ..self
        }
    }

    /// Why an order is refused, if it is. `force` overrules what only guards
    /// against mistakes.
    pub(crate) fn refusal(&self, kind: RequestKind, force: bool) -> Option<ActionRefusal> {
        match (kind, self.state) {
            // The event behind it has its outcome: to send it again would only
            // make a duplicate of it.
            (RequestKind::Redrive, _) if !books::is_outcome(&self.service) => Some(ActionRefusal::NotAnEvent),
            (RequestKind::Redrive, _) if !self.kept => Some(ActionRefusal::NotKept),
            (_, LetterState::Dead | LetterState::FailedAgain) => None,
            (RequestKind::Discard, LetterState::Discarded) => Some(ActionRefusal::Discarded),
            (RequestKind::Discard, LetterState::Accepted) => Some(ActionRefusal::Accepted),
            // Its body is gone from the stream.
            (RequestKind::Redrive, LetterState::Discarded) => Some(ActionRefusal::Discarded),
            _ if force => None,
            (_, LetterState::Redriving) => Some(ActionRefusal::Redriving),
            (_, LetterState::Accepted) => Some(ActionRefusal::Accepted),
        }
    }
}

/// Why an order for a letter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ActionRefusal {
    /// There is none with this sequence.
    #[error("there is no such dead letter, or it is forgotten")]
    Unknown,
    /// It holds a message that a reader could not read.
    #[error("it is a reader's failure: the event itself has its outcome")]
    NotAnEvent,
    /// It counts events of which nothing is kept.
    #[error("nothing is kept of the events that it counts")]
    NotKept,
    /// Its event is on its way.
    #[error("its event is on its way to ingestion already")]
    Redriving,
    /// Its event is in the log.
    #[error("its event is in the log already")]
    Accepted,
    /// It was given up.
    #[error("it is discarded")]
    Discarded,
    /// Somebody else was quicker.
    #[error("somebody else has just ordered something for it")]
    Overtaken,
}

impl ActionRefusal {
    /// The stable code.
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::Unknown => Code::UnknownDeadLetter,
            Self::NotAnEvent => Code::NotAnEvent,
            Self::NotKept => Code::NotKept,
            Self::Redriving => Code::AlreadyRedriving,
            Self::Accepted => Code::AlreadyAccepted,
            Self::Discarded => Code::AlreadyDiscarded,
            Self::Overtaken => Code::Overtaken,
        }
    }
}

/// Which letters are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LetterFilter {
    /// Given up by this service.
    pub(crate) service: Option<String>,
    /// For this reason.
    pub(crate) code: Option<String>,
    /// Events of this source.
    pub(crate) source: Option<String>,
    /// Failed at or after it.
    pub(crate) since: Option<Timestamp>,
    /// Failed before it.
    pub(crate) until: Option<Timestamp>,
    /// In this state.
    pub(crate) state: Option<LetterState>,
}
