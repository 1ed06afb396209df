//! Events that come by a stream, one by one: of dead letters that are sent again, and what
//! the suite's services tell.

use bytes::Bytes;
use tidemill_domain::{EventId, Timestamp};
use tidemill_events::{MeasuredEvent, Redrive, TraceParent};
use uuid::Uuid;

use super::{EXPANSION, LINE_OVERHEAD, RequestTerms, ValidatedEvents, Validator, without_key};
use crate::{
    dead_letters::rejections::ClaimedIdentity,
    error::Error,
    intake::{
        formats::{self, Format},
        frame,
        normalise::Defaults,
    },
    limits::Admission,
};

/// An event that comes by a stream. It is the same event however often it comes: where it
/// does not say so itself, its id, its source and its time are these.
pub(crate) struct StreamedEvent<'r> {
    body: &'r Bytes,
    /// Its place among the events of its message.
    index: usize,
    id: String,
    /// Of the suite's own sources, it may claim this one alone.
    source: String,
    time: Timestamp,
    trace: Option<TraceParent>,
    redriven: Option<RedrivenBy>,
}

/// The request that sends an event again.
struct RedrivenBy {
    request: Uuid,
    letter: u64,
}

impl<'r> StreamedEvent<'r> {
    /// One of a dead letter. Its id follows from the letter, and from its place there if it
    /// is one of several.
    pub(crate) fn again(request: &'r Redrive, index: usize, body: &'r Bytes) -> Self {
        let id = match request.several {
            true => format!("redrive-{}-{index}", request.letter),
            false => {
                let id = request.event_id.clone().filter(|id| id.parse::<EventId>().is_ok());
                id.unwrap_or_else(|| format!("redrive-{}", request.letter))
            }
        };
        Self {
            body,
            index,
            id,
            // A letter has one of the suite's own sources only if its event came from there.
            source: request.source.clone(),
            time: request.first_failed_at,
            trace: request.trace,
            redriven: Some(RedrivenBy { request: request.id, letter: request.letter }),
        }
    }

    /// One that a service of the suite tells.
    pub(crate) fn measured(event: &'r MeasuredEvent, now: Timestamp) -> Self {
        let (id, source) = (event.id.clone(), event.source());
        Self { body: &event.body, index: 0, id, source, time: now, trace: None, redriven: None }
    }
}

impl Validator {
    /// Validates an event that comes by a stream as if it had been posted.
    pub(crate) fn validate_streamed(
        &self,
        event: &StreamedEvent<'_>,
        validated: &mut ValidatedEvents,
        admission: &mut Admission,
    ) -> Result<(), Error> {
        let StreamedEvent { body, index, id, source, time, trace, redriven } = event;
        let defaults = Defaults {
            now: *time,
            new_id: || id.clone(),
            clientip: None,
            // Its time has passed by: it is counted all the same.
            backfill: redriven.as_ref().and_then(|by| format!("redrive-{}", by.letter).parse().ok()),
            redriven: redriven.as_ref().map(|by| by.request),
        };
        let schemas = self.schemas.current();
        let terms = RequestTerms { defaults, own_source: Some(source), trace: *trace, schemas };
        // An editor may have put a mark before what was mended.
        let text = frame::unmarked(body.trim_ascii());
        let limits = &self.limits_config;
        let mut scratch = admission.scratch();
        scratch.cover(text.len().min(limits.event_bytes) * EXPANSION)?;
        let is_too_large = text.len() > limits.event_bytes;
        let format = if is_too_large { Format::Event } else { formats::of_letter(text) };
        let read = match is_too_large {
            true => Err(Error::EventTooLarge { limit: limits.event_bytes }),
            false => formats::read_again(&format, text, limits.depth, source),
        };
        let accepted = match read {
            Ok(envelope) => self.accept_envelope(envelope, &terms, validated),
            Err(error) => Err((ClaimedIdentity::default(), error)),
        };
        match accepted {
            Ok(line) => admission.charge(line + LINE_OVERHEAD),
            Err((claim, error)) => {
                // The letter of the next failure knows as much.
                let claim = ClaimedIdentity {
                    id: claim.id.or_else(|| id.parse().ok()),
                    source: claim.source.or_else(|| source.parse().ok()),
                    trace: claim.trace.or(*trace),
                };
                let kept = without_key(&format, (*body).clone(), admission)?;
                validated.rejected.add(*index, claim, format.as_sent(text, error), kept, admission)
            }
        }
    }
}
