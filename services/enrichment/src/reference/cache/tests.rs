use tidemill_domain::Currency;

use super::*;
use crate::{
    reference::{Record, RecordAttributes},
    shop::ShopDefinition,
};

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn category(name: &str) -> RecordAttributes {
    RecordAttributes::from([("category".into(), name.into())])
}

fn record(valid_from: Option<i64>, name: &str) -> Record {
    Record { kind: RecordKind::Product, id: "x".into(), valid_from: valid_from.map(at), attributes: category(name) }
}

async fn reference(folder: &tidemill_testkit::TempDir, entries: u64) -> Reference {
    reference_of(folder, entries, Currency::EUR).await
}

async fn reference_of(folder: &tidemill_testkit::TempDir, entries: u64, base: Currency) -> Reference {
    let store = Arc::new(crate::testing::sqlite_of(folder, base).await);
    let config = ReferenceConfig { cached_entries: entries, ..ReferenceConfig::default() };
    let telemetry = Arc::new(Telemetry::new(&tidemill_service::Registry::default()));
    let names = ShopDefinition::load(None).expect("parses").records;
    Reference::new(store, Countries::built_in().expect("parses"), names, &config, telemetry)
}

async fn category_of(reference: &Reference, id: &str, time: i64) -> (u64, Option<String>) {
    let snapshot = reference.snapshot(Ids::from_iter([id]), Ids::default()).await.expect("reads");
    (snapshot.version(), snapshot.product(id, at(time)).map(ProductFacts::category))
}

#[tokio::test]
async fn a_change_is_seen_after_a_refresh_also_by_who_missed_before() {
    let folder = tidemill_testkit::tempdir();
    let reference = reference(&folder, 100).await;
    let replica = self::reference(&folder, 100).await;
    assert_eq!(category_of(&reference, "x", 0).await, (0, None));
    reference.store.accept(&[Record { id: "y".into(), ..record(None, "z") }], at(500)).await.expect("accepts");
    reference.refresh().await.expect("reads");
    assert_eq!(category_of(&reference, "x", 0).await, (1, None), "now a miss is kept");
    reference.store.accept(&[record(None, "a")], at(500)).await.expect("accepts");
    assert_eq!(category_of(&reference, "x", 0).await, (1, None));
    reference.refresh().await.expect("reads");
    assert_eq!(category_of(&reference, "x", 0).await, (2, Some("a".into())));
    reference.store.accept(&[record(None, "b")], at(500)).await.expect("accepts");
    for reference in [&reference, &replica] {
        reference.refresh().await.expect("reads");
        assert_eq!(category_of(reference, "x", 499).await, (3, Some("a".into())));
        assert_eq!(category_of(reference, "x", 500).await, (3, Some("b".into())));
    }
}

#[tokio::test]
async fn what_is_newer_than_the_version_is_not_used() {
    let folder = tidemill_testkit::tempdir();
    let reference = reference(&folder, 100).await;
    reference.store.accept(&[record(None, "a")], at(500)).await.expect("accepts");
    reference.refresh().await.expect("reads");
    // Read from the store only now, with the second change in it.
    reference.store.accept(&[record(None, "b")], at(500)).await.expect("accepts");
    assert_eq!(category_of(&reference, "x", 900).await, (1, Some("a".into())));
}

/// A correction reaches into the past where it is asked to; rates stay those of their day.
#[tokio::test]
async fn what_holds_at_a_moment_is_told_of_earlier_times() {
    let folder = tidemill_testkit::tempdir();
    let live = reference(&folder, 100).await;
    let rate = |from: i64, rate: &str| Record {
        kind: RecordKind::Rate,
        id: "USD".into(),
        valid_from: Some(at(from)),
        attributes: RecordAttributes::from([("rate".into(), rate.into())]),
    };
    live.store.accept(&[record(None, "a"), rate(400, "0.9")], at(300)).await.expect("accepts");
    live.store.accept(&[record(Some(600), "b"), rate(600, "0.8")], at(500)).await.expect("accepts");
    live.store.accept(&[record(Some(900), "c")], at(700)).await.expect("accepts");
    let corrected = reference(&folder, 100).await.with_not_before(Some(at(700)));
    corrected.refresh().await.expect("reads");
    let told = [(100, "b"), (650, "b"), (899, "b"), (900, "c")];
    for (time, category) in told {
        assert_eq!(category_of(&corrected, "x", time).await.1.as_deref(), Some(category), "{time}");
    }
    let snapshot = corrected.snapshot(Ids::default(), Ids::default()).await.expect("reads");
    let usd = "USD".parse().expect("a currency");
    assert_eq!([450, 650].map(|time| snapshot.rate(usd, at(time))), [Some("0.9"), Some("0.8")]);
}

#[tokio::test]
async fn many_changes_at_once_are_seen_too() {
    let folder = tidemill_testkit::tempdir();
    let reference = reference(&folder, 100).await;
    let country = Record {
        kind: RecordKind::Country,
        id: "TR".into(),
        valid_from: None,
        attributes: RecordAttributes::from([("region".into(), "Europe".into())]),
    };
    let many: Vec<Record> =
        (0..=CHANGES_AT_ONCE).map(|n| Record { id: n.to_string(), ..record(None, "a") }).chain([country]).collect();
    reference.store.accept(&many, at(500)).await.expect("accepts");
    reference.refresh().await.expect("reads");
    assert_eq!(category_of(&reference, "10000", 0).await, (many.len() as u64, Some("a".into())));
    let snapshot = reference.snapshot(Ids::default(), Ids::default()).await.expect("reads");
    let region = |name: &str| snapshot.country(name).and_then(|country| snapshot.region(country, at(0)));
    assert_eq!((region("Turkey"), region("EIRE")), (Some("Europe"), Some("Europe")));
    assert_eq!(region("Egypt"), Some("Middle East & Africa"));
}

#[tokio::test]
async fn a_rate_is_as_of_a_day() {
    let folder = tidemill_testkit::tempdir();
    let reference = reference(&folder, 100).await;
    let rate = |id: &str, valid_from: i64, rate: &str| Record {
        kind: RecordKind::Rate,
        id: id.into(),
        valid_from: Some(at(valid_from)),
        attributes: RecordAttributes::from([("rate".into(), rate.into())]),
    };
    let table =
        [rate("USD", 100, "0.91"), rate("USD", 300, "0.93"), rate("USD", 200, "0.92"), rate("JPY", 100, "0.0062")];
    let now = at(1_000_000);
    reference.store.accept(&table, now).await.expect("accepts");
    reference.refresh().await.expect("reads");
    let of = async |currency: &str, time: i64| {
        let snapshot = reference.snapshot(Ids::default(), Ids::default()).await.expect("reads");
        snapshot.rate(currency.parse().expect("a currency"), at(time)).map(String::from)
    };
    for (time, expected) in [(99, None), (100, Some("0.91")), (299, Some("0.92")), (9_999, Some("0.93"))] {
        assert_eq!(of("USD", time).await.as_deref(), expected, "{time}");
    }
    assert_eq!(of("JPY", 100).await.as_deref(), Some("0.0062"));
    assert_eq!(of("GBP", 100).await, None);
    reference.store.accept(&[rate("USD", 400, "0.94")], now).await.expect("accepts");
    reference.refresh().await.expect("reads");
    assert_eq!(of("USD", 400).await.as_deref(), Some("0.94"), "the table goes on");
    assert_eq!(of("JPY", 400).await.as_deref(), Some("0.0062"), "and the others stay");
}

/// A shop keeps its books in another currency from now on: what one of a currency is in
/// the one before says nothing of the new one.
#[tokio::test]
async fn a_rate_of_another_base_is_not_used() {
    let folder = tidemill_testkit::tempdir();
    let rate = |id: &str, rate: &str| Record {
        kind: RecordKind::Rate,
        id: id.into(),
        valid_from: None,
        attributes: RecordAttributes::from([("rate".into(), rate.into())]),
    };
    let francs = reference_of(&folder, 100, "CHF".parse().expect("a currency")).await;
    francs.store.accept(&[rate("JPY", "0.0058"), rate("USD", "0.88")], at(1_000)).await.expect("accepts");
    let euros = reference_of(&folder, 100, Currency::EUR).await;
    let new = [rate("USD", "0.92")];
    let verdicts = euros.store.accept(&new, at(9_000)).await.expect("accepts");
    assert_eq!(verdicts, [RecordVerdict::Changed(3, None)], "of this base it is the first, and for all of the past");
    assert_eq!(euros.store.accept(&new, at(9_000)).await.expect("accepts"), [RecordVerdict::Unchanged(3)]);
    for (reference, expected) in [(&euros, [None, Some("0.92")]), (&francs, [Some("0.0058"), Some("0.88")])] {
        reference.refresh().await.expect("reads");
        let snapshot = reference.snapshot(Ids::default(), Ids::default()).await.expect("reads");
        let of = |currency: &str| snapshot.rate(currency.parse().expect("a currency"), at(0)).map(String::from);
        assert_eq!([of("JPY"), of("USD")], expected.map(|rate| rate.map(String::from)));
    }
}
