//! The fullest and the emptiest message of each type, against the description
//! of the type.

use std::{any::type_name, collections::BTreeSet};

use bytes::Bytes;
use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use tidemill_domain::{Amount, BaseAmount, Currency, Partition, ReadAmount, Timestamp};
use tidemill_totals::{Distinct, Measure, MeasureTotal, QuantileSketch, Totals, Value as Figure};

use super::*;
use crate::{
    bodies::{self, Body},
    codec::{Encoded, inflate, name},
    contract::BodyKind,
    dead_letter::Events,
    event::{Enrichment, QualityFlag, lines, splice_enrichment},
    item::ItemFacts,
    measured::MeasuredEvent,
    message::{
        AlertState, BatchView, BatchViewEnd, CellGroup, CellUpdate, DefinitionText, EventTypes, GenerationInputs,
        LogPosition, Message, PartitionReach, ProfileItem, ProfileName, PublishedProfile, ReferenceMode, SourceBooks,
        UncountedSpan, VersionCounting, WindowSpan,
    },
    order::{LineFacts, OrderFacts},
    topology::StreamName,
    trace::TraceParent,
};

const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"shop","type":"order.placed","time":"2026-01-02T03:04:05+01:00","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","loyalty":true,"data":{"a":[1]}}"#;

fn trace() -> Option<TraceParent> {
    TraceParent::new(7, 9, true)
}

fn validator(schema: &Value) -> Validator {
    jsonschema::validator_for(schema).expect("a JSON Schema")
}

fn assert_valid(validator: &Validator, value: &Value) {
    let errors: Vec<String> = validator.iter_errors(value).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?} in {value:#}");
}

/// The schema of the body, with what it refers to.
fn body_schema(body: BodyKind) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = body.schema(&mut generator).to_value();
    schema["$defs"] = generator.take_definitions(true).into();
    schema
}

/// All of them keep to the contract, and nothing of it is without an example.
fn assert_kept<M: Described>(messages: &[M]) {
    let contract = M::CONTRACT;
    assert_eq!(Some(contract.name), type_name::<M>().rsplit("::").next());
    assert_eq!((contract.stream, contract.version), (M::STREAM, M::VERSION));
    let headers = validator(&contract.headers_schema());
    let body = validator(&body_schema(contract.body));
    let (mut some, mut all) = (BTreeSet::new(), None::<BTreeSet<&str>>);
    for message in messages {
        let encoded = message.encode().expect("encodes");
        assert_eq!(contract.breach(&encoded), None);

        let mut written: Map<String, Value> =
            encoded.headers.iter().map(|(name, value)| ((*name).into(), value.as_str().into())).collect();
        written.insert(name::MESSAGE_ID.into(), encoded.message_id.as_str().into());
        assert_valid(&headers, &written.into());

        let names: BTreeSet<&str> = encoded.headers.iter().map(|(name, _)| *name).chain([name::MESSAGE_ID]).collect();
        some.extend(&names);
        all = Some(all.map_or(names.clone(), |all| &all & &names));

        let plain = inflate(&encoded, encoded.payload.clone()).expect("inflates");
        match contract.body {
            BodyKind::Object(_) => assert_valid(&body, &serde_json::from_slice(&plain).expect("JSON")),
            BodyKind::Lines(_) => lines(&plain).for_each(|line| {
                assert_valid(&body, &serde_json::from_slice(line).expect("JSON"));
            }),
            BodyKind::Bodies(_) if encoded.headers.contains(&(name::CONTENT_TYPE, bodies::CONTENT_TYPE.into())) => {
                assert_valid(&body, &serde_json::from_slice(&plain).expect("JSON"));
            }
            BodyKind::Bodies(_) => {}
        }
    }
    let described = contract.headers();
    assert_eq!(some, described.iter().map(|header| header.name).collect(), "each has an example");
    let always = described.iter().filter(|header| header.is_always_there).map(|header| header.name).collect();
    assert_eq!(all, Some(always), "what is not always there is missing in an example");
}

fn raw() -> RawBatch {
    RawBatch {
        batch_id: uuid::Uuid::from_u128(5),
        partition: Partition::new(3),
        ingested_at: Timestamp::saturating_from_millis(-1),
        sources: [("shop".into(), 1), ("Zo\u{eb}".into(), 2)].into(),
        redriven: Vec::new(),
        lines: format!("{EVENT}\n").into(),
        trace: None,
    }
}

#[test]
fn raw_batches_are_what_they_say() {
    let full =
        RawBatch { redriven: vec![7, 9], lines: format!("{EVENT}\n").repeat(40).into(), trace: trace(), ..raw() };
    assert_kept(&[raw(), full]);
}

fn enriched_lines(enrichment: &Enrichment) -> Vec<u8> {
    let mut out = Vec::new();
    splice_enrichment(EVENT.as_bytes(), enrichment, &mut out).expect("splices");
    out
}

fn enrichment() -> Enrichment {
    let product = [("brand".to_owned(), "Acme".to_owned())];
    Enrichment {
        refdata: 2,
        duplicate: true,
        repeated: true,
        about: Some("00112233445566778899aabbccddeeff".into()),
        region: "Europe".into(),
        country: Some("GB".into()),
        ip_country: Some("NG".into()),
        currency: "JPY".parse().ok(),
        rate: Some("0.0062".into()),
        base: Some(Currency::EUR),
        customer: [("segment".into(), "retail".into())].into(),
        items: vec![ItemFacts { category: "books".into(), product: product.into() }],
        order: Some(OrderFacts { id: "o".into(), shipping: -Amount::from_int(3), ..OrderFacts::default() }),
        lines: vec![
            LineFacts {
                quantity: Amount::from_int(2),
                gross: Amount::from_int(5),
                unread: true,
                ..LineFacts::default()
            },
            LineFacts {
                product: Some("p".into()),
                facts: Some(ItemFacts { category: "games".into(), product: [].into() }),
                refund: Amount::from_int(1),
                ..LineFacts::default()
            },
        ],
        quality: vec![
            QualityFlag::CustomerUnknown,
            QualityFlag::ProductUnknown,
            QualityFlag::CountryUnknown,
            QualityFlag::AttributeUnread,
            QualityFlag::CurrencyUnknown,
            QualityFlag::RateUnknown,
            QualityFlag::OrderUnknown,
            QualityFlag::CurrencyDiffers,
            QualityFlag::OrderUnfollowed,
        ],
    }
}

#[test]
fn enriched_batches_are_what_they_say() {
    let bare = EnrichedBatch {
        partition: Partition::new(1),
        raw_seq: 9,
        raw_prev: 4,
        remade: None,
        ingested_at: Timestamp::EPOCH,
        refdata: 2,
        count: 1,
        types: None,
        lines: enriched_lines(&Enrichment { region: "Unknown".into(), ..Enrichment::default() }).into(),
        trace: None,
    };
    let lines = enriched_lines(&enrichment()).repeat(40).into();
    let types = EventTypes::of(["order.placed", "page-view_2"].into_iter());
    assert_kept(&[bare.clone(), EnrichedBatch { remade: Some(0), types, lines, trace: trace(), ..bare }]);
}

#[test]
fn late_batches_are_what_they_say() {
    let batch = |copies| LateBatch {
        partition: Partition::new(1),
        raw_seq: 9,
        ingested_at: Timestamp::EPOCH,
        count: 1,
        lines: enriched_lines(&enrichment()).repeat(copies).into(),
    };
    assert_kept(&[batch(1), batch(40)]);
}

fn cell() -> CellUpdate {
    let mut distinct = Distinct::default();
    let mut sketch = QuantileSketch::default();
    for n in 0_u8..10 {
        distinct.insert(&n.to_string());
        sketch.insert(f64::from(n) / 8.0);
    }
    let amount: Amount = "-39.985".parse().expect("an amount");
    let read = ReadAmount { amount, rounded: true };
    let mut money = MeasureTotal::from(Measure::Average { sum: Amount::ZERO, count: 0 });
    let mut totals = Totals::of([
        Measure::Count(u64::MAX),
        Measure::Sum(amount),
        Measure::Min(None),
        Measure::Max(Some(amount)),
        Measure::Average { sum: amount, count: 3 },
        Measure::DistinctKeyed(4),
        Measure::DistinctSketch(distinct),
        Measure::Quantile { per_mille: 950, sketch },
    ]);
    for base in [None, Some(None), Some(Some(read))] {
        money.add_money(read, base.map(|converted| BaseAmount { base: Currency::EUR, converted }));
        totals.0.push(money.clone());
    }
    CellUpdate {
        group: CellGroup::new("sales", "0123456789ab", [("region", "Europe")]),
        start: Timestamp::EPOCH,
        end: Timestamp::saturating_from_millis(60_001),
        totals,
        exemplar: None,
        retracted: false,
    }
}

fn status() -> MetricsUpdate {
    MetricsUpdate {
        partition: Partition::new(1023),
        raw_seq: 9,
        raw_prev: 4,
        part: 0,
        as_of: Timestamp::EPOCH,
        watermark: None,
        idle: true,
        cells: Vec::new(),
        books: Vec::new(),
        redriven: Vec::new(),
        counting: Vec::new(),
        trace: None,
    }
}

#[test]
fn updates_of_totals_are_what_they_say() {
    let bare = status();
    let books =
        SourceBooks { source: "shop".into(), hour: Timestamp::EPOCH, counted: 1, late: 2, duplicate: 3, repeated: 1 };
    let mut cells = vec![cell(); 20];
    cells.push(CellUpdate { exemplar: trace(), retracted: true, ..cell() });
    let watermark = Some(Timestamp::EPOCH);
    let position = Some(LogPosition { raw_seq: 7, ingested_at: Timestamp::EPOCH });
    let uncounted =
        vec![UncountedSpan { after: None, up_to: position }, UncountedSpan { after: position, up_to: None }];
    let counting = vec![VersionCounting { metric: "sales".into(), version: "0123456789ab".into(), uncounted }];
    let full = MetricsUpdate { watermark, cells, books: vec![books], counting, trace: trace(), ..bare.clone() };
    assert_kept(&[bare, full]);
}

#[test]
fn updates_of_generations_are_what_they_say() {
    let generation = "v2".parse().expect("a name");
    let bare = GenerationUpdate { generation, inputs: None, view: None, update: status() };
    let inputs = |reference| GenerationInputs {
        begun_at: Timestamp::EPOCH,
        release: "0.1.0".into(),
        behind: 7,
        reference,
        definitions: vec![DefinitionText { file: "sales.yaml".into(), text: "name: sales\n".into() }],
    };
    let modes = [ReferenceMode::AsOf, ReferenceMode::Now { at: Timestamp::EPOCH }];
    let opened = modes.map(|mode| GenerationUpdate { inputs: Some(inputs(mode)), ..bare.clone() });
    let full = GenerationUpdate { update: MetricsUpdate { cells: vec![cell(); 40], ..status() }, ..bare.clone() };
    let view = BatchView { number: 3, metric: "sales".into(), version: "0123456789ab".into(), end: None };
    let end = BatchViewEnd {
        computed_at: Timestamp::EPOCH,
        since: Timestamp::EPOCH,
        reaches: vec![PartitionReach { partition: Partition::new(0), raw_seq: 7 }],
        computed: vec![WindowSpan { from: Timestamp::EPOCH, to: Timestamp::EPOCH }],
        cells: 40,
    };
    let ended = BatchView { end: Some(end), ..view.clone() };
    let views = [view, ended].map(|view| GenerationUpdate { view: Some(view), ..full.clone() });
    let mut all = vec![bare, full];
    all.extend(opened.into_iter().chain(views));
    assert_kept(&all);
    for message in all {
        let encoded = message.encode().expect("encodes");
        assert_eq!(GenerationUpdate::decode(&encoded, encoded.payload.clone()).expect("decodes"), message);
    }
}

#[test]
fn transitions_of_alerts_are_what_they_say() {
    let bare = AlertTransition {
        id: uuid::Uuid::from_u128(5),
        rule: "REVENUE_SPIKE".into(),
        rule_version: "0123456789ab".into(),
        severity: "critical".into(),
        state: AlertState::Firing,
        title: "t".into(),
        summary: "s".into(),
        dimensions: [("region".into(), "Europe".into())].into(),
        values: [
            ("count", Figure::Count(3)),
            ("revenue", Figure::Amount(Amount::from_int(3))),
            ("factor", Figure::Number(1.5)),
            ("before", Figure::None),
        ]
        .map(|(name, figure)| (name.to_owned(), figure))
        .into(),
        event_time: Timestamp::EPOCH,
        at: Timestamp::EPOCH,
        partition: Partition::new(0),
        raw_seq: 9,
        trace: None,
    };
    let summary = "s".repeat(5000);
    assert_kept(&[bare.clone(), AlertTransition { state: AlertState::Notified, summary, trace: trace(), ..bare }]);
}

fn list() -> Bytes {
    let body = |count, bytes: Vec<u8>| Body { count, bytes: bytes.into() };
    bodies::encode(&[body(1, b"{}".to_vec()), body(3, vec![0xff]), body(1, vec![b' '; 5000])]).expect("encodes")
}

#[test]
fn dead_letters_are_what_they_say() {
    let bare = DeadLetter {
        id: "x-1".into(),
        service: "ingestion".into(),
        release: "0.1.0".into(),
        code: "schema_violation".into(),
        reason: "Zo\u{eb}\n".into(),
        pointer: None,
        stream: None,
        sequence: None,
        deliveries: 1,
        first_failed_at: Timestamp::EPOCH,
        source: "shop".into(),
        event_id: None,
        redriven_from: None,
        personal: Vec::new(),
        trace: None,
        events: Events::One,
        body: "{".into(),
    };
    let full = DeadLetter {
        pointer: Some("/data/\u{e9}".into()),
        stream: Some(StreamName::Raw.as_str().into()),
        sequence: Some(3),
        event_id: Some("\u{1f600}".into()),
        redriven_from: Some(2),
        personal: vec!["loyaltyno".into(), "\u{e9}".into()],
        trace: trace(),
        events: Events::Several(5),
        body: list(),
        ..bare.clone()
    };
    assert_kept(&[bare.clone(), full, DeadLetter { events: Events::Counted(5), body: Bytes::new(), ..bare }]);
}

#[test]
fn redrives_are_what_they_say() {
    let bare = Redrive {
        id: uuid::Uuid::from_u128(5),
        letter: 9,
        by: "Zo\u{eb}".into(),
        at: Timestamp::EPOCH,
        source: "shop".into(),
        event_id: None,
        first_failed_at: Timestamp::EPOCH,
        trace: None,
        several: false,
        body: EVENT.into(),
    };
    assert_kept(&[
        bare.clone(),
        Redrive { event_id: Some("1".into()), trace: trace(), several: true, body: list(), ..bare },
    ]);
}

#[test]
fn measured_events_are_what_they_say() {
    let data = serde_json::json!({"share": "0.31"});
    let event = |data| MeasuredEvent::new("lake", "0-7", "lake.quality", Timestamp::EPOCH, &data).expect("encodes");
    assert_kept(&[event(data), event(serde_json::json!({"names": "a".repeat(5000)}))]);
}

#[test]
fn profiles_are_what_they_say() {
    let item = |item: &str| ProfileItem { at: Timestamp::EPOCH, item: item.into() };
    let name = |name: &str| ProfileName { name: name.into(), weight: 3 };
    let profile = PublishedProfile {
        last_active: Timestamp::EPOCH,
        orders: 2,
        value: [(Currency::EUR, Amount::from_int(-5)), ("USD".parse().expect("a currency"), Amount::from_int(7))]
            .into(),
        segment: Some("VIP".into()),
        views: vec![item("Zo\u{eb}")],
        purchases: (0..200).map(|n| item(&format!("p{n}"))).collect(),
        favourite_categories: vec![name("Books")],
        favourite_brands: vec![name("Fathom")],
    };
    let full = ProfileUpdate {
        customer: "0123456789abcdef0123456789abcdef".into(),
        as_of: Timestamp::EPOCH,
        profile: Some(profile.clone()),
    };
    let bare = PublishedProfile { segment: None, ..profile };
    assert_kept(&[
        ProfileUpdate { profile: None, ..full.clone() },
        ProfileUpdate { profile: Some(bare), ..full.clone() },
        full,
    ]);
}

#[test]
fn each_stream_has_its_message() {
    assert_eq!(CONTRACTS.map(|contract| contract.stream), StreamName::ALL);
}

#[test]
fn a_message_that_is_otherwise_is_noticed() {
    let encoded = raw().encode().expect("encodes");
    let with = |change: &dyn Fn(&mut Encoded)| {
        let mut other = encoded.clone();
        change(&mut other);
        RawBatch::CONTRACT.breach(&other).unwrap_or_default()
    };
    assert_eq!(with(&|_| {}), "");
    assert_eq!(with(&|e| e.headers.push(("Tm-New", "1".into()))), "RawBatch: the header Tm-New is not described");
    let without = |e: &mut Encoded| e.headers.retain(|(name, _)| *name != name::COUNT);
    assert_eq!(with(&without), "RawBatch: the header Tm-Count is missing");
    for subject in ["tm.enriched.3", "tm.raw.3.4", "tm.raw"] {
        let told = with(&|e| e.subject = subject.into());
        assert_eq!(told, format!("RawBatch: {subject} is not of the form tm.raw.{{partition}}"));
    }
}
