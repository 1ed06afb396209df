use std::io::Write;

use axum::http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidemill_domain::{ManualClock, Timestamp};
use tidemill_events::Redrive;

use super::*;
use crate::{
    config::SchemasConfig,
    intake::{route::Route, schema::Schemas},
};

pub(super) fn validate() -> Validator {
    let limits_config =
        RequestLimitsConfig { events_per_request: 100, inflated_bytes: 1 << 20, ..RequestLimitsConfig::default() };
    Validator {
        context: Context::with_clock("ingestion", ManualClock::at(Timestamp::EPOCH)),
        limits: Arc::new(RequestLimits::new(&limits_config)),
        batch_bytes: 64 << 10,
        limits_config,
        schemas: Schemas::load(&SchemasConfig::default()).expect("the shop's schemas").into(),
        partitions: PartitionCount::default(),
        hasher: RandomState::new(),
    }
}

fn delivery(format: Format, body: impl Into<Bytes>) -> Submission {
    let caller = Caller::ANYBODY;
    let (encoding, body) = (Encoding::Identity, body.into());
    Submission { caller, format, encoding, body, clientip: None, backfill: None, trace: None }
}

fn validated(delivery: Submission) -> Result<ValidatedEvents, Error> {
    let validator = validate();
    let mut admission = validator.limits.admit()?;
    validator.validate(delivery, &mut admission)
}

fn lines(validated: &ValidatedEvents) -> Vec<Value> {
    let open = validated.parts.open.values();
    let texts = open.chain(validated.parts.full.iter().map(|(_, lines)| lines));
    let lines = texts.flat_map(|lines| lines.text.split(|b| *b == b'\n')).filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a line is JSON")).collect()
}

fn bodies(validated: &ValidatedEvents) -> Vec<Bytes> {
    validated.rejected.groups().iter().flat_map(|group| &group.bodies).map(|body| body.bytes.clone()).collect()
}

/// As the follower of orders does it.
fn validated_again(order: &Redrive) -> ValidatedEvents {
    let validator = validate();
    let (mut validated, mut admission) = (ValidatedEvents::default(), validator.limits.admit().expect("a place"));
    for (index, body) in order.bodies().expect("bodies").iter().enumerate() {
        let event = StreamedEvent::again(order, index, &body.bytes);
        validator.validate_streamed(&event, &mut validated, &mut admission).expect("fits");
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
        validated.rejected.listed().map(|(r, _)| (r.index, r.error.code().as_str(), r.id.is_some())).collect();
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
        validated.rejected.listed().next().map(|(rejected, _)| rejected.error.code().as_str())
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
        validated(Submission { trace: Some(parent(9)), ..delivery(Format::Lines, body) }).expect("validated");
    let traces: Vec<_> =
        lines(&validated).iter().map(|l| l["traceparent"].as_str().map(|t| t[34..35].to_owned())).collect();
    assert_eq!(traces.into_iter().flatten().collect::<String>(), "79999999");
    assert_eq!(validated.spans.len(), MAX_TRACED);
    // Beyond that many spans, a trace of its own goes on unrecorded.
    let body = format!("{}\n{traced}", [VIEW; 8].join("\n"));
    let validated =
        self::validated(Submission { trace: Some(parent(9)), ..delivery(Format::Lines, body) }).expect("validated");
    assert_eq!(lines(&validated)[8]["traceparent"], parent(7).unsampled().to_string());
    let untraced = self::validated(Submission { trace: Some(parent(9).unsampled()), ..delivery(Format::Event, VIEW) });
    assert_eq!(lines(&untraced.expect("validated"))[0].get("traceparent"), None);
}

#[test]
fn a_dead_letter_of_binary_mode_is_a_whole_event() {
    let headers = [("ce-type", "product.viewed"), ("ce-source", "shop"), ("content-type", "application/json")];
    let headers = headers.map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
    let format = Format::of(Route::EVENTS, &HeaderMap::from_iter(headers)).expect("binary");
    let validated = validated(delivery(format, "{}")).expect("validated");
    let body: Value = serde_json::from_slice(&bodies(&validated)[0]).expect("JSON");
    let attributes = json!({"type": "product.viewed", "source": "shop", "datacontenttype": "application/json"});
    let mut expected = attributes;
    expected["data_base64"] = "e30=".into();
    assert_eq!(body, expected);
}

#[test]
fn a_letter_knows_what_the_address_and_the_batch_of_a_call_say() {
    let batch = r#"{"sentAt":"2000-01-01T00:00:04Z","batch":[{"event":"None","n":1.50},{"event":"None","sentAt":3}]}"#;
    let rejected = validated(delivery(Format::Calls, batch)).expect("validated");
    let expected = [r#"{"event":"None","n":1.50,"sentAt":"2000-01-01T00:00:04Z"}"#, r#"{"event":"None","sentAt":3}"#];
    assert_eq!(bodies(&rejected), expected);
    let page = validated(delivery(Format::Call("page"), r#"{"userId":"c","properties":3}"#)).expect("validated");
    assert_eq!(bodies(&page), [r#"{"userId":"c","properties":3,"type":"page"}"#]);
    // Sent again, both are what they were.
    let call = r#"{"event":"Product Viewed","messageId":"m","timestamp":"2000-01-01T00:00:00Z","sentAt":"2000-01-01T00:00:04Z","properties":{"product_id":"p"}}"#;
    let line = lines(&validated_again(&order(call))).remove(0);
    assert_eq!([&line["time"], &line["devicetime"]], ["1970-01-01T00:00:01Z", "2000-01-01T00:00:00Z"]);
    assert_eq!(lines(&validated_again(&order(r#"{"userId":"c","type":"page"}"#)))[0]["type"], "segment.page");
}

#[test]
fn a_request_is_history_as_a_whole_and_an_event_may_be_of_another() {
    let own = VIEW.replacen('{', r#"{"backfill":"till 7","#, 1);
    let body = format!("{VIEW}\n{own}\n{}", own.replace("till 7", r"\n"));
    let backfill = "of 2025".parse().ok();
    let validated = validated(Submission { backfill, ..delivery(Format::Lines, body) }).expect("validated");
    let names: Vec<Value> = lines(&validated).iter().map(|line| line["backfill"].clone()).collect();
    assert_eq!(names, ["of 2025", "till 7"]);
    let (refused, _) = validated.rejected.listed().next().expect("rejected");
    assert_eq!((refused.index, refused.error.pointer()), (2, Some("/backfill")));
    let letter = lines(&validated_again(&order(own))).remove(0);
    assert_eq!(letter["backfill"], "till 7", "a letter's event keeps its own");
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
    let mended = r#"{"type":"product.viewed","data":{"product_id":"p"},"enriched":{"country":"FR"},"redriven":"x"}"#;
    let line = |order: &Redrive| lines(&validated_again(order)).remove(0);
    let expected = json!({"specversion": "1.0", "id": "redrive-7", "source": "till", "type": "product.viewed",
        "time": "1970-01-01T00:00:05Z", "backfill": "redrive-7", "redriven": uuid(7), "data": {"product_id": "p"}});
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
        assert_eq!((group.failure.code.as_str(), &bodies(&validated)[0][..]), (code, body.as_bytes()));
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
        Just(Format::Call("track")),
        Just(Format::Call("page")),
        Just(Format::Calls),
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
