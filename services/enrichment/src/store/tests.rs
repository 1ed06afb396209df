mod duplicates;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use futures::FutureExt;
use tidemill_domain::{Amount, Partition, Timestamp};
use tidemill_service::Context;
use tidemill_testkit::Postgres;

use self::duplicates::{
    marks_are_those_of_a_plain_set_whoever_has_the_partition, sealed_batches_keep_their_marks_and_blocks,
    segments_of_an_earlier_release_count_until_the_horizon,
};
use super::{records::Histories, *};
use crate::{
    archive::Archive,
    duplicates::{Duplicates, EventKey, EventKeys, Mark, MemoryLimits, RememberedBatch},
    error::Error,
    orders::{
        BatchChanges, EffectPlace, EventStatement, KeptChanges, LineStatement, OrderContext, OrderKey, OrderMemory,
        OrderStatement, PastEffects, RememberedOrder, StatementKind, Told,
    },
    reference::{CustomerClaim, Record, RecordAttributes, RecordChange, RecordKind, RecordVerdict, ReferenceFile},
    testing,
};

const PARTITION: Partition = Partition::new(3);

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

fn seen(raw_seq: u64, keys: u8) -> RememberedBatch {
    // The second is one of a release that kept no marks.
    let mark = |n: u8| match (n % 3, raw_seq) {
        (0, _) => Mark::Duplicate,
        (1, 9) => Mark::Repeated,
        _ => Mark::New,
    };
    let key = |n: u8| EventKey::from_bytes([n.wrapping_mul(37) ^ 0xff; EventKey::BYTES]);
    RememberedBatch {
        raw_seq,
        clock: at(1_000_000 + i64::from(u32::try_from(raw_seq).expect("small"))),
        keys: (0..keys).map(key).collect(),
        business_keys: (keys / 2..keys).filter(|_| raw_seq == 9).map(key).collect(),
        marks: (raw_seq != 5).then(|| (0..keys).map(mark).collect()),
    }
}

fn record(kind: RecordKind, id: &str, category: &str) -> Record {
    let attributes =
        RecordAttributes::from([("category".into(), category.into()), ("na\u{ef}ve".into(), "\"\u{1f30a}".into())]);
    Record { kind, id: id.into(), valid_from: None, attributes }
}

fn step(from: u64, to: u64, batches: Vec<&RememberedBatch>, prune_below: Option<u64>) -> PartitionCheckpoint<'_> {
    PartitionCheckpoint { partition: PARTITION, from, to, batches, runs: None, prune_below, orders: no_orders() }
}

fn no_orders() -> OrdersCheckpoint<'static> {
    let changed = NO_ORDERS.get_or_init(HashMap::new);
    OrdersCheckpoint { changed, kept: &[], forget_before: None, prune_before: None }
}

static NO_ORDERS: OnceLock<HashMap<OrderKey, RememberedOrder>> = OnceLock::new();

fn event_key(number: usize) -> EventKey {
    EventKey::of("shop", &number.to_string(), &mut Vec::new())
}

/// What memory would store after an order and a refund of another one.
fn remembered(touched: i64, texts: &[String]) -> (HashMap<OrderKey, RememberedOrder>, Vec<KeptChanges>) {
    let statement = |id: &str, kind| OrderStatement {
        kind,
        id: id.into(),
        currency: None,
        is_currency_unknown: false,
        lines: texts.iter().map(|text| LineStatement { product: Some(text.clone()), ..Default::default() }).collect(),
        discount: None,
        shipping: None,
        tax: None,
        amount: Some(Amount::from_int(7)),
        is_shipping_unread: false,
        is_tax_unread: false,
        is_unread: false,
    };
    let (placed, early) = (statement("o", StatementKind::Placed), statement("w", StatementKind::Refunded));
    let context = |text: &String| OrderContext {
        time: at(touched),
        customer: Some(text.clone()),
        country: Some(text.clone()),
        ip_country: None,
        currency: None,
    };
    let told = texts.iter().enumerate().flat_map(|(place, text)| {
        [&placed, &early].map(|statement| EventStatement {
            place: 2 * place,
            event: event_key(place),
            told: Told::First,
            statement,
            context: context(text),
        })
    });
    let mut memory = OrderMemory::restore(1000, HashSet::new());
    let settled = memory.settle(at(touched), told.collect(), &HashMap::new(), &PastEffects::default());
    memory.commit(7, at(touched), settled);
    let (changed, kept) = memory.unsaved();
    (changed.clone(), kept.to_vec())
}

/// Each check runs on SQLite as a test of its own. On PostgreSQL they share a
/// server, and one that fails does not keep the others from running.
macro_rules! on_each_database {
    ($($check:ident),+ $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $check() {
                    let folder = tidemill_testkit::tempdir();
                    super::$check(&crate::testing::sqlite(&folder).await).await;
                }
            )+
        }

        #[tokio::test]
        async fn postgres_passes() {
            let Some(server) = Postgres::start().await else {
                return tidemill_testkit::skipped("the store on PostgreSQL", "it is not installed");
            };
            let store = testing::open(&server.url()).await;
            let mut failed: Vec<&str> = Vec::new();
            $(
                if AssertUnwindSafe($check(&store)).catch_unwind().await.is_err() {
                    failed.push(stringify!($check));
                }
            )+
            assert_eq!(failed, Vec::<&str>::new());
        }
    };
}

on_each_database!(
    batches_and_floor_move_together,
    sealed_batches_keep_their_marks_and_blocks,
    segments_of_an_earlier_release_count_until_the_horizon,
    marks_are_those_of_a_plain_set_whoever_has_the_partition,
    changes_are_counted_and_found,
    a_table_of_rates_is_stored_with_its_days,
    a_rate_is_of_one_base,
    rates_of_an_earlier_release_are_of_the_base_that_is_found,
    a_file_is_loaded_once,
    writers_take_turns,
    any_text_may_be_asked_for,
    orders_are_remembered,
    claims_are_stored_with_their_batches,
    what_a_database_refuses_keeps_no_other_claim_away,
    customers_known_by_claims_are_bounded,
);

async fn batches_and_floor_move_together(store: &Store) {
    assert_eq!(store.floor(PARTITION).await.expect("reads"), 0);
    let (two, five, nine) = (seen(2, 3), seen(5, 0), seen(9, 200));
    store.checkpoint(&step(0, 5, vec![&two, &five], None)).await.expect("keeps");
    for wrong in [0, 4, 6] {
        let late = store.checkpoint(&step(wrong, 9, vec![&nine], Some(100))).await;
        assert!(matches!(late, Err(Error::Superseded(PARTITION))), "{wrong}: {late:?}");
    }
    assert_eq!(store.floor(PARTITION).await.expect("reads"), 5);
    assert_eq!(store.batches(PARTITION, 0).await.expect("reads"), [two, five.clone()]);
    store.checkpoint(&step(5, 9, vec![&nine], Some(5))).await.expect("keeps");
    assert_eq!(store.batches(PARTITION, 0).await.expect("reads"), [five, nine]);
    assert_eq!(store.floor(PARTITION).await.expect("reads"), 9);
    assert_eq!(store.batches(Partition::new(4), 0).await.expect("reads"), []);
}

async fn orders_are_remembered(store: &Store) {
    let partition = Partition::new(7);
    let none = HashMap::new();
    let step = |from, to, changed, kept, forget_before, prune_before| PartitionCheckpoint {
        partition,
        from,
        to,
        batches: Vec::new(),
        runs: None,
        prune_below: None,
        orders: OrdersCheckpoint { changed, kept, forget_before, prune_before },
    };
    let (changed, kept) = remembered(500, &tidemill_testkit::any_texts());
    store.checkpoint(&step(0, 7, &changed, &kept, None, None)).await.expect("keeps");
    let keys = HashSet::from(["o", "w", "x"].map(OrderKey::of));
    assert_eq!(store.orders(partition, &keys).await.expect("reads"), changed);
    assert_eq!(store.orders(PARTITION, &keys).await.expect("reads"), HashMap::new());
    assert_eq!(store.orders(partition, &HashSet::new()).await.expect("reads"), HashMap::new());
    assert_eq!(store.waiting_orders(partition).await.expect("reads"), HashSet::from([OrderKey::of("w")]));
    let expected = kept[0].changes.clone();
    assert_eq!((kept.len(), kept[0].raw_seq), (1, 7));
    assert_eq!(store.order_changes(partition, 7).await.expect("reads"), expected);
    assert_eq!(store.order_changes(partition, 6).await.expect("reads"), BatchChanges::new());

    let events = BTreeSet::from([0, 1, 999].map(event_key));
    let of = |partition, since| store.order_effects(partition, &events, at(since));
    let effect = |raw_seq, place| EffectPlace { raw_seq, place };
    let effects = of(partition, 500).await.expect("reads");
    assert_eq!(effects, BTreeMap::from([(event_key(0), effect(7, 0)), (event_key(1), effect(7, 2))]));
    assert_eq!(of(partition, 501).await.expect("reads"), BTreeMap::new());
    assert_eq!(of(PARTITION, 0).await.expect("reads"), BTreeMap::new());
    assert_eq!(store.order_effects(partition, &BTreeSet::new(), at(0)).await.expect("reads"), BTreeMap::new());

    // The floor has moved, so nothing of it counts.
    let late = store.checkpoint(&step(3, 9, &none, &[], Some(at(1000)), None)).await;
    assert!(matches!(late, Err(Error::Superseded(_))), "{late:?}");
    let again: HashMap<_, _> =
        changed.iter().map(|(key, known)| (*key, RememberedOrder { touched: at(600), ..known.clone() })).collect();
    store.checkpoint(&step(7, 8, &again, &[], Some(at(600)), Some(at(500)))).await.expect("keeps");
    assert_eq!(store.orders(partition, &keys).await.expect("reads"), again);
    assert_eq!(store.order_changes(partition, 7).await.expect("reads"), expected);
    // An event that did it once more, twice in a checkpoint even: the last is told.
    let once_more = |raw_seq, ingested_at| KeptChanges {
        raw_seq,
        ingested_at: at(ingested_at),
        changes: BatchChanges::new(),
        events: vec![(event_key(1), 5)],
    };
    let kept = [once_more(8, 600), once_more(9, 601)];
    store.checkpoint(&step(8, 9, &none, &kept, Some(at(601)), Some(at(501)))).await.expect("keeps");
    assert_eq!(of(partition, 0).await.expect("reads"), BTreeMap::from([(event_key(1), effect(9, 5))]));
    assert_eq!(store.orders(partition, &keys).await.expect("reads"), HashMap::new());
    assert_eq!(store.order_changes(partition, 7).await.expect("reads"), BatchChanges::new());
}

fn claim(id: &str, time: i64, category: &str) -> CustomerClaim {
    let attributes = RecordAttributes::from([("category".into(), category.into())]);
    CustomerClaim { id: id.into(), time: at(time), country: None, attributes, is_unread: false }
}

/// A checkpoint of a partition with what these events claim.
async fn claimed(
    store: &Store,
    partition: u16,
    steps: (u64, u64),
    claims: &[CustomerClaim],
    most_customers: u64,
) -> Result<ClaimsOutcome, Error> {
    let mut by_customer = HashMap::<String, Vec<CustomerClaim>>::new();
    for claim in claims {
        by_customer.entry(claim.id.clone()).or_default().push(claim.clone());
    }
    let step = PartitionCheckpoint { partition: Partition::new(partition), ..step(steps.0, steps.1, Vec::new(), None) };
    let earliest = || at(5_000);
    let claims = ClaimsCheckpoint { claims: &by_customer, earliest: &earliest, most_customers };
    store.checkpoint_with_claims(&step, &claims).await
}

fn changed(changed: u64) -> ClaimsOutcome {
    ClaimsOutcome { changed, ..ClaimsOutcome::default() }
}

async fn claims_are_stored_with_their_batches(store: &Store) {
    let before = store.version().await.expect("reads");
    let news = [claim("k-1", 10, "a"), claim("k-2", 10, "a"), claim("k-1", 11, "b")];
    assert_eq!(claimed(store, 20, (0, 1), &news, 99).await.expect("keeps"), changed(2));
    // Another instance has done it: as in a batch that is read again, nothing is written.
    let late = claimed(store, 20, (0, 1), &[claim("k-1", 12, "c")], 99).await;
    assert!(matches!(late, Err(Error::Superseded(_))), "{late:?}");
    assert_eq!(claimed(store, 20, (1, 2), &news[1..], 99).await.expect("keeps"), changed(0), "it is known");
    assert_eq!(store.version().await.expect("reads"), before + 2);
    assert_eq!(store.floor(Partition::new(20)).await.expect("reads"), 2);
    assert_eq!(claimed(store, 20, (2, 3), &[claim("k-1", 20, "c")], 99).await.expect("keeps"), changed(1));
    let history = async |id: &str| {
        let found = store.histories(RecordKind::Customer, &[id]).await.expect("reads").remove(id).unwrap_or_default();
        let change = |c: RecordChange| (c.valid_from, c.claimed_at, c.attributes["category"].clone());
        found.into_iter().map(change).collect::<Vec<_>>()
    };
    let claims = [(None, Some(at(11)), "b".to_owned()), (Some(at(5_000)), Some(at(20)), "c".to_owned())];
    assert_eq!(history("k-1").await, claims);

    // What a person sets is decided as if nobody had claimed anything, and stays.
    let set = record(RecordKind::Customer, "k-1", "set");
    let verdicts = store.accept(std::slice::from_ref(&set), at(6_000)).await.expect("accepts");
    assert_eq!(verdicts, [RecordVerdict::Changed(before + 4, None)]);
    assert_eq!(store.accept(&[set], at(7_000)).await.expect("accepts"), [RecordVerdict::Unchanged(before + 4)]);
    let news = [claim("k-1", 30, "d"), claim("k-2", 30, "d")];
    assert_eq!(claimed(store, 20, (3, 4), &news, 99).await.expect("keeps"), changed(1));
    assert_eq!(history("k-1").await.len(), 3);
    let found = store.changed_ids(before + 3, 10).await.expect("reads");
    assert_eq!(found, [(RecordKind::Customer, "k-1".into()), (RecordKind::Customer, "k-2".into())]);
}

async fn what_a_database_refuses_keeps_no_other_claim_away(store: &Store) {
    // No id of a record may have a control character; should one come all the same,
    // PostgreSQL does not take it.
    let news = [claim("r-1", 10, "a"), claim("r\0", 10, "a"), claim("r-2", 10, "a")];
    let ClaimsOutcome { changed, refused, beyond } = claimed(store, 21, (0, 1), &news, 99).await.expect("keeps");
    assert_eq!((changed + refused, beyond), (3, 0));
    let found = store.histories(RecordKind::Customer, &["r-1", "r-2"]).await.expect("reads");
    assert_eq!(found.len(), 2);
    assert_eq!(store.floor(Partition::new(21)).await.expect("reads"), 1, "the floor has moved");
}

async fn customers_known_by_claims_are_bounded(store: &Store) {
    let first = claimed(store, 22, (0, 1), &[claim("b-1", 10, "a")], 1_000).await.expect("keeps");
    assert_eq!(first, changed(1));
    let news = [claim("b-1", 11, "b"), claim("b-2", 10, "a")];
    let outcome = claimed(store, 22, (1, 2), &news, 1).await.expect("keeps");
    assert_eq!(outcome, ClaimsOutcome { changed: 1, refused: 0, beyond: 1 });
    assert!(store.histories(RecordKind::Customer, &["b-2"]).await.expect("reads").is_empty());
}

async fn changes_are_counted_and_found(store: &Store) {
    let before = store.version().await.expect("reads");
    let books = record(RecordKind::Product, "1", "Books");
    let other = [record(RecordKind::Customer, "1", "x"), record(RecordKind::Product, "1", "Toys")];
    let first = store.accept(std::slice::from_ref(&books), at(500)).await.expect("accepts");
    assert_eq!(first, [RecordVerdict::Changed(before + 1, None)]);
    assert_eq!(store.accept(&[books], at(600)).await.expect("accepts"), [RecordVerdict::Unchanged(before + 1)]);
    let more = store.accept(&other, at(700)).await.expect("accepts");
    assert_eq!(more, [RecordVerdict::Changed(before + 2, None), RecordVerdict::Changed(before + 3, Some(at(700)))]);
    let early = Record { valid_from: Some(at(10)), ..record(RecordKind::Product, "1", "Games") };
    assert_eq!(store.accept(&[early], at(800)).await.expect("accepts"), [RecordVerdict::TooEarly(None)]);

    assert_eq!(store.version().await.expect("reads"), before + 3);
    let changed = store.changed_ids(before + 1, 10).await.expect("reads");
    assert_eq!(changed, [(RecordKind::Customer, "1".into()), (RecordKind::Product, "1".into())]);
    assert_eq!(store.changed_ids(before, 1).await.expect("reads").len(), 1);
    let found = store.histories(RecordKind::Product, &["1", "nothing"]).await.expect("reads");
    assert_eq!(found.len(), 1);
    assert_eq!(
        found["1"].iter().map(|c| (c.version, c.valid_from)).collect::<Vec<_>>(),
        [(before + 1, None), (before + 3, Some(at(700)))]
    );
    assert_eq!(found["1"][1].attributes, record(RecordKind::Product, "1", "Toys").attributes);
    assert_eq!(store.histories_of(RecordKind::Customer).await.expect("reads")["1"][0].version, before + 2);
}

async fn a_table_of_rates_is_stored_with_its_days(store: &Store) {
    let rate = |valid_from: i64, rate: &str| Record {
        kind: RecordKind::Rate,
        id: "USD".into(),
        valid_from: Some(at(valid_from)),
        attributes: RecordAttributes::from([("rate".into(), rate.into())]),
    };
    let file = |text: &str, records: Vec<Record>| ReferenceFile {
        path: "rates.csv".into(),
        digest: text.into(),
        lines: (2..).map(Some).take(records.len()).collect(),
        records,
    };
    let table = vec![rate(100, "0.91"), rate(200, "0.92")];
    let loaded = store.load(&file("1", table.clone()), at(9_000)).await.expect("loads").expect("is new").verdicts;
    assert!(loaded.iter().all(|verdict| matches!(verdict, RecordVerdict::Changed(..))), "{loaded:?}");
    let longer: Vec<Record> = table.iter().cloned().chain([rate(300, "0.93")]).collect();
    let loaded = store.load(&file("2", longer), at(9_500)).await.expect("loads").expect("is new").verdicts;
    let last = loaded.last().copied();
    assert!(matches!(last, Some(RecordVerdict::Changed(_, Some(from))) if from == at(300)), "{loaded:?}");
    assert!(loaded[..2].iter().all(|verdict| matches!(verdict, RecordVerdict::Unchanged(_))), "{loaded:?}");
    let wrong = vec![rate(100, "0.91"), rate(200, "0.95")];
    let corrected = store.load(&file("3", wrong), at(9_900)).await.expect_err("is refused").to_string();
    let reason = format!("rates.csv:3: rate \"USD\": valid_from must be after {}", at(300));
    assert!(corrected.contains(&reason), "{corrected}");
    let stored = store.histories_of(RecordKind::Rate).await.expect("reads");
    let days: Vec<_> = stored["USD"].iter().map(|change| change.valid_from).collect();
    assert_eq!(days, [Some(at(100)), Some(at(200)), Some(at(300))]);
}

fn of_base(store: &Store, base: &str) -> Store {
    Store { database: store.database.clone(), base: base.parse().expect("a currency") }
}

fn rate(id: &str, rate: &str) -> Record {
    let attributes = RecordAttributes::from([("rate".into(), rate.into())]);
    Record { kind: RecordKind::Rate, id: id.into(), valid_from: None, attributes }
}

async fn bases_of(store: &Store, id: &str) -> Vec<(String, Option<String>)> {
    let found = store.histories(RecordKind::Rate, &[id]).await.expect("reads").remove(id).unwrap_or_default();
    found.into_iter().map(|c| (c.attributes["rate"].clone(), c.base.map(|base| base.to_string()))).collect()
}

async fn a_rate_is_of_one_base(store: &Store) {
    let (francs, euros) = (of_base(store, "CHF"), of_base(store, "EUR"));
    let file = |digest: &str, records: Vec<Record>| ReferenceFile {
        path: "of-one-base.yaml".into(),
        digest: digest.into(),
        lines: vec![None; records.len()],
        records,
    };
    let book = record(RecordKind::Product, "base-1", "Books");
    let first = file("1", vec![rate("SEK", "0.085"), book, rate("NOK", "0.079")]);
    assert!(francs.load(&first, at(1000)).await.expect("loads").is_some());
    assert_eq!(francs.load(&first, at(1000)).await.expect("loads"), None);
    let toys = record(RecordKind::Product, "base-1", "Toys");
    francs.accept(&[toys], at(1000)).await.expect("accepts");

    // The same content says something else of rates, and of the product what it said.
    let LoadedFile { verdicts, kept } = euros.load(&first, at(2000)).await.expect("loads").expect("its base is new");
    assert!(matches!(verdicts[..], [RecordVerdict::Changed(_, None), RecordVerdict::Changed(_, None)]), "{verdicts:?}");
    assert_eq!(kept, 0);
    assert_eq!(euros.load(&first, at(2000)).await.expect("loads"), None);
    let both = [("0.085", "CHF"), ("0.085", "EUR")].map(|(rate, base)| (rate.to_owned(), Some(base.to_owned())));
    assert_eq!(bases_of(store, "SEK").await, both);

    // A rate that only the other base has is not kept as one of this; a product is.
    let second = file("2", vec![rate("SEK", "0.086")]);
    let kept = of_base(store, "GBP").load(&second, at(3000)).await.expect("loads").expect("is new").kept;
    assert_eq!(kept, 1, "the product");
}

async fn rates_of_an_earlier_release_are_of_the_base_that_is_found(store: &Store) {
    let francs = of_base(store, "CHF");
    let file = ReferenceFile {
        path: "earlier.yaml".into(),
        digest: "1".into(),
        records: vec![rate("DKK", "0.14")],
        lines: vec![None],
    };
    francs.load(&file, at(0)).await.expect("loads");
    let erased =
        ["UPDATE reference_changes SET base = NULL WHERE id = 'DKK'", "UPDATE reference_files SET base = NULL"];
    let mut transaction = store.database.begin().await.expect("begins");
    for sql in erased {
        sqlx::query(sql).execute(&mut *transaction).await.expect("writes");
    }
    transaction.commit().await.expect("commits");
    assert_eq!(francs.load(&file, at(0)).await.expect("loads"), None, "its base is not known to differ");
    francs.name_bases().await.expect("writes");
    assert_eq!(bases_of(store, "DKK").await, [("0.14".to_owned(), Some("CHF".to_owned()))]);
    assert!(of_base(store, "EUR").load(&file, at(0)).await.expect("loads").is_some());
}

async fn any_text_may_be_asked_for(store: &Store) {
    store
        .accept(&["t-1", "Zo\u{eb}"].map(|id| record(RecordKind::Product, id, "Books")), at(0))
        .await
        .expect("accepts");
    let texts = tidemill_testkit::any_texts();
    let ids: Vec<&str> = texts.iter().map(String::as_str).chain(["t-1", "Zo\u{eb}"]).collect();
    let known = |found: Histories| found.into_keys().collect::<BTreeSet<_>>();
    let expected = ["t-1", "Zo\u{eb}"].map(String::from).into();
    assert_eq!(known(store.histories(RecordKind::Product, &ids).await.expect("answers")), expected);
    // Where a database refuses an id, the others are found all the same.
    assert_eq!(known(store.known_of(RecordKind::Product, ids).await.expect("answers")), expected);
}

async fn a_file_is_loaded_once(store: &Store) {
    let before = store.version().await.expect("reads");
    let file = |digest: &str, records| ReferenceFile {
        path: "products.yaml".into(),
        digest: digest.into(),
        records,
        lines: Vec::new(),
    };
    let many: Vec<Record> = (0..12_000).map(|n| record(RecordKind::Product, &format!("f-{n:05}"), "Books")).collect();
    let first = file("one", many);
    let LoadedFile { verdicts, kept } = store.load(&first, at(1000)).await.expect("loads").expect("is new");
    assert_eq!(kept, 0);
    assert!(verdicts.iter().all(|verdict| matches!(verdict, RecordVerdict::Changed(_, None))));
    assert_eq!(store.load(&first, at(2000)).await.expect("loads"), None);
    assert_eq!(store.version().await.expect("reads"), before + 12_000);
    assert_eq!(store.ids(RecordKind::Product, "f-11997", 10).await.expect("reads"), ["f-11998", "f-11999"]);

    let second = file(
        "two",
        vec![record(RecordKind::Product, "f-00000", "Books"), record(RecordKind::Product, "f-00001", "Toys")],
    );
    let LoadedFile { verdicts, kept } = store.load(&second, at(3000)).await.expect("loads").expect("is new");
    assert_eq!(kept, 11_998, "what is not in it any more stays known");
    assert_eq!(store.histories(RecordKind::Product, &["f-11999"]).await.expect("reads").len(), 1);
    assert_eq!(
        verdicts,
        [RecordVerdict::Unchanged(before + 1), RecordVerdict::Changed(before + 12_001, Some(at(3000)))]
    );

    let early = Record { valid_from: Some(at(1)), ..record(RecordKind::Product, "f-00002", "Toys") };
    let wrong = file("three", vec![record(RecordKind::Product, "new", "Toys"), early]);
    let error = store.load(&wrong, at(4000)).await.expect_err("is refused").to_string();
    assert!(error.contains("products.yaml") && error.contains("f-00002"), "{error}");
    assert_eq!(store.version().await.expect("reads"), before + 12_001, "nothing of it is taken in");
}

async fn writers_take_turns(store: &Store) {
    let before = store.version().await.expect("reads");
    let writes = (0..20).map(|n| async move {
        store.accept(&[record(RecordKind::Product, &format!("w-{n}"), "Books")], at(0)).await.expect("accepts")
    });
    let versions = futures::future::join_all(writes).await;
    let mut versions: Vec<u64> = versions
        .into_iter()
        .map(|verdicts| match verdicts[..] {
            [RecordVerdict::Changed(version, None)] => version,
            ref other => panic!("{other:?}"),
        })
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (before + 1..=before + 20).collect::<Vec<_>>());
}

/// Two instances on one database, as in a rolling update.
#[tokio::test]
async fn instances_share_postgres_without_losing_a_version() {
    let Some(server) = Postgres::start().await else {
        return tidemill_testkit::skipped("two instances on PostgreSQL", "it is not installed");
    };
    let (one, two) = (testing::open(&server.url()).await, testing::open(&server.url()).await);
    let write = |store: &'static str, n: usize| {
        let id = format!("{store}-{n}");
        let store = if store == "one" { &one } else { &two };
        let records = [record(RecordKind::Customer, &id, "x")];
        async move {
            // On a busy machine some wait for a connection for longer than a caller does:
            // those have changed nothing, and ask again.
            while let Err(error) = store.accept(&records, at(0)).await {
                assert!(matches!(error, StoreError::Query(sqlx::Error::PoolTimedOut)), "{error}");
            }
        }
    };
    futures::future::join_all((0..20).flat_map(|n| [write("one", n), write("two", n)])).await;
    assert_eq!(one.version().await.expect("reads"), 40);
    assert_eq!(two.changed_ids(0, 100).await.expect("reads").len(), 40);
    let batch = seen(1, 1);
    let step = step(0, 1, vec![&batch], None);
    let (a, b) = tokio::join!(one.checkpoint(&step), two.checkpoint(&step));
    let refused: Vec<String> = [a, b].into_iter().filter_map(|done| Some(done.err()?.to_string())).collect();
    assert_eq!(refused, ["partition 3 was taken on by another instance"]);
}
