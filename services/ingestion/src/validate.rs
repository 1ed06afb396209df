//! From the bytes of a request to a verdict on each of its events. No clock
//! but the one it is given, no network: what it says of a body can be tested
//! with any body.

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};

use bytes::Bytes;
use serde::Deserialize;
use tidemill_domain::{EventId, PartitionCount};
use tidemill_events::{Redrive, TraceParent};
use tidemill_service::{Caller, Context, trace};
use tracing::Span;

use crate::{
    batcher::Parts,
    config::LimitsConfig,
    dead_letters::MAX_BODY,
    error::Error,
    formats::{self, Envelope, Format},
    inflate::{Encoding, inflate},
    limits::{Admission, Limits},
    normalise::{Defaults, Event, normalise},
    rejections::{Claim, Rejections},
    schema::Schemas,
    telemetry::event_span,
};

/// Traced events of one request that get a span of their own.
const MAX_TRACED: usize = 8;
/// Bytes of memory that a byte of an event may need while it is validated: an
/// array of small arrays becomes ninety times its text, and what its schema has
/// against each of them more.
pub(crate) const EXPANSION: usize = 256;
/// What an accepted event takes beside its line: its source, its place, a hash.
const LINE_OVERHEAD: usize = 128;

/// Validates events.
pub(crate) struct Validator {
    pub(crate) context: Context,
    pub(crate) limits: Arc<Limits>,
    pub(crate) limits_config: LimitsConfig,
    pub(crate) batch_bytes: usize,
    pub(crate) schemas: Schemas,
    pub(crate) partitions: PartitionCount,
    pub(crate) hasher: RandomState,
}

/// What a request delivers.
pub(crate) struct Delivery {
    pub(crate) caller: Caller,
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
    pub(crate) body: Bytes,
    /// The address that becomes `clientip`.
    pub(crate) clientip: Option<IpAddr>,
    /// The request's own trace.
    pub(crate) trace: Option<TraceParent>,
}

/// A verdict on each event of a request.
#[derive(Default)]
pub(crate) struct Validated {
    /// The accepted events, ready for the log.
    pub(crate) parts: Parts,
    /// A hash of source and id of each of them.
    pub(crate) accepted: Vec<u64>,
    pub(crate) rejected: Rejections,
    /// Whether the one verdict is the answer.
    pub(crate) single: bool,
    /// Spans of traced events; they end when the events are stored.
    pub(crate) spans: Vec<Span>,
}

impl Validator {
    /// Validates every event of a delivery. An error is about the delivery as a
    /// whole.
    pub(crate) fn validate(&self, delivery: Delivery, admission: &mut Admission) -> Result<Validated, Error> {
        let Delivery { caller, format, encoding, body, clientip, trace } = delivery;
        let body = inflate(encoding, body, self.limits_config.inflated_bytes, admission)?;
        let items = format.split(&body, self.limits_config.events_per_request)?;
        admission.charge(items.texts.len() * size_of::<&[u8]>())?;
        self.limits.spend(&caller, items.texts.len())?;

        let now = self.context.clock.now();
        let new_id = || self.context.new_id().to_string();
        let defaults = Defaults { now, new_id, clientip };
        let mut validated = Validated { single: items.single, ..Validated::default() };
        let mut scratch = admission.scratch();
        for (index, text) in items.texts.into_iter().enumerate() {
            scratch.cover(text.len().min(self.limits_config.event_bytes) * EXPANSION)?;
            match self.accept(&format, text, &defaults, trace, &mut validated) {
                Ok(line) => admission.charge(line + LINE_OVERHEAD)?,
                Err((claim, error)) => {
                    let body = format.original(&body, text, MAX_BODY);
                    validated.rejected.add(index, claim, error, body, admission)?;
                }
            }
        }
        Ok(validated)
    }

    /// Validates an event of a dead letter once more, as if it had been posted. It
    /// is the same event: where it does not say so itself, its id, its source
    /// and its time follow from the letter, and from its place there if it is
    /// one of several. So it is counted once, however often it is sent.
    pub(crate) fn validate_again(
        &self,
        order: &Redrive,
        index: usize,
        body: &Bytes,
        validated: &mut Validated,
        admission: &mut Admission,
    ) -> Result<(), Error> {
        let id = match order.several {
            true => format!("redrive-{}-{index}", order.letter),
            false => {
                let id = order.event_id.clone().filter(|id| id.parse::<EventId>().is_ok());
                id.unwrap_or_else(|| format!("redrive-{}", order.letter))
            }
        };
        let defaults = Defaults { now: order.first_failed_at, new_id: || id.clone(), clientip: None };
        let text = body.trim_ascii();
        let limits = &self.limits_config;
        let mut scratch = admission.scratch();
        scratch.cover(text.len().min(limits.event_bytes) * EXPANSION)?;
        let read = match text.len() > limits.event_bytes {
            true => Err(Error::EventTooLarge { limit: limits.event_bytes }),
            false => formats::dead_letter(text, limits.depth, &order.source),
        };
        let accepted = match read {
            Ok(envelope) => self.accept_envelope(envelope, &defaults, order.trace, validated),
            Err(error) => Err((Claim::default(), error)),
        };
        match accepted {
            Ok(line) => admission.charge(line + LINE_OVERHEAD),
            Err((claim, error)) => {
                // Of a letter that fails again the next one knows as much.
                let claim = Claim {
                    id: claim.id.or_else(|| id.parse().ok()),
                    source: claim.source.or_else(|| order.source.parse().ok()),
                    trace: claim.trace.or(order.trace),
                };
                validated.rejected.add(index, claim, error, body.clone(), admission)
            }
        }
    }

    /// One event's way from text to its line in a part; answers the line's
    /// length.
    fn accept(
        &self,
        format: &Format,
        text: &[u8],
        defaults: &Defaults<impl Fn() -> String>,
        request: Option<TraceParent>,
        validated: &mut Validated,
    ) -> Result<usize, (Claim, Error)> {
        let limit = self.limits_config.event_bytes;
        if text.len() > limit {
            return Err((Claim::default(), Error::EventTooLarge { limit }));
        }
        let envelope = format.read(text, self.limits_config.depth).map_err(|error| (claim_of(format, text), error))?;
        self.accept_envelope(envelope, defaults, request, validated)
    }

    fn accept_envelope(
        &self,
        envelope: Envelope,
        defaults: &Defaults<impl Fn() -> String>,
        request: Option<TraceParent>,
        validated: &mut Validated,
    ) -> Result<usize, (Claim, Error)> {
        let limit = self.limits_config.event_bytes;
        let claim = claim(&envelope);
        let accepted = || {
            let event = normalise(envelope, defaults)?;
            let mut event = self.schemas.validate(event)?.into_event();
            let trace = validated.trace(&mut event, request);
            let line = serde_json::to_vec(&event).map_err(|_| Error::Internal)?;
            if line.len() > limit {
                return Err(Error::EventTooLarge { limit });
            }
            let partition = self.partitions.partition_of(event.partition_key());
            validated.accepted.push(self.hasher.hash_one((&event.source, &event.id)));
            validated.parts.push(partition, event.source, &line, trace, self.batch_bytes);
            Ok(line.len())
        };
        accepted().map_err(|error| (claim, error))
    }
}

impl Validated {
    /// Gives a traced event its span. The event's own trace goes before the
    /// request's; beyond the most spans of a request, events go on untraced.
    fn trace(&mut self, event: &mut Event, request: Option<TraceParent>) -> Option<TraceParent> {
        let parent = event.traceparent.or(request).filter(|parent| parent.is_sampled())?;
        if self.spans.len() >= MAX_TRACED {
            event.traceparent = event.traceparent.map(TraceParent::unsampled);
            return None;
        }
        let span = event_span(event);
        trace::continue_trace(&span, parent);
        event.traceparent = trace::traceparent_of(&span).or(Some(parent));
        self.spans.push(span);
        event.traceparent
    }
}

fn claim(envelope: &Envelope) -> Claim {
    let text = |name| envelope.attributes.get(name).and_then(serde_json::Value::as_str);
    Claim {
        id: text("id").and_then(|text| text.parse().ok()),
        source: text("source").and_then(|text| text.parse().ok()),
        trace: text("traceparent").and_then(|text| text.parse().ok()),
    }
}

/// What can be read of a text that is refused as JSON: more readers than ours
/// would take it, so it may well name its event.
fn claim_of(format: &Format, text: &[u8]) -> Claim {
    if let Format::Binary(attributes) = format {
        return claim(&Envelope { attributes: attributes.clone(), data: None });
    }
    #[derive(Deserialize)]
    struct Claimed<'a> {
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
        #[serde(borrow)]
        source: Option<Cow<'a, str>>,
        #[serde(borrow)]
        traceparent: Option<Cow<'a, str>>,
    }
    let Ok(Claimed { id, source, traceparent }) = serde_json::from_slice(text) else { return Claim::default() };
    Claim {
        id: id.and_then(|text| text.parse().ok()),
        source: source.and_then(|text| text.parse().ok()),
        trace: traceparent.and_then(|text| text.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderMap;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tidemill_domain::{ManualClock, Timestamp};

    use super::*;
    use crate::{config::SchemasConfig, formats::Route};

    fn validate() -> Validator {
        let limits_config =
            LimitsConfig { events_per_request: 100, inflated_bytes: 1 << 20, ..LimitsConfig::default() };
        Validator {
            context: Context::with_clock("ingestion", ManualClock::at(Timestamp::EPOCH)),
            limits: Arc::new(Limits::new(&limits_config)),
            batch_bytes: 64 << 10,
            limits_config,
            schemas: Schemas::load(&SchemasConfig::default()).expect("the shop's schemas"),
            partitions: PartitionCount::default(),
            hasher: RandomState::new(),
        }
    }

    fn delivery(format: Format, body: impl Into<Bytes>) -> Delivery {
        let caller = Caller::ANYBODY;
        Delivery { caller, format, encoding: Encoding::Identity, body: body.into(), clientip: None, trace: None }
    }

    fn validated(delivery: Delivery) -> Result<Validated, Error> {
        let validator = validate();
        let mut admission = validator.limits.admit()?;
        validator.validate(delivery, &mut admission)
    }

    fn lines(validated: &Validated) -> Vec<Value> {
        let open = validated.parts.open.values();
        let texts = open.chain(validated.parts.full.iter().map(|(_, lines)| lines));
        let lines = texts.flat_map(|lines| lines.text.split(|b| *b == b'\n')).filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line is JSON")).collect()
    }

    fn bodies(validated: &Validated) -> Vec<Bytes> {
        validated.rejected.groups().iter().flat_map(|group| &group.bodies).map(|body| body.bytes.clone()).collect()
    }

    /// As the follower of orders does it.
    fn validated_again(order: &Redrive) -> Validated {
        let validator = validate();
        let (mut validated, mut admission) = (Validated::default(), validator.limits.admit().expect("a place"));
        for (index, body) in order.bodies().expect("bodies").iter().enumerate() {
            validator.validate_again(order, index, &body.bytes, &mut validated, &mut admission).expect("fits");
        }
        validated
    }

    const VIEW: &str = r#"{"id":"1","source":"shop","type":"product.viewed","subject":"c","data":{"product_id":"p"}}"#;

    #[test]
    fn each_event_has_its_own_verdict() {
        let broken = [
            r#"{"id":"2","source":"shop","type":"product.viewed","data":{}}"#,
            r#"{"id":"3","source":"shop","source":"shop"}"#,
            r#"{"source":"shop","type":"nonsense"}"#,
            r#"{"truncated"#,
            "\u{0}",
            r#"{"id":"7","source":"shop","type":"product.viewed","data":{"product_id":"\u0000"}}"#,
        ];
        let body = std::iter::once(VIEW).chain(broken).chain([VIEW]).collect::<Vec<_>>().join("\n");
        let validated = validated(delivery(Format::Lines, body)).expect("validated");
        assert_eq!(lines(&validated).len(), 2);
        assert_eq!(validated.accepted[0], validated.accepted[1]);
        let rejected: Vec<_> =
            validated.rejected.listed().map(|(r, _)| (r.index, r.error.code(), r.id.is_some())).collect();
        assert_eq!(
            rejected,
            [
                (1, "schema_violation", true),
                (2, "duplicate_key", false),
                (3, "unknown_type", false),
                (4, "malformed_json", false),
                (5, "malformed_json", false),
                (6, "null_character", true),
            ]
        );
        assert_eq!(bodies(&validated)[3], r#"{"truncated"#);
    }

    #[test]
    fn sizes_are_limited_before_and_after() {
        let with = |data: &str| VIEW.replace(r#""p"}"#, &format!(r#""p","x":{data}}}"#));
        let code = |body: String| {
            let validated = validated(delivery(Format::Event, body)).expect("validated");
            validated.rejected.listed().next().map(|(rejected, _)| rejected.error.code())
        };
        assert_eq!(code(with(&format!("{:?}", "x".repeat(60_000)))), None);
        assert_eq!(code(with(&format!("{:?}", "x".repeat(70_000)))), Some("event_too_large"));
        // Five bytes that are eighteen when written out.
        assert_eq!(code(with(&format!("[{}1]", "1e15,".repeat(10_000)))), Some("event_too_large"));
        let many = format!("[{}1]", "1,".repeat(100));
        assert_eq!(validated(delivery(Format::Array, many)).err(), Some(Error::TooManyEvents { limit: 100 }));
    }

    #[test]
    fn an_events_own_trace_goes_before_the_requests() {
        let parent = |trace| TraceParent::new(trace, 1, true).expect("not zero");
        let traced = VIEW.replacen('{', &format!(r#"{{"traceparent":"{}","#, parent(7)), 1);
        let body = format!("{traced}\n{}", [VIEW; 9].join("\n"));
        let validated =
            validated(Delivery { trace: Some(parent(9)), ..delivery(Format::Lines, body) }).expect("validated");
        let traces: Vec<_> =
            lines(&validated).iter().map(|l| l["traceparent"].as_str().map(|t| t[34..35].to_owned())).collect();
        assert_eq!(traces.into_iter().flatten().collect::<String>(), "79999999");
        assert_eq!(validated.spans.len(), MAX_TRACED);
        // Beyond that many spans, a trace of its own goes on unrecorded.
        let body = format!("{}\n{traced}", [VIEW; 8].join("\n"));
        let validated =
            self::validated(Delivery { trace: Some(parent(9)), ..delivery(Format::Lines, body) }).expect("validated");
        assert_eq!(lines(&validated)[8]["traceparent"], parent(7).unsampled().to_string());
        let untraced =
            self::validated(Delivery { trace: Some(parent(9).unsampled()), ..delivery(Format::Event, VIEW) });
        assert_eq!(lines(&untraced.expect("validated"))[0].get("traceparent"), None);
    }

    #[test]
    fn a_dead_letter_of_binary_mode_is_a_whole_event() {
        let headers = [("ce-type", "product.viewed"), ("ce-source", "shop"), ("content-type", "application/json")];
        let headers = headers.map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        let format = Format::of(Route::Events, &HeaderMap::from_iter(headers)).expect("binary");
        let validated = validated(delivery(format, "{}")).expect("validated");
        let body: Value = serde_json::from_slice(&bodies(&validated)[0]).expect("JSON");
        let attributes = json!({"type": "product.viewed", "source": "shop", "datacontenttype": "application/json"});
        let mut expected = attributes;
        expected["data_base64"] = "e30=".into();
        assert_eq!(body, expected);
    }

    fn order(body: impl Into<Bytes>) -> Redrive {
        Redrive {
            id: uuid(7),
            letter: 7,
            by: "anna".into(),
            at: Timestamp::EPOCH,
            source: "till".into(),
            event_id: None,
            first_failed_at: Timestamp::saturating_from_millis(5000),
            trace: None,
            several: false,
            body: body.into(),
        }
    }

    fn uuid(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }

    #[test]
    fn a_dead_letters_event_stays_the_same_event() {
        let mended = r#"{"type":"product.viewed","data":{"product_id":"p"},"enriched":{"country":"FR"}}"#;
        let line = |order: &Redrive| lines(&validated_again(order)).remove(0);
        let expected = json!({"specversion": "1.0", "id": "redrive-7", "source": "till", "type": "product.viewed",
            "time": "1970-01-01T00:00:05Z", "data": {"product_id": "p"}});
        assert_eq!(line(&order(mended)), expected);
        assert_eq!(line(&Redrive { event_id: Some("e-1".into()), ..order(mended) })["id"], "e-1");
        assert_eq!(
            line(&Redrive {
                event_id: Some(
                    "
"
                    .into()
                ),
                ..order(mended)
            })["id"],
            "redrive-7"
        );
        assert_eq!(line(&order(VIEW))["id"], "1");
        let call = r#"{"event":"Product Viewed","messageId":"m","properties":{"product_id":"p"}}"#;
        assert_eq!((&line(&order(call))["id"], &line(&order(call))["type"]), (&json!("m"), &json!("product.viewed")));
    }

    #[test]
    fn a_dead_letter_that_fails_again_keeps_what_is_known_of_it() {
        for (body, code) in [("{\"truncated", "malformed_json"), ("{}", "invalid_event"), ("", "malformed_json")] {
            let validated = validated_again(&order(body));
            let group = &validated.rejected.groups()[0];
            assert_eq!((group.failure.code, &bodies(&validated)[0][..]), (code, body.as_bytes()));
            let text = (group.first.id.as_ref().map(ToString::to_string), group.failure.source.as_ref());
            assert_eq!((text.0.as_deref(), text.1.map(|s| s.as_str())), (Some("redrive-7"), Some("till")), "{body}");
        }
        let unknown = validated_again(&Redrive { source: "unknown".into(), ..order(r#"{"type":"a"}"#) });
        let (unknown, _) = unknown.rejected.listed().next().expect("rejected");
        assert_eq!(unknown.error.pointer(), Some("/source"), "nobody is no source");
    }

    #[test]
    fn each_event_of_a_letter_of_several_has_a_name_that_stays() {
        let list = |texts: &[&str]| {
            let body = |text: &&str| tidemill_events::Body { count: 1, bytes: Bytes::copy_from_slice(text.as_bytes()) };
            tidemill_events::bodies::encode(&texts.iter().map(body).collect::<Vec<_>>()).expect("encodes")
        };
        let nameless = r#"{"type":"product.viewed","data":{"product_id":"p"}}"#;
        let named = r#"{"id":"mine","type":"product.viewed","data":{"product_id":"p"}}"#;
        let several =
            Redrive { several: true, event_id: Some("of the first".into()), ..order(list(&[nameless, "{", named])) };
        let validated = validated_again(&several);
        let ids: Vec<_> = lines(&validated).iter().map(|line| line["id"].as_str().map(str::to_owned)).collect();
        assert_eq!(ids, [Some("redrive-7-0".into()), Some("mine".into())]);
        assert_eq!(validated.rejected.total(), 1);
    }

    /// JSON-like noise: what it takes to get past the first bytes.
    fn noise() -> impl Strategy<Value = Vec<u8>> {
        const TOKENS: [&[u8]; 25] = [
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\n",
            b"\"",
            b"\\ud800",
            b"NaN",
            b"1e999",
            b"-0.0",
            b"null",
            b"\xff",
            b"\0",
            b"\"id\"",
            b"\"type\"",
            b"\"source\"",
            b"\"time\"",
            b"\"batch\"",
            b"\"order.placed\"",
            b"\"event\":\"Order Completed\"",
            b"\"properties\"",
            b"\"data\"",
            VIEW.as_bytes(),
        ];
        let token = proptest::sample::select(&TOKENS[..]);
        let tokens = proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat());
        prop_oneof![tokens, proptest::collection::vec(any::<u8>(), 0..200)]
    }

    fn any_form() -> impl Strategy<Value = Format> {
        prop_oneof![
            Just(Format::Event),
            Just(Format::Array),
            Just(Format::EventOrArray),
            Just(Format::Lines),
            Just(Format::Track),
            Just(Format::TrackBatch),
            Just(Format::Binary(serde_json::Map::new())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_body_gets_an_answer_that_is_its_senders(body in noise(), format in any_form()) {
            match validated(delivery(format, body)) {
                Ok(validated) => {
                    prop_assert!(
                        validated.rejected.listed().all(|(r, _)| (400..500).contains(&r.error.problem().status))
                    );
                    prop_assert_eq!(lines(&validated).len(), validated.accepted.len());
                }
                Err(error) => prop_assert!((400..500).contains(&error.problem().status), "{:?}", error),
            }
        }

        #[test]
        fn an_accepted_event_reads_back_as_it_was(
            id in "[ -~é]{1,50}", subject in "[a-z😀]{1,20}", note in "[^\u{0}]{0,80}", price in 0i64..1_000_000_000,
            time in -60_000_000_000_000i64..250_000_000_000_000,
        ) {
            let time = Timestamp::saturating_from_millis(time);
            let price = tidemill_domain::Amount::from_micros(i128::from(price) * 1000).to_string();
            let data = json!({"product_id": "p", "quantity": 3, "unit_price": price, "note": note});
            let event = json!({
                "specversion": "1.0", "id": id, "source": "shop", "type": "cart.item_added", "time": time,
                "subject": subject, "data": data,
            });
            let mut body = Vec::new();
            write!(body, "{event:#}").expect("writes to memory");
            let validated = validated(delivery(Format::Event, body)).expect("validated");
            prop_assert_eq!(lines(&validated), [event]);
        }
    }
}
