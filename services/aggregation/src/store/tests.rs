mod counting;
mod lateness;
mod migrations;
mod retention;

use std::{collections::HashMap, sync::Arc};

use tidemill_domain::Timestamp;
use tidemill_events::{CellGroup, CellUpdate, EnrichedBatch};
use tidemill_service::{Ceiling, CeilingConfig, Context};
use tidemill_stage::Failure;
use tidemill_testkit::{Postgres, skipped, tempdir};

use super::{read::ChangedPart, *};
use crate::{
    config::Windows,
    fold::{
        books::{BooksKey, EventOutcomes},
        cell::{Cell, MeasureState, published_id},
    },
    stage::owner::{Owner, Taken},
    testing,
};

const P: Partition = Partition::new(3);
const METRICS: &str = "name: daily\ntypes: [invoice.line]\nwindow: {tumbling: 1d}\ndimensions:\n  \
                       country: data.country\nmeasures:\n  customers: {distinct: data.customer_id, within: partition}\n  \
                       net: {sum: data.unit_price, money: currency}\n---\n\
                       name: visits\ntypes: [invoice.line]\nwindow: {session: {gap: 1m}}\ndimensions:\n  \
                       country: data.country\nmeasures:\n  customers: {distinct: data.customer_id, within: partition}\n  \
                       lines: {count: rows}\n";

fn batch(raw_seq: u64, raw_prev: u64, lines: &[(u32, i64)]) -> EnrichedBatch {
    let line = |(customer, seconds): &(u32, i64)| {
        let time = Timestamp::saturating_from_millis(1_291_190_400_000 + seconds * 1000);
        format!(
            r#"{{"specversion":"1.0","id":"x","source":"s, \"q\"","type":"invoice.line","time":"{time}","data":{{"invoice":"i{customer}","quantity":2,"unit_price":1.005,"customer_id":"c{customer}","country":"DE"}},"enriched":{{"refdata":1,"region":"Europe","currency":"JPY","rate":"0.0062","base":"EUR"{}}}}}"#,
            // This one is a repetition.
            if *customer == 0 { ",\"duplicate\":true,\"repeated\":true" } else { "" }
        ) + "\n"
    };
    EnrichedBatch {
        partition: P,
        raw_seq,
        raw_prev,
        remade: None,
        ingested_at: Timestamp::saturating_from_millis(1_700_000_000_000),
        refdata: 1,
        count: lines.len() as u32,
        types: None,
        lines: lines.iter().map(line).collect::<String>().into(),
        trace: None,
    }
}

struct Fixture {
    store: Store,
    metrics: Arc<tidemill_definitions::Metrics>,
    ceiling: Ceiling,
}

impl Fixture {
    async fn open(config: Config) -> Self {
        let breaker = Context::new("aggregation").breaker("store");
        let store = Store::open(&config, breaker).await.expect("opens");
        Self { store, metrics: testing::metrics(METRICS).into(), ceiling: Ceiling::new(CeilingConfig::default()) }
    }

    async fn owner(&self, partition: Partition) -> Owner {
        let windows = Arc::new(Windows::default());
        let opened = Owner::open(self.store.clone(), self.metrics.clone(), windows, partition, Timestamp::EPOCH).await;
        opened.expect("opens")
    }

    async fn take(&mut self, owner: &mut Owner, batch: &EnrichedBatch) {
        let taken = owner.take(batch, &mut self.ceiling, Timestamp::EPOCH).await.expect("applies");
        assert!(matches!(taken, Taken::Applied(_)), "{taken:?}");
    }
}

fn order(cell: &CellUpdate) -> (CellGroup, Timestamp) {
    (cell.group.clone(), cell.start)
}

/// The cells of the partition that changed after a batch.
async fn updates(store: &Store, raw_seq: u64) -> Vec<CellUpdate> {
    let mut updates = Vec::new();
    for part in store.cells_after(P, raw_seq).await.expect("answers") {
        updates.extend(store.updates(P, &part, raw_seq).await.expect("answers"));
    }
    updates.sort_by_key(order);
    updates
}

async fn session_ids(store: &Store) -> Vec<CellId> {
    let parts = store.cells_after(P, 0).await.expect("answers");
    let rows = parts.into_iter().filter_map(|part| match part {
        ChangedPart::Rows(ids) => Some(ids),
        ChangedPart::Pages(_) => None,
    });
    rows.flatten().collect()
}

/// Applying, checkpointing and loading in any place gives what applying alone
/// gives.
async fn a_restart_changes_nothing(config: Config) {
    let mut fixture = Fixture::open(config).await;
    // The second makes one session of two, the third moves its start.
    let batches = [
        batch(1, 0, &[(1, 100), (2, 200)]),
        batch(5, 1, &[(2, 150), (3, 159), (0, 170)]),
        batch(9, 5, &[(3, 60), (4, 1000), (1, 160)]),
    ];
    let mut straight = fixture.owner(Partition::new(7)).await;
    for batch in &batches {
        let mut copy = batch.clone();
        copy.partition = Partition::new(7);
        fixture.take(&mut straight, &copy).await;
        let mut owner = fixture.owner(P).await;
        fixture.take(&mut owner, batch).await;
        let changes = owner.take_changes(Timestamp::EPOCH);
        fixture.store.checkpoint(&changes, &owner.claim, &owner.pages).await.expect("writes");
        fixture.store.checkpoint(&changes, &owner.claim, &owner.pages).await.expect("writing again is harmless");
    }
    let store = &fixture.store;
    let owner = fixture.owner(P).await;
    assert_eq!(
        owner.claim,
        PartitionClaim { partition: P, epoch: 4, floor: 9, log_time: batches.last().map(|batch| batch.ingested_at) }
    );
    assert_eq!(owner.state.clocks.watermark(Timestamp::EPOCH), straight.state.clocks.watermark(Timestamp::EPOCH));
    let books = store.all_books(P).await.expect("loads books");
    let books = books.into_iter().collect::<HashMap<BooksKey, EventOutcomes>>();
    assert_eq!(books, straight.state.books);
    let told = books.values().copied().collect::<Vec<_>>();
    assert_eq!(told, [EventOutcomes { counted: 7, late: 0, duplicate: 1, repeated: 1 }]);

    let read = updates(store, 0).await;
    let mut expected: Vec<_> = straight.state.cells.values().map(Cell::update).collect();
    expected.sort_by_key(order);
    assert_eq!(read, expected);
    let mut loaded = store.cells(&session_ids(store).await).await.expect("loads");
    for update in expected.iter().filter(|update| update.metric() == "daily") {
        let metric = fixture.metrics.get("daily").expect("is defined");
        let id = published_id(P, update);
        let wanted = [WantedWindow { metric, start: update.start, id }];
        assert_eq!(owner.pages.possible(wanted.to_vec()).len(), 1);
        loaded.extend(store.windows(&owner.pages, P, &wanted).await.expect("loads"));
    }
    assert_eq!(loaded.len(), expected.len());
    for update in loaded.values().map(Cell::update) {
        assert!(expected.contains(&update), "with all that it has seen: {update:?}");
    }
    let retracted: Vec<i64> = store
        .retractions_after(P, 0)
        .await
        .expect("answers")
        .iter()
        .map(|cell| (cell.start.millis() - 1_291_190_400_000) / 1000)
        .collect();
    assert_eq!(retracted.len(), 2, "the session that was absorbed, and the start that moved: {retracted:?}");
    assert!(retracted.contains(&200) && retracted.contains(&100));
    assert_eq!(store.retractions_after(P, 5).await.expect("answers").len(), 1);

    let size = store.size().await.expect("answers");
    // The window is in six runs, and its values are there twice.
    assert_eq!(size, StoredRows { cells: 6 + 2, values: 2 * 4 + 3 + 1, books: 1, sources: 1 });
    assert!(store.cells(&[[0; 16]]).await.expect("answers").is_empty());
    assert_eq!(fixture.owner(Partition::new(4)).await.claim.floor, 0, "partitions are apart");
    assert!(store.all_books(Partition::new(4)).await.expect("answers").is_empty());
}

/// Whoever claimed before the last claim writes nothing, and may not trust
/// what it reads.
async fn an_old_owner_is_refused(config: Config) {
    let mut fixture = Fixture::open(config).await;
    let mut old = fixture.owner(P).await;
    fixture.take(&mut old, &batch(1, 0, &[(1, 100)])).await;
    let first = old.take_changes(Timestamp::EPOCH);
    fixture.store.checkpoint(&first, &old.claim, &old.pages).await.expect("is the owner");
    fixture.take(&mut old, &batch(2, 1, &[(2, 100)])).await;
    let late = old.take_changes(Timestamp::EPOCH);

    let mut new = fixture.owner(P).await;
    let refused = fixture.store.checkpoint(&late, &old.claim, &old.pages).await.expect_err("is not the owner");
    assert_eq!(refused.code().as_str(), "superseded");
    assert!(refused.is_transient());
    fixture.take(&mut new, &batch(2, 1, &[(2, 100)])).await;
    fixture.take(&mut new, &batch(3, 2, &[(5, 9_000)])).await;
    let changes = new.take_changes(Timestamp::EPOCH);
    fixture.store.checkpoint(&changes, &new.claim, &new.pages).await.expect("is the owner");
    let stranger = batch(3, 2, &[(5, 9_000)]);
    let read = old.take(&stranger, &mut fixture.ceiling, Timestamp::EPOCH).await.expect_err("reads what is newer");
    assert_eq!(read.code().as_str(), "superseded");
    assert_eq!(fixture.owner(P).await.claim.floor, 3);

    let store = &fixture.store;
    store.note_stale_points(&old.claim, 1).await.expect("leaves word");
    store.note_stale_points(&old.claim, 1).await.expect("once");
    assert!(store.stale_points(Partition::new(4)).await.expect("answers").is_empty());
    let notes = store.stale_points(P).await.expect("answers");
    assert_eq!((notes.len(), notes[0].after), (1, 1));
    store.forget_stale_points(&notes[0]).await.expect("forgets");
    assert!(store.stale_points(P).await.expect("answers").is_empty());
}

/// Whatever an event says may be a dimension, and be counted once.
async fn any_text_is_held(config: Config) {
    let mut fixture = Fixture::open(config).await;
    let texts = tidemill_testkit::any_texts();
    let plain = batch(4, 0, &[(1, 100)]);
    let line = String::from_utf8(plain.lines.to_vec()).expect("text");
    let with = |text: &String| {
        let text = serde_json::Value::from(text.as_str()).to_string();
        line.replace("\"DE\"", &text).replace("\"c1\"", &text)
    };
    let batch = EnrichedBatch { lines: texts.iter().map(with).collect::<String>().into(), ..plain };
    let mut owner = fixture.owner(P).await;
    fixture.take(&mut owner, &batch).await;
    fixture.store.checkpoint(&owner.take_changes(Timestamp::EPOCH), &owner.claim, &owner.pages).await.expect("writes");
    let read = updates(&fixture.store, 0).await;
    let mut expected: Vec<_> = owner.state.cells.values().map(Cell::update).collect();
    expected.sort_by_key(order);
    assert_eq!(read, expected);
    assert!(read.iter().any(|cell| cell.group.dimension("country") == Some("a\0b")));
}

#[tokio::test]
async fn any_text_is_held_on_sqlite() {
    any_text_is_held(sqlite(&tempdir())).await;
}

#[tokio::test]
async fn any_text_is_held_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("any_text_is_held_on_postgres", "no PostgreSQL is installed");
    };
    any_text_is_held(Config { url: server.url(), max_connections: 4 }).await;
}

/// What the database refuses is found, set aside and told of, and the rest of
/// the batch stands as if it had never been there.
async fn what_is_refused_is_set_aside(config: Config) {
    let url = config.url.clone();
    let mut fixture = Fixture::open(config).await;
    tidemill_store::testing::refuse(&url, "books", "source", "poison").await.expect("refuses from now on");
    let mut owner = fixture.owner(P).await;
    let good = batch(4, 0, &[(1, 100), (2, 200), (3, 300)]);
    let mut poisoned = batch(4, 0, &[(1, 100), (9, 150), (2, 200), (3, 300), (9, 150)]);
    let lines = String::from_utf8(poisoned.lines.to_vec()).expect("text");
    let poison = |line: &str| match line.contains("\"c9\"") {
        true => line.replace(r#"s, \"q\""#, "poison") + "\n",
        false => format!("{line}\n"),
    };
    poisoned.lines = lines.lines().map(poison).collect::<String>().into();
    let mut straight = fixture.owner(Partition::new(7)).await;
    let refused = {
        fixture.take(&mut straight, &EnrichedBatch { partition: Partition::new(7), ..poisoned.clone() }).await;
        fixture
            .store
            .checkpoint(&straight.take_changes(Timestamp::EPOCH), &straight.claim, &straight.pages)
            .await
            .expect_err("refused")
    };
    assert!(refused.is_refusal(), "{refused}");

    let kept = owner.without_refused(&poisoned, &mut fixture.ceiling, Timestamp::EPOCH).await.expect("is found");
    assert_eq!((kept.count, &kept.lines), (3, &good.lines));
    fixture.take(&mut owner, &kept).await;
    let changes = owner.take_changes(Timestamp::EPOCH);
    fixture.store.checkpoint(&changes, &owner.claim, &owner.pages).await.expect("the rest is written");
    let letters: Vec<_> =
        changes.letters.iter().map(|l| (l.id.as_str(), l.code.as_str(), l.source.as_str(), l.sequence)).collect();
    assert_eq!(
        letters,
        [
            ("aggregation-4-refused-1", "store_refused", "poison", Some(4)),
            ("aggregation-4-refused-4", "store_refused", "poison", Some(4)),
        ]
    );
    assert!(String::from_utf8_lossy(&changes.letters[0].body).contains("\"c9\""), "as it stands in the log");
    assert_eq!(fixture.owner(P).await.claim.floor, 4);
    let books = fixture.store.all_books(P).await.expect("loads books");
    assert_eq!(books.iter().map(|(_, outcomes)| outcomes.counted).collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn what_is_refused_is_set_aside_on_sqlite() {
    what_is_refused_is_set_aside(sqlite(&tempdir())).await;
}

#[tokio::test]
async fn what_is_refused_is_set_aside_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("what_is_refused_is_set_aside_on_postgres", "no PostgreSQL is installed");
    };
    what_is_refused_is_set_aside(Config { url: server.url(), max_connections: 4 }).await;
}

fn sqlite(folder: &tidemill_testkit::TempDir) -> Config {
    Config { url: format!("sqlite://{}/aggregation.db", folder.path().display()), max_connections: 4 }
}

#[tokio::test]
async fn a_restart_changes_nothing_on_sqlite() {
    a_restart_changes_nothing(sqlite(&tempdir())).await;
}

#[tokio::test]
async fn a_restart_changes_nothing_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("a_restart_changes_nothing_on_postgres", "no PostgreSQL is installed");
    };
    a_restart_changes_nothing(Config { url: server.url(), max_connections: 4 }).await;
}

#[tokio::test]
async fn an_old_owner_is_refused_on_sqlite() {
    an_old_owner_is_refused(sqlite(&tempdir())).await;
}

#[tokio::test]
async fn an_old_owner_is_refused_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("an_old_owner_is_refused_on_postgres", "no PostgreSQL is installed");
    };
    an_old_owner_is_refused(Config { url: server.url(), max_connections: 4 }).await;
}
