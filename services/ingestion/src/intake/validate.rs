//! From the bytes of a request to a verdict on each of its events. No clock
//! but the one it is given, no network: what it says of a body can be tested
//! with any body.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};

use bytes::Bytes;
use tidemill_domain::{BackfillName, PartitionCount, Timestamp};
use tidemill_events::{TraceParent, is_own_source};
use tidemill_service::{Caller, Context, trace};
use tracing::Span;

pub(crate) use self::streamed::StreamedEvent;
use super::{
    claims::{claim, claim_of},
    envelope::Envelope,
    formats::Format,
    hints::Hints,
    inflate::{Encoding, inflate},
    normalise::{Defaults, SENT_AT, normalise},
    schema::{EventData, SchemaRegistry, Schemas},
    tree::Tree,
    verbatim::{MOST_ADDED, VerbatimEvent},
};
use crate::{
    config::{EXPANSION, RequestLimitsConfig},
    dead_letters::rejections::{ClaimedIdentity, MAX_BODY, Rejections},
    error::{Error, clip},
    limits::{Admission, RequestLimits},
    log::Parts,
    telemetry::event_span,
};

/// Traced events of one request that get a span of their own.
const MAX_TRACED: usize = 8;
/// What an accepted event takes beside its line: its source, its place, a hash.
const LINE_OVERHEAD: usize = 128;

/// Validates events.
pub(crate) struct Validator {
    pub(crate) context: Context,
    pub(crate) limits: Arc<RequestLimits>,
    pub(crate) limits_config: RequestLimitsConfig,
    pub(crate) batch_bytes: usize,
    pub(crate) schemas: SchemaRegistry,
    pub(crate) partitions: PartitionCount,
    pub(crate) hasher: RandomState,
}

/// What a request brings.
pub(crate) struct Submission {
    pub(crate) caller: Caller,
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
    pub(crate) body: Bytes,
    /// The address that becomes `clientip`.
    pub(crate) clientip: Option<IpAddr>,
    /// The history that the request says it is.
    pub(crate) backfill: Option<BackfillName>,
    /// The request's own trace.
    pub(crate) trace: Option<TraceParent>,
}

/// One event of it, as it stands there.
#[derive(Clone, Copy)]
struct SentEvent<'f, 't> {
    format: &'f Format,
    text: &'t [u8],
    /// When it was sent, where its batch says so.
    sent_at: Option<Timestamp>,
}

/// What is the same for all events of a request.
struct RequestTerms<'r, F> {
    defaults: Defaults<F>,
    /// The one of the suite's own sources that its events may claim.
    own_source: Option<&'r str>,
    trace: Option<TraceParent>,
    schemas: Arc<Schemas>,
}

/// The trace of an event that was given its span.
struct EventTrace {
    /// What the event says.
    traceparent: Option<TraceParent>,
    /// What its batch links to.
    recorded: Option<TraceParent>,
}

/// A verdict on each event of a request.
#[derive(Default)]
pub(crate) struct ValidatedEvents {
    /// The accepted events, ready for the log.
    pub(crate) parts: Parts,
    /// A hash of source and id of each of them.
    pub(crate) accepted: Vec<u64>,
    pub(crate) rejected: Rejections,
    /// What their sender is told of the accepted ones.
    pub(crate) hints: Hints,
    /// Whether the one verdict is the answer.
    pub(crate) single: bool,
    /// Spans of traced events; they end when the events are stored.
    pub(crate) spans: Vec<Span>,
}

impl Validator {
    /// Validates every event of a submission. An error is about the submission as a
    /// whole.
    pub(crate) fn validate(&self, submission: Submission, admission: &mut Admission) -> Result<ValidatedEvents, Error> {
        let Submission { caller, format, encoding, body, clientip, backfill, trace } = submission;
        let body = inflate(encoding, body, self.limits_config.inflated_bytes, admission)?;
        let items = format.split(&body, self.limits_config.events_per_request)?;
        admission.charge(items.texts.len() * size_of::<&[u8]>())?;
        self.limits.spend(&caller, items.texts.len())?;

        let now = self.context.clock.now();
        let new_id = || self.context.new_id().to_string();
        let defaults = Defaults { now, new_id, clientip, backfill, redriven: None };
        let terms = RequestTerms { defaults, own_source: None, trace, schemas: self.schemas.current() };
        let hints = Hints::wanted(!matches!(format, Format::Call(_) | Format::Calls));
        let mut validated = ValidatedEvents { single: items.single, hints, ..ValidatedEvents::default() };
        let (mut scratch, mut tree) = (admission.scratch(), Tree::default());
        for (index, text) in items.texts.iter().copied().enumerate() {
            scratch.cover(text.len().min(self.limits_config.event_bytes) * EXPANSION)?;
            let sent = SentEvent { format: &format, text, sent_at: items.sent_at };
            match self.accept(sent, &mut tree, &terms, &mut validated) {
                Ok(line) => admission.charge(line + LINE_OVERHEAD)?,
                Err((claim, error)) => {
                    let whole = format.whole(text, items.sent_at, MAX_BODY);
                    admission.charge(whole.as_ref().map_or(0, String::len))?;
                    let part = || body.slice_ref(&text[..text.len().min(MAX_BODY)]);
                    let kept = without_key(&format, whole.map_or_else(part, Bytes::from), admission)?;
                    validated.rejected.add(index, claim, error, kept, admission)?;
                }
            }
        }
        Ok(validated)
    }

    /// One event's way from text to its line in a part; answers the line's
    /// length.
    fn accept<'t>(
        &self,
        sent: SentEvent<'_, 't>,
        tree: &mut Tree<'t>,
        terms: &RequestTerms<'_, impl Fn() -> String>,
        validated: &mut ValidatedEvents,
    ) -> Result<usize, (ClaimedIdentity, Error)> {
        let SentEvent { format, text, sent_at } = sent;
        let limit = self.limits_config.event_bytes;
        if text.len() > limit {
            return Err((ClaimedIdentity::default(), Error::EventTooLarge { limit }));
        }
        if let Some(line) = self.accept_verbatim(sent, tree, terms, validated) {
            return Ok(line);
        }
        let read = format.read(text, self.limits_config.depth);
        let mut envelope = read.map_err(|error| (terms.believed(claim_of(format, text)), error))?;
        if let Some(sent_at) = sent_at {
            envelope.attributes.entry(SENT_AT).or_insert_with(|| sent_at.to_string().into());
        }
        let accepted = self.accept_envelope(envelope, terms, validated);
        accepted.map_err(|(claim, error)| (claim, format.as_sent(text, error)))
    }

    /// The way of an event that is right as it was sent. `None` where it is to be
    /// written anew, or refused: then nothing was done.
    fn accept_verbatim<'t>(
        &self,
        sent: SentEvent<'_, 't>,
        tree: &mut Tree<'t>,
        terms: &RequestTerms<'_, impl Fn() -> String>,
        validated: &mut ValidatedEvents,
    ) -> Option<usize> {
        let has_room = sent.text.len() + MOST_ADDED <= self.limits_config.event_bytes;
        if !sent.format.is_structured() || !has_room {
            return None;
        }
        let mut event = VerbatimEvent::of(tree.read(sent.text, self.limits_config.depth)?)?;
        if is_own_source(&event.source) {
            return None;
        }
        let found = terms.schemas.find_valid(&event.kind, event.data)?;
        let id = event.complete(&terms.defaults);
        let key = event.partition_by(found.partition);
        let span = || event_span(&event.kind, &id, &event.source);
        let trace = validated.trace(event.traceparent, terms.trace, span);
        event.traced(trace.traceparent);
        validated.look(&event.kind, event.data, &terms.schemas);
        validated.accepted.push(self.hasher.hash_one((&*event.source, &*id)));
        let place = (self.partitions.partition_of(&key), &*event.source);
        Some(validated.parts.push(place, trace.recorded, self.batch_bytes, |out| event.write(out)))
    }

    fn accept_envelope(
        &self,
        envelope: Envelope,
        terms: &RequestTerms<'_, impl Fn() -> String>,
        validated: &mut ValidatedEvents,
    ) -> Result<usize, (ClaimedIdentity, Error)> {
        let limit = self.limits_config.event_bytes;
        let claim = terms.believed(claim(&envelope));
        let accepted = || {
            let event = normalise(envelope, &terms.defaults)?;
            if !terms.may_claim(event.source.as_str()) {
                return Err(Error::ReservedSource(clip(event.source.as_str())));
            }
            let mut event = terms.schemas.validate(event)?.into_event();
            let (kind, id, source) = (event.kind.as_str(), event.id.as_str(), event.source.as_str());
            let trace = validated.trace(event.traceparent, terms.trace, || event_span(kind, id, source));
            event.traceparent = trace.traceparent;
            let line = serde_json::to_vec(&event).map_err(|_| Error::Internal)?;
            if line.len() > limit {
                return Err(Error::EventTooLarge { limit });
            }
            validated.look(event.kind.as_str(), event.data.as_ref(), &terms.schemas);
            validated.accepted.push(self.hasher.hash_one((event.source.as_str(), event.id.as_str())));
            let place = (self.partitions.partition_of(event.partition_key()), event.source.as_str());
            let write = |out: &mut Vec<u8>| out.extend_from_slice(&line);
            Ok(validated.parts.push(place, trace.recorded, self.batch_bytes, write))
        };
        accepted().map_err(|error| (claim, error))
    }
}

impl<F> RequestTerms<'_, F> {
    /// What the suite tells itself comes from its services alone.
    fn may_claim(&self, source: &str) -> bool {
        !is_own_source(source) || self.own_source == Some(source)
    }

    /// What is believed of what a rejected event says of itself: its letter, once sent
    /// again, may claim the letter's source.
    fn believed(&self, claim: ClaimedIdentity) -> ClaimedIdentity {
        ClaimedIdentity { source: claim.source.filter(|source| self.may_claim(source.as_str())), ..claim }
    }
}

/// What a letter keeps of an event.
fn without_key(format: &Format, text: Bytes, admission: &mut Admission) -> Result<Bytes, Error> {
    let Some(kept) = format.without_key(&text) else { return Ok(text) };
    admission.charge(kept.len())?;
    Ok(kept)
}

impl ValidatedEvents {
    /// Gives a traced event its span. The event's own trace goes before the
    /// request's; beyond the most spans of a request, events go on untraced.
    fn trace(
        &mut self,
        own: Option<TraceParent>,
        request: Option<TraceParent>,
        span: impl FnOnce() -> Span,
    ) -> EventTrace {
        let Some(parent) = own.or(request).filter(|parent| parent.is_sampled()) else {
            return EventTrace { traceparent: own, recorded: None };
        };
        if self.spans.len() >= MAX_TRACED {
            return EventTrace { traceparent: own.map(TraceParent::unsampled), recorded: None };
        }
        let span = span();
        trace::continue_trace(&span, parent);
        let traceparent = trace::traceparent_of(&span).or(Some(parent));
        self.spans.push(span);
        EventTrace { traceparent, recorded: traceparent }
    }

    /// Looks for what the sender of the next accepted event is to be told.
    fn look<'d>(&mut self, kind: &str, data: Option<impl EventData<'d>>, schemas: &Schemas) {
        let index = self.accepted.len() + self.rejected.total();
        self.hints.look(index, kind, data, schemas);
    }
}

#[cfg(test)]
mod both_ways;
mod streamed;
#[cfg(test)]
mod tests;
