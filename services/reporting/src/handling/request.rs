//! An order for dead letters, as it is asked for, and what is wrong with it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use tidemill_domain::{Timestamp, text::has_control};
use tidemill_events::bodies;
use tidemill_service::FieldError;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    dead_letters::{LetterFilter, LetterState, MASK, MAX_SEQUENCE, RequestKind},
    error::Error,
    store::StoredLetter,
};

#[cfg(test)]
mod tests;

/// Bytes of a mended event: the most that ingestion lets through.
const MAX_EVENT: usize = 128 << 10;
/// Bytes of a list of mended events: twice what a letter holds of them.
const MAX_LIST: usize = 512 << 10;
/// Letters that one call orders something for.
pub(super) const AT_ONCE: u16 = 1000;
/// Characters of `by` and of `reason`.
const MAX_NAME: usize = 200;
const MAX_REASON: usize = 2000;

/// Which letters are meant. Without a state, those that are dead.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FilterRequest {
    /// Given up by this service.
    service: Option<String>,
    /// For this reason.
    code: Option<String>,
    /// Events of this source.
    source: Option<String>,
    /// Failed at or after it (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Failed before it (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Where they stand.
    state: Option<LetterState>,
}

impl From<FilterRequest> for LetterFilter {
    fn from(asked: FilterRequest) -> Self {
        let FilterRequest { service, code, source, since, until, state } = asked;
        Self { service, code, source, since, until, state: state.or(Some(LetterState::Dead)) }
    }
}

/// What is to be done with which letters: either `sequences` or `filter`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderRequest {
    /// These letters, at most 1000.
    #[schema(value_type = Option<Vec<u64>>)]
    pub(super) sequences: Option<BTreeSet<u64>>,
    /// All letters like that, the oldest first, 1000 a call.
    pub(super) filter: Option<FilterRequest>,
    /// With `filter`: `next` of the call before.
    #[serde(default)]
    pub(super) after: u64,
    /// With `filter`: letters in this call.
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u16>,
    /// Only tell what would be done.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Also those that something was done about before.
    #[serde(default)]
    pub(super) force: bool,
    /// Who orders it.
    #[schema(min_length = 1, max_length = 200)]
    pub(super) by: String,
    /// Why; needed to discard.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub(super) reason: String,
    /// `request` of an earlier call that this one goes on with or repeats: for
    /// one letter it does nothing twice.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub(super) request: Option<Uuid>,
    /// To redrive exactly one of `sequences`: the mended event, as a JSON
    /// object, or as a text that holds it. For a letter of several events, their
    /// list as `body` of the letter shows it.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) body: Option<Box<RawValue>>,
}

impl OrderRequest {
    /// Checks it; answers the mended event, empty where there is none.
    pub(super) fn check(&self, kind: RequestKind) -> Result<Vec<u8>, Error> {
        let mut errors = Vec::new();
        let mut wrong = |pointer: &str, detail: &str| {
            errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        };
        self.check_letters(&mut wrong);
        self.check_author(kind, &mut wrong);
        let body = self.body.as_deref().map(mended).unwrap_or_default();
        if self.body.is_some() {
            self.check_body(kind, &body, &mut wrong);
        }
        if errors.is_empty() { Ok(body) } else { Err(Error::Request(errors)) }
    }

    /// Which letters are meant.
    fn check_letters(&self, wrong: &mut impl FnMut(&str, &str)) {
        match (&self.sequences, &self.filter) {
            (Some(sequences), None) if sequences.is_empty() => wrong("/sequences", "must not be empty"),
            (Some(sequences), None) if sequences.len() > usize::from(AT_ONCE) => {
                wrong("/sequences", "must be at most 1000")
            }
            (Some(sequences), None) if sequences.last().is_some_and(|last| *last > MAX_SEQUENCE) => {
                wrong("/sequences", "must not hold a sequence that no letter can have")
            }
            (Some(_), None) | (None, Some(_)) => {}
            (Some(_), Some(_)) => wrong("/filter", "must not stand beside sequences"),
            (None, None) => wrong("", "needs sequences or a filter"),
        }
        if let Some(FilterRequest { service, code, source, .. }) = &self.filter {
            for (pointer, text) in [("/filter/service", service), ("/filter/code", code), ("/filter/source", source)] {
                if text.as_deref().is_some_and(has_control) {
                    wrong(pointer, "must not hold control characters");
                }
            }
        }
        if self.after > MAX_SEQUENCE {
            wrong("/after", "is a sequence that no letter can have");
        }
        if self.limit.is_some_and(|limit| !(1..=AT_ONCE).contains(&limit)) {
            wrong("/limit", "must be between 1 and 1000");
        }
    }

    /// Who orders it, and why.
    fn check_author(&self, kind: RequestKind, wrong: &mut impl FnMut(&str, &str)) {
        for (pointer, text, most) in [("/by", &self.by, MAX_NAME), ("/reason", &self.reason, MAX_REASON)] {
            if text.chars().count() > most || text.chars().any(|c| c.is_control() && c != '\n') {
                wrong(pointer, &format!("must be at most {most} characters, and none of them control characters"));
            }
        }
        if self.by.trim().is_empty() {
            wrong("/by", "must say who orders it");
        }
        if kind == RequestKind::Discard && self.reason.trim().is_empty() {
            wrong("/reason", "must say why they are given up");
        }
    }

    fn check_body(&self, kind: RequestKind, body: &[u8], wrong: &mut impl FnMut(&str, &str)) {
        let is_one = self.sequences.as_ref().is_some_and(|sequences| sequences.len() == 1);
        match kind {
            RequestKind::Discard => wrong("/body", "is for a redrive"),
            RequestKind::Redrive if !is_one => wrong("/body", "is for exactly one of sequences"),
            RequestKind::Redrive if body.trim_ascii().is_empty() => wrong("/body", "must not be empty"),
            RequestKind::Redrive if !self.force && is_masked(body) => {
                wrong("/body", "is of a letter that was shown masked; ask for it unmasked, or set force")
            }
            RequestKind::Redrive if body.len() > MAX_LIST => wrong("/body", "must be at most 524288 bytes"),
            RequestKind::Redrive => {}
        }
    }
}

/// A mended body has the form of the letter's own.
pub(super) fn check_mended(found: &[StoredLetter], body: &[u8]) -> Result<(), Error> {
    let several = found.iter().any(|found| found.letter.count > 1);
    match (several, bodies::decode(body)) {
        (true, Err(error)) => Err(wrong("/body", format!("must be a list of bodies, as the letter's own: {error}"))),
        (true, Ok(_)) => Ok(()),
        (false, _) if body.len() > MAX_EVENT => Err(wrong("/body", format!("must be at most {MAX_EVENT} bytes"))),
        (false, _) => Ok(()),
    }
}

/// Whether a mask was left in a mended body, or in one of several.
fn is_masked(body: &[u8]) -> bool {
    let holds = |body: &[u8]| body.windows(MASK.len()).any(|part| part == MASK.as_bytes());
    holds(body) || bodies::decode(body).is_ok_and(|bodies| bodies.iter().any(|body| holds(&body.bytes)))
}

/// The mended event: JSON as it is written, or the content of a JSON text.
fn mended(body: &RawValue) -> Vec<u8> {
    let text = serde_json::from_str::<String>(body.get());
    text.map_or_else(|_| body.get().as_bytes().to_vec(), String::into_bytes)
}

fn wrong(pointer: &str, detail: String) -> Error {
    Error::Request(vec![FieldError { pointer: pointer.into(), detail }])
}
