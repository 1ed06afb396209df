//! Each check, on SQLite and on a real PostgreSQL.

use tidemill_batch_views::{FileCounts, KnownCounts, RuleCount};
use tidemill_domain::{Partition, Timestamp};
use tidemill_lake_tables::RedriveScope;
use tidemill_lateness::{ClockChanges, StoredClock, StoredClocks};
use tidemill_store::Config;
use uuid::Uuid;

use super::{LatenessChanges, LatenessState, Store, StoredRebuild, StoredRedrive, StoredView};

const P: Partition = Partition::new(3);

/// A test of each check on each database, each with a store of its own.
macro_rules! on_each_database {
    ($($check:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $check() {
                    let folder = tidemill_testkit::tempdir();
                    super::$check(&format!("sqlite://{}/lake.db", folder.path().display())).await;
                }
            )+
        }

        mod on_postgres {
            $(
                #[tokio::test]
                async fn $check() {
                    match tidemill_testkit::Postgres::start().await {
                        Some(server) => super::$check(&server.url()).await,
                        None => tidemill_testkit::skipped(stringify!($check), "no PostgreSQL is installed"),
                    }
                }
            )+
        }
    };
}

on_each_database! {
    a_partition_moves_from_where_it_stands_alone,
    a_lake_keeps_its_name,
    redrives_are_done_in_the_order_of_their_numbers,
    counts_of_files_are_kept_until_the_files_are_gone,
    one_rebuild_is_under_way_at_a_time,
    a_partition_that_is_forgotten_begins_again,
    the_newest_view_is_kept_and_orders_are_done_in_turn,
}

fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

async fn open(url: &str) -> Store {
    Store::open(&Config { url: url.into(), max_connections: 4 }).await.expect("a store")
}

async fn a_partition_moves_from_where_it_stands_alone(url: &str) {
    let store = open(url).await;
    assert_eq!(store.lateness(P).await.expect("answers"), LatenessState::default());
    let clock = |source: &str, newest, met| StoredClock { source: source.into(), newest: at(newest), met };
    let (late, again) = ([7; 16], [9; 16]);
    let first = LatenessChanges {
        partition: P,
        after: 0,
        floor: 8,
        clocks: ClockChanges {
            moved: vec![clock("a", 5, 1), clock("é", 6, 2)],
            dropped: Vec::new(),
            furthest: Some(at(6)),
        },
        left_out: vec![(late, Some(at(100))), (again, Some(at(100)))],
        log_time: at(100),
    };
    assert!(store.move_on(&first).await.expect("answers"));
    assert!(!store.move_on(&first).await.expect("answers"), "it stands elsewhere now");
    let second = LatenessChanges {
        after: 8,
        floor: 9,
        clocks: ClockChanges { moved: vec![clock("b", 9, 3)], dropped: vec!["a".into()], furthest: Some(at(9)) },
        left_out: vec![(again, None)],
        ..first
    };
    assert!(store.move_on(&second).await.expect("answers"));
    let mut known = store.lateness(P).await.expect("answers");
    known.clocks.clocks.sort_by_key(|clock| clock.met);
    let clocks = StoredClocks { clocks: vec![clock("é", 6, 2), clock("b", 9, 3)], furthest: Some(at(9)) };
    assert_eq!(known, LatenessState { floor: 9, clocks, has_left_out: true });
    assert_eq!(store.left_out(P, &[late, again]).await.expect("answers"), [(late, at(100))]);
}

async fn a_lake_keeps_its_name(url: &str) {
    let store = open(url).await;
    let name = store.lake_name(None, Uuid::from_u128(1)).await.expect("answers");
    assert_eq!(name, Uuid::from_u128(1).to_string());
    assert_eq!(open(url).await.lake_name(None, Uuid::from_u128(2)).await.expect("answers"), name);
    assert_eq!(store.lake_name(Some("shop"), Uuid::from_u128(3)).await.expect("answers"), "shop", "it goes first");
}

async fn redrives_are_done_in_the_order_of_their_numbers(url: &str) {
    let store = open(url).await;
    assert_eq!(store.next_redrive().await.expect("answers"), None);
    let all = RedriveScope { number: 0, rule: None, from: None, to: None };
    let part = RedriveScope { rule: Some("known".into()), from: Some(at(5)), to: Some(at(9)), ..all.clone() };
    assert_eq!(store.order_redrive(&part, at(20)).await.expect("answers"), 1);
    // The table of the quarantine knows of one with number 6.
    let behind = RedriveScope { number: 6, ..all.clone() };
    assert_eq!(store.order_redrive(&behind, at(21)).await.expect("answers"), 7);
    assert_eq!(store.order_redrive(&all, at(22)).await.expect("answers"), 8);
    let first =
        StoredRedrive { scope: RedriveScope { number: 1, ..part }, ordered_at: at(20), done_at: None, released: None };
    assert_eq!(store.next_redrive().await.expect("answers"), Some(first.clone()));
    store.redrive_done(1, 3, at(30)).await.expect("answers");
    store.redrive_done(1, 4, at(31)).await.expect("answers");
    let done = StoredRedrive { done_at: Some(at(30)), released: Some(3), ..first };
    assert_eq!(store.redrive(1).await.expect("answers"), Some(done));
    let next = store.next_redrive().await.expect("answers").map(|redrive| redrive.scope.number);
    assert_eq!((next, store.redrive(9).await.expect("answers")), (Some(7), None));
}

async fn counts_of_files_are_kept_until_the_files_are_gone(url: &str) {
    let store = open(url).await;
    assert_eq!(store.file_counts("silver/events", "f1").await.expect("answers"), KnownCounts::new());
    let rule = RuleCount { rule: "r".into(), contract: None, severity: "warn".into(), failed: 3 };
    let counts = FileCounts {
        sums: [("rows".to_owned(), 7.0), ("scores".to_owned(), 1.0 / 3.0)].into(),
        rules: vec![rule],
        newest: Some(at(5)),
        newest_sent: None,
    };
    let counted: KnownCounts = ["a", "é", "m=1@00"].map(|file| (file.to_owned(), counts.clone())).into();
    store.keep_file_counts("silver/events", "f1", &counted, &[]).await.expect("keeps");
    store.keep_file_counts("silver/events", "f1", &counted, &[]).await.expect("keeps once");
    store.keep_file_counts("silver/orders", "f1", &counted, &[]).await.expect("keeps");
    assert_eq!(store.file_counts("silver/events", "f1").await.expect("answers"), counted, "to the last digit");
    let gone = ["a".to_owned(), "nobody".to_owned()];
    store.keep_file_counts("silver/events", "f1", &KnownCounts::new(), &gone).await.expect("forgets");
    let left: Vec<String> = store.file_counts("silver/events", "f1").await.expect("answers").into_keys().collect();
    assert_eq!(left, ["m=1@00", "é"]);
    assert_eq!(store.file_counts("silver/orders", "f1").await.expect("answers").len(), 3, "another table");
    store.keep_file_counts("silver/events", "f2", &KnownCounts::new(), &[]).await.expect("counts anew");
    assert_eq!(store.file_counts("silver/events", "f1").await.expect("answers"), KnownCounts::new());
}

async fn one_rebuild_is_under_way_at_a_time(url: &str) {
    let (store, other) = (open(url).await, open(url).await);
    let rebuild =
        |id: &str, until| StoredRebuild { id: id.into(), told: "{}".into(), held_until: at(until), stop: false };
    assert_eq!(store.rebuild().await.expect("answers"), None);
    assert!(!store.stop_rebuild().await.expect("answers"), "there is none");
    assert!(store.begin_rebuild(&rebuild("one", 20), at(10)).await.expect("answers"));
    assert!(!other.begin_rebuild(&rebuild("two", 30), at(11)).await.expect("answers"), "another one is under way");
    assert_eq!(store.keep_rebuild("one", "on", at(25)).await.expect("answers"), Some(false));
    assert!(other.stop_rebuild().await.expect("answers"));
    assert_eq!(store.keep_rebuild("one", "off", at(26)).await.expect("answers"), Some(true), "it is to end");
    // Whoever ran it is gone.
    assert!(other.begin_rebuild(&rebuild("two", 60), at(30)).await.expect("answers"));
    assert_eq!(store.keep_rebuild("one", "on", at(90)).await.expect("answers"), None, "it is another's");
    assert_eq!(store.rebuild().await.expect("answers"), Some(rebuild("two", 60)));
}

async fn a_partition_that_is_forgotten_begins_again(url: &str) {
    let store = open(url).await;
    let changes = LatenessChanges {
        partition: P,
        after: 0,
        floor: 8,
        clocks: ClockChanges {
            moved: vec![StoredClock { source: "a".into(), newest: at(5), met: 1 }],
            dropped: Vec::new(),
            furthest: None,
        },
        left_out: vec![([7; 16], Some(at(100)))],
        log_time: at(100),
    };
    let other = LatenessChanges { partition: Partition::new(4), ..changes.clone() };
    assert!(store.move_on(&changes).await.expect("answers") && store.move_on(&other).await.expect("answers"));
    store.forget(P).await.expect("forgets");
    assert_eq!(store.lateness(P).await.expect("answers"), LatenessState::default());
    assert_eq!(store.lateness(other.partition).await.expect("answers").floor, 8);
    assert!(store.move_on(&changes).await.expect("answers"));
}

async fn the_newest_view_is_kept_and_orders_are_done_in_turn(url: &str) {
    let store = open(url).await;
    assert_eq!(store.batch_views().await.expect("answers"), []);
    let view = |number: u64| StoredView {
        metric: "sales".into(),
        version: "0123456789ab".into(),
        number,
        reach: serde_json::from_str(r#"{"-1":2,"0":9}"#).expect("a reach"),
        since: at(-5),
        computed_at: at(7),
        cells: 3,
        whole_at: at(6),
    };
    for number in [4, 9, 5] {
        store.view_told(&view(number)).await.expect("is kept");
    }
    let known = store.batch_views().await.expect("answers");
    assert_eq!(known, [view(9)], "an older one changes nothing");
    assert_eq!(known[0].reach.sequences().collect::<Vec<_>>(), [(Partition::new(0), 9)]);
    assert_eq!(store.next_batch_order().await.expect("answers"), None);
    let first = store.order_batch(true, at(1)).await.expect("is ordered");
    let second = store.order_batch(false, at(2)).await.expect("is ordered");
    assert!(second > first);
    let next = store.next_batch_order().await.expect("answers").expect("one");
    assert_eq!((next.number, next.whole, next.done_at), (first, true, None));
    store.batch_order_done(first, Some("nobody reads".into()), at(3)).await.expect("is kept");
    let done = store.batch_order(first).await.expect("answers").expect("it is there");
    assert_eq!((done.done_at, done.failed.as_deref()), (Some(at(3)), Some("nobody reads")));
    let next = store.next_batch_order().await.expect("answers").expect("one");
    assert_eq!((next.number, next.whole), (second, false));
}
