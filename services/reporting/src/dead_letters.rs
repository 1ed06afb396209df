//! Dead letters: listed from the store, their bodies read from the stream, and
//! what may be done with one.
//!
//! A letter is `dead` until somebody orders something. Ordered to be sent
//! again it is `redriving`, until its event is in the log (`accepted`) or has
//! failed once more (`failed_again`, as another letter). Or it is `discarded`.
//! The letter itself stays what it is: the outcome of its event's first
//! attempt. What is sent again is received anew, and so the books balance.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_events::{
    DeadLetter, Events,
    bodies::{self, Body},
    personal::Members,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{books, masking};

/// Characters of a reason that are kept.
const REASON: usize = 2000;
/// Bytes of a body that a list shows.
const BODY: usize = 4096;

/// Where a dead letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has done anything about it.
    #[default]
    Dead,
    /// Its event is on its way back to ingestion.
    Redriving,
    /// Its event is in the log.
    Accepted,
    /// Its event has failed once more, as another letter.
    FailedAgain,
    /// It is given up for good.
    Discarded,
}

/// What can be done with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Send its event again.
    Redrive,
    /// Give it up for good.
    Discard,
}

/// What is written down of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Its event was sent again.
    Redrive,
    /// It was given up for good.
    Discard,
    /// It was shown with what is personal in it.
    Unmask,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It is written down.
    Requested,
    /// It is on its way to ingestion.
    Sent,
    /// The event is in the log.
    Accepted,
    /// The event has failed once more.
    FailedAgain,
    /// The letter is discarded.
    Done,
    /// The letter's body was gone before it could be sent.
    Lost,
}

macro_rules! names {
    ($type:ident, $what:literal: $($variant:ident = $name:literal),+) => {
        impl $type {
            /// The name, as in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($name => Ok(Self::$variant),)+ _ => Err($what) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

names!(State, "must be dead, redriving, accepted, failed_again or discarded":
    Dead = "dead", Redriving = "redriving", Accepted = "accepted", FailedAgain = "failed_again",
    Discarded = "discarded");
names!(Kind, "must be redrive or discard": Redrive = "redrive", Discard = "discard");
names!(Act, "must be redrive, discard or unmask": Redrive = "redrive", Discard = "discard", Unmask = "unmask");
names!(Progress, "must be requested, sent, accepted, failed_again, done or lost":
    Requested = "requested", Sent = "sent", Accepted = "accepted", FailedAgain = "failed_again", Done = "done",
    Lost = "lost");

/// A dead letter, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Letter {
    /// Its sequence in the stream of dead letters.
    pub sequence: u64,
    /// Its name, which a repetition of its publish shares.
    #[serde(default)]
    pub id: String,
    /// Who gave the event up.
    pub service: String,
    /// The stable code of the reason.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// JSON Pointer to what is wrong.
    pub pointer: Option<String>,
    /// Events that it stands for: those of one request that failed alike are
    /// one letter.
    #[serde(default = "one")]
    pub count: u64,
    /// Whether their bodies are kept. Events beyond what their sender may have
    /// kept are counted alone.
    #[serde(default = "yes")]
    pub kept: bool,
    /// The event's source, as it claims.
    pub source: Option<String>,
    /// The event's id; of several, that of the first.
    pub event_id: Option<String>,
    /// When it first failed.
    #[schema(value_type = String, format = DateTime)]
    pub failed_at: Timestamp,
    /// The event's trace.
    pub trace_id: Option<String>,
    /// The letter whose event was sent again and failed as this one.
    #[serde(default)]
    pub redriven_from: Option<u64>,
    /// Where it stands.
    #[serde(default)]
    pub state: State,
    /// Sequence in `RAW` of the batch that has its event, once it is accepted.
    #[serde(default)]
    pub raw_sequence: Option<u64>,
    /// The letter as which its event has failed again.
    #[serde(default)]
    pub failed_again_as: Option<u64>,
    /// The body as text, at most 4 KiB of it, of several the first, and without
    /// what is personal; `null` where nothing is kept, once the stream has
    /// forgotten it, or while the stream is away.
    #[serde(default)]
    pub body: Option<String>,
}

const fn one() -> u64 {
    1
}

const fn yes() -> bool {
    true
}

impl Letter {
    /// Without the body, and nothing done about it.
    pub fn new(sequence: u64, letter: &DeadLetter) -> Self {
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
            state: State::Dead,
            raw_sequence: None,
            failed_again_as: None,
            body: None,
        }
    }

    /// The letter that stays behind in the stream when this one is deleted:
    /// books that are made anew must find the outcome of an event that they find
    /// in the log. It has the same name, so that whoever knows the letter takes
    /// it for a repetition. `None` where the log has no such event.
    pub fn trace_left(&self) -> Option<DeadLetter> {
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

    /// As it is shown to whoever did not ask for all of it; see [`masking`].
    #[must_use]
    pub fn masked(self) -> Self {
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
    pub fn refusal(&self, kind: Kind, force: bool) -> Option<Refusal> {
        match (kind, self.state) {
            // The event behind it has its outcome: to send it again would only
            // make a duplicate of it.
            (Kind::Redrive, _) if !books::is_outcome(&self.service) => Some(Refusal::NotAnEvent),
            (Kind::Redrive, _) if !self.kept => Some(Refusal::NotKept),
            (_, State::Dead | State::FailedAgain) => None,
            (Kind::Discard, State::Discarded) => Some(Refusal::Discarded),
            (Kind::Discard, State::Accepted) => Some(Refusal::Accepted),
            // Its body is gone from the stream.
            (Kind::Redrive, State::Discarded) => Some(Refusal::Discarded),
            _ if force => None,
            (_, State::Redriving) => Some(Refusal::Redriving),
            (_, State::Accepted) => Some(Refusal::Accepted),
        }
    }
}

/// Why an order for a letter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
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

impl Refusal {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_dead_letter",
            Self::NotAnEvent => "not_an_event",
            Self::NotKept => "not_kept",
            Self::Redriving => "already_redriving",
            Self::Accepted => "already_accepted",
            Self::Discarded => "already_discarded",
            Self::Overtaken => "overtaken",
        }
    }
}

/// Which letters are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Given up by this service.
    pub service: Option<String>,
    /// For this reason.
    pub code: Option<String>,
    /// Events of this source.
    pub source: Option<String>,
    /// Failed at or after it.
    pub since: Option<Timestamp>,
    /// Failed before it.
    pub until: Option<Timestamp>,
    /// In this state.
    pub state: Option<State>,
}

/// An order for letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveRequest {
    /// Its name. An order for many letters takes several calls, which share it.
    pub request: Uuid,
    /// What is to be done.
    pub kind: Kind,
    /// Whether letters are meant that something was done about before.
    pub force: bool,
    /// Who ordered it.
    pub by: String,
    /// The name of their key.
    pub key: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// The mended event; empty where the letter's own body goes.
    pub body: Vec<u8>,
}

impl RedriveRequest {
    /// The name of what is done with one letter: a call that is repeated does
    /// nothing twice.
    pub fn action(&self, letter: u64) -> Uuid {
        Uuid::new_v5(&self.request, &letter.to_be_bytes())
    }
}

/// One order for one letter, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Action {
    /// Its number; later ones have higher numbers.
    pub number: u64,
    /// The order that it is a part of.
    #[schema(value_type = String, format = "uuid")]
    pub request: Uuid,
    /// The letter.
    pub letter: u64,
    /// What was done.
    pub kind: Act,
    /// How far it has come.
    pub state: Progress,
    /// Who ordered it.
    pub by: String,
    /// The name of their key, `anybody` where none is needed.
    pub key: String,
    /// Why.
    pub reason: String,
    /// When it was ordered.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether another body than the letter's was sent.
    pub mended: bool,
    /// When it was settled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub settled_at: Option<Timestamp>,
    /// Sequence in `RAW` of the batch that has the event.
    pub raw_sequence: Option<u64>,
    /// The letter as which the event has failed again.
    pub failed_again_as: Option<u64>,
}

/// Which actions are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionFilter {
    /// For this letter.
    pub letter: Option<u64>,
    /// Of this order.
    pub request: Option<Uuid>,
    /// Ordered by them.
    pub by: Option<String>,
    /// Of this kind.
    pub kind: Option<Act>,
    /// That have come this far.
    pub state: Option<Progress>,
    /// With a lower number: the next page.
    pub before: Option<u64>,
}

/// The letter's body as text, or those of several events as a list, without
/// what is personal; `None` where nothing is kept.
pub fn masked_body(letter: &DeadLetter) -> Option<String> {
    let kept = letter.bodies().ok().filter(|bodies| !bodies.is_empty())?;
    let personal = Members::new(letter.personal.iter().cloned());
    let mask = |body: &Body| masking::body(&body.bytes, &personal);
    match letter.events {
        Events::Several(_) => {
            let masked = |body: &Body| Body { bytes: mask(body).into(), ..*body };
            let list = bodies::encode(&kept.iter().map(masked).collect::<Vec<_>>()).ok()?;
            String::from_utf8(list.into()).ok()
        }
        Events::One | Events::Counted(_) => kept.first().map(mask),
    }
}

/// The letter's body, or the first of several, as a list shows it; `None` where
/// nothing is kept.
pub fn excerpt_of(letter: &DeadLetter) -> Option<String> {
    let bodies = letter.bodies().ok()?;
    let personal = Members::new(letter.personal.iter().cloned());
    bodies.first().map(|body| excerpt(masking::body(&body.bytes, &personal)))
}

/// As much of a text as a list shows.
fn excerpt(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(BODY));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_ends_between_characters() {
        assert_eq!(excerpt("ab".into()), "ab");
        let long = format!("{}{}", "x".repeat(BODY - 1), "\u{1f600}");
        assert_eq!(excerpt(long), "x".repeat(BODY - 1));
    }

    #[test]
    fn what_is_done_is_not_done_again_by_mistake() {
        let of = |service: &str, state, kind, force| {
            let letter = crate::testing::dead_letter(service, None);
            Letter { state, ..Letter::new(1, &letter) }.refusal(kind, force).map(Refusal::code)
        };
        for state in [State::Dead, State::FailedAgain] {
            assert_eq!(of("ingestion", state, Kind::Redrive, false), None);
            assert_eq!(of("alert", state, Kind::Discard, false), None);
        }
        for (state, code, forced) in [
            (State::Redriving, "already_redriving", None),
            (State::Accepted, "already_accepted", None),
            // The stream has it no more.
            (State::Discarded, "already_discarded", Some("already_discarded")),
        ] {
            assert_eq!(of("enrichment", state, Kind::Redrive, false), Some(code));
            assert_eq!(of("enrichment", state, Kind::Redrive, true), forced);
            assert_eq!(of("enrichment", state, Kind::Discard, false), Some(code));
        }
        assert_eq!(of("ingestion", State::Accepted, Kind::Discard, true), Some("already_accepted"));
        assert_eq!(of("alert", State::Dead, Kind::Redrive, true), Some("not_an_event"));
        let counted = DeadLetter { events: Events::Counted(3), ..crate::testing::dead_letter("ingestion", None) };
        let counted = Letter::new(1, &counted);
        assert_eq!(counted.refusal(Kind::Redrive, true), Some(Refusal::NotKept));
        assert_eq!((counted.refusal(Kind::Discard, false), counted.count), (None, 3));
    }

    #[test]
    fn names_are_those_of_json() {
        for state in [State::Dead, State::Redriving, State::Accepted, State::FailedAgain, State::Discarded] {
            assert_eq!(serde_json::to_value(state).expect("JSON"), state.as_str());
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("mended".parse::<State>().is_err());
    }
}
