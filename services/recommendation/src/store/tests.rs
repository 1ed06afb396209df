//! Each check, on SQLite and on a real PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use tidemill_domain::{Currency, Partition, Timestamp};
use tidemill_recommender::ChangedPages;
use tidemill_service::Context;
use tidemill_store::Config;

use super::{
    ErasureOrder, KeptStep, PageChanges, PagesWritten, PartitionKeep, PublishedStream, PublishedTo, Store,
    publishing::ChangedProfile,
};
use crate::{
    error::Error,
    learning::{LearntBatch, LearntEvent, LearntKind, VisitorId},
    profiles::CustomerProfile,
    testing::{batch, batch_of_any_texts, event, item, order, untold},
};

/// A test of each check on each database, each with a store of its own.
macro_rules! on_each_database {
    ($($check:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $check() {
                    let folder = tidemill_testkit::tempdir();
                    super::$check(&format!("sqlite://{}/r.db", folder.path().display())).await;
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
pub(super) use on_each_database;

on_each_database! {
    what_is_kept_is_loaded_and_goes_forward_only,
    who_was_superseded_keeps_nothing,
    pages_take_the_place_of_the_journal,
    who_is_forgotten_is_kept_no_more,
    a_product_is_written_where_something_else_is_told,
    a_restored_store_gives_no_number_of_an_erasure_again,
    what_is_old_goes,
    what_changed_is_told_once_and_again_after_a_crash,
    any_text_is_held,
}

pub(super) const ZERO: Partition = Partition::new(0);
pub(super) const ONE: Partition = Partition::new(1);

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::saturating_from_millis(millis)
}

pub(super) async fn open(url: &str) -> Store {
    let config = Config { url: url.into(), max_connections: 4 };
    let breaker = Context::new("recommendation").breaker("store");
    Store::open(&config, breaker, [ZERO, ONE].into_iter()).await.expect("opens")
}

pub(super) fn step(after: u64, batches: &[LearntBatch]) -> KeptStep {
    let floor = batches.last().map_or(after + 1, |batch| batch.raw_seq);
    KeptStep { after, floor, batches: batches.to_vec() }
}

/// A batch with a view of one product.
fn view(raw_seq: u64, customer: &str, product: &str) -> LearntBatch {
    batch(raw_seq, &[event(LearntKind::View, customer, 5, &[item(product, "Books", &[("brand", "X")])])])
}

async fn profile(store: &Store, customer: &str) -> Option<CustomerProfile> {
    store.profile(VisitorId::customer(customer)).await.expect("reads")
}

pub(super) async fn erase(store: &Store, customer: &str, until: i64) -> u64 {
    let customer = VisitorId::customer(customer);
    let order = ErasureOrder { customer, until: at(until), at: at(7), known: 0, by: "key" };
    store.erase(order, [ZERO, ONE].into_iter()).await.expect("erases").number
}

pub(super) async fn journal(store: &Store, partition: Partition) -> Vec<LearntBatch> {
    store.load(partition, "s", 0).await.expect("loads").journal
}

async fn what_is_kept_is_loaded_and_goes_forward_only(url: &str) {
    let store = open(url).await;
    let claim = store.claim(ZERO).await.expect("claims");
    assert_eq!(claim.floor, 0);
    let batches = [view(3, "c", "p"), batch(4, &[order("c", 9, &["q"], "2.5")])];
    store.keep(&claim, &step(0, &batches), at(7)).await.expect("keeps");
    store.keep(&claim, &step(4, &[]), at(7)).await.expect("moves the floor alone");
    let repeated = store.keep(&claim, &step(0, &[view(3, "c", "p")]), at(7)).await;
    assert!(matches!(repeated, Err(Error::Superseded)), "it does not follow");
    let again = open(url).await;
    let loaded = again.load(ZERO, "s", 0).await.expect("loads");
    assert_eq!((loaded.floor, loaded.pages_at, loaded.journal.len()), (5, 0, 2));
    assert_eq!(loaded.journal[0].events[0].items[0].id, "p");
    let known = again.items(ZERO, "").await.expect("reads");
    let known: BTreeMap<&str, (u64, &str)> =
        known.iter().map(|stored| (&*stored.id, (stored.raw_seq, &*stored.item.category))).collect();
    assert_eq!(known, BTreeMap::from([("p", (3, "Books")), ("q", (4, "Unknown"))]));
    assert_eq!(again.items(ZERO, "p").await.expect("reads").len(), 1);
    let other = store.claim(ONE).await.expect("claims");
    store.keep(&other, &step(0, &[view(9, "c", "p")]), at(7)).await.expect("keeps");
    let profile = profile(&again, "c").await.expect("is known");
    assert_eq!((profile.orders, profile.views.len(), profile.categories["Books"]), (1, 1, 2));
}

async fn who_was_superseded_keeps_nothing(url: &str) {
    let store = open(url).await;
    let (old, new) = (store.claim(ZERO).await.expect("claims"), store.claim(ZERO).await.expect("claims"));
    let refused = store.keep(&old, &step(0, &[view(3, "c", "p")]), at(7)).await;
    assert!(matches!(refused, Err(Error::Superseded)));
    assert_eq!(write(&store, &old, 0, &[]).await, PagesWritten::Superseded);
    assert!(profile(&store, "c").await.is_none() && journal(&store, ZERO).await.is_empty());
    store.keep(&new, &step(0, &[view(3, "c", "p")]), at(7)).await.expect("keeps");
}

async fn write(store: &Store, claim: &PartitionKeep, at: u64, pages: &[(u64, Option<&[u8]>)]) -> PagesWritten {
    let pages = pages.iter().map(|(page, body)| (*page, body.map(<[u8]>::to_vec))).collect();
    let changed = ChangedPages { learnt: at * 10, pages };
    let changes = PageChanges { at, newest: Some(self::at(8)), erasure: 2, changed, are_all: false };
    store.write_pages(claim, &changes, "s").await.expect("writes")
}

async fn pages_take_the_place_of_the_journal(url: &str) {
    let store = open(url).await;
    let claim = store.claim(ZERO).await.expect("claims");
    store.keep(&claim, &step(0, &[view(3, "c", "p")]), at(7)).await.expect("keeps");
    store.keep(&claim, &step(3, &[view(4, "c", "q"), view(6, "c", "r")]), at(7)).await.expect("keeps");
    assert_eq!(write(&store, &claim, 7, &[]).await, PagesWritten::TooEarly, "the journal has not come as far");
    assert_eq!(write(&store, &claim, 4, &[(0, Some(b"\0a")), (1, Some(b"b"))]).await, PagesWritten::Done);
    let loaded = store.load(ZERO, "s", 0).await.expect("loads");
    assert_eq!((loaded.pages_at, loaded.pages.learnt, loaded.erasure, loaded.newest), (4, 40, 2, Some(at(8))));
    assert_eq!(loaded.pages.pages, BTreeMap::from([(0, b"\0a".to_vec()), (1, b"b".to_vec())]));
    assert_eq!(loaded.journal.iter().map(|batch| batch.raw_seq).collect::<Vec<_>>(), [6]);
    assert_eq!(write(&store, &claim, 6, &[(0, None), (1, Some(b"c"))]).await, PagesWritten::Done);
    assert_eq!(write(&store, &claim, 5, &[(1, Some(b"d"))]).await, PagesWritten::Overtaken, "the journal is gone");
    let loaded = store.load(ZERO, "s", 0).await.expect("loads");
    assert_eq!(loaded.pages.pages, BTreeMap::from([(1, b"c".to_vec())]));
    assert!(loaded.journal.is_empty() && loaded.is_as_stored);
    let other = store.load(ZERO, "other settings", 0).await.expect("loads");
    assert!(other.pages.pages.is_empty() && !other.is_as_stored && other.pages.learnt == 60);
}

async fn who_is_forgotten_is_kept_no_more(url: &str) {
    let store = open(url).await;
    let claim = store.claim(ZERO).await.expect("claims");
    let mut visited = view(3, "c", "p");
    visited.events[0].session = Some(VisitorId::session("v"));
    store.keep(&claim, &step(0, &[visited, view(4, "other", "p")]), at(7)).await.expect("keeps");
    assert_eq!(erase(&store, "c", 1_000).await, 7, "by the time");
    assert_eq!(erase(&store, "nobody", 1_000).await, 8);
    let erasures = store.erasures(0).await.expect("reads");
    let who: Vec<(u64, VisitorId)> = erasures.iter().map(|erasure| (erasure.number, erasure.visitor)).collect();
    assert_eq!(who.len(), 3, "the visit is forgotten with its customer");
    assert!(who.contains(&(7, VisitorId::customer("c"))) && who.contains(&(7, VisitorId::session("v"))));
    assert_eq!(store.erasures(7).await.expect("reads").len(), 1);
    assert!(profile(&store, "c").await.is_none() && profile(&store, "other").await.is_some());
    // Taken in at 1,000: forgotten. A millisecond later: somebody like any other.
    let later = LearntBatch { ingested_at: at(1_001), ..view(8, "c", "later") };
    store.keep(&claim, &step(4, &[view(7, "c", "p"), later]), at(7)).await.expect("keeps");
    let kept = journal(&store, ZERO).await;
    assert_eq!((kept[2].interactions(), kept[2].events[0].visitor()), (1, None), "it is counted, and of nobody");
    assert_eq!(kept[3].events[0].visitor(), Some(VisitorId::customer("c")));
    let profile = profile(&store, "c").await.expect("is known anew");
    assert_eq!(profile.views.iter().map(|seen| &*seen.item).collect::<Vec<_>>(), ["later"]);
}

/// A row has the batch that it was written for.
async fn a_product_is_written_where_something_else_is_told(url: &str) {
    let store = open(url).await;
    let claim = store.claim(ZERO).await.expect("claims");
    let told = |raw_seq, category, refdata| LearntBatch {
        refdata,
        ..batch(raw_seq, &[event(LearntKind::View, "c", 5, &[item("p", category, &[])])])
    };
    let later = |hours: i64, batch: LearntBatch| LearntBatch { ingested_at: at(hours * 3_600_000), ..batch };
    let known = async || {
        let known = store.items(ZERO, "").await.expect("reads");
        (known[0].raw_seq, known[0].item.category.clone())
    };
    for (place, (batch, expected)) in [
        (told(1, "Books", 7), (1, "Books")),
        (told(2, "Books", 7), (1, "Books")),
        (told(3, "Toys", 7), (3, "Toys")),
        (told(4, "Toys", 8), (4, "Toys")),
        (told(5, "Books", 8), (5, "Books")),
        (later(5, told(6, "Books", 8)), (5, "Books")),
        (later(6, told(7, "Books", 8)), (7, "Books")),
    ]
    .into_iter()
    .enumerate()
    {
        store.keep(&claim, &step(place as u64, &[batch]), at(7)).await.expect("keeps");
        assert_eq!(known().await, (expected.0, expected.1.to_owned()), "{place}");
    }
    // Between two claims somebody else may have written it.
    let again = store.claim(ZERO).await.expect("claims");
    store.keep(&again, &step(7, &[later(6, told(8, "Books", 8))]), at(7)).await.expect("keeps");
    assert_eq!(known().await, (8, "Books".to_owned()));
    // Who was superseded has written nothing.
    let refused = store.keep(&claim, &step(8, &[later(6, told(9, "Toys", 9))]), at(7)).await;
    assert!(matches!(refused, Err(Error::Superseded)));
    store.keep(&again, &step(8, &[later(6, told(9, "Toys", 9))]), at(7)).await.expect("keeps");
    assert_eq!(known().await, (9, "Toys".to_owned()));
    // An event in which enrichment finds no product takes nothing back, whoever keeps it.
    let nothing = |raw_seq| batch(raw_seq, &[event(LearntKind::View, "c", 5, &[untold("p"), untold("q")])]);
    store.keep(&again, &step(9, &[nothing(10)]), at(7)).await.expect("keeps");
    let last = store.claim(ZERO).await.expect("claims");
    store.keep(&last, &step(10, &[nothing(11), told(12, "Games", 9), nothing(13)]), at(7)).await.expect("keeps");
    assert_eq!(known().await, (12, "Games".to_owned()));
    let of_q = store.items(ZERO, "p").await.expect("reads");
    assert_eq!((of_q.len(), of_q[0].raw_seq, &*of_q[0].item.category), (1, 0, "Unknown"));
}

/// Replicas, and pages that are stored, know erasures by the last number.
async fn a_restored_store_gives_no_number_of_an_erasure_again(url: &str) {
    let store = open(url).await;
    let lost = erase(&store, "a", 1_000).await;
    let lose = async || {
        let deleted = sqlx::query("DELETE FROM erasures").execute(store.database.writer()).await;
        assert_eq!(deleted.expect("deletes").rows_affected(), 1);
    };
    let ask = async |at_millis, known| {
        let customer = VisitorId::customer("b");
        let order = ErasureOrder { customer, until: at(1_000), at: at(at_millis), known, by: "key" };
        store.erase(order, [ZERO, ONE].into_iter()).await.expect("erases").number
    };
    lose().await;
    let later = ask(8, 0).await;
    assert!(later > lost, "by the time");
    assert_eq!(store.erasures(lost).await.expect("reads").len(), 1, "whoever knows the lost one hears of it");
    lose().await;
    assert!(ask(1, later).await > later, "whatever the clock says, by what the asked replica knows");
}

async fn what_is_old_goes(url: &str) {
    let store = open(url).await;
    let claim = store.claim(ZERO).await.expect("claims");
    store.keep(&claim, &step(0, &[view(3, "c", "p")]), at(7)).await.expect("keeps");
    assert!(!store.prune(at(5)).await.expect("prunes"));
    assert!(profile(&store, "c").await.is_some(), "active at 5");
    // A refund is in the partition of its order, where there may be nothing else of the customer.
    let refund = LearntEvent { kind: LearntKind::Change, ..order("refunded", 5, &[], "-2.5") };
    store.keep(&claim, &step(3, &[batch(4, &[refund])]), at(7)).await.expect("keeps");
    assert!(!store.prune(at(5)).await.expect("prunes"));
    let refunded = profile(&store, "refunded").await.expect("what it gave back counts");
    assert_eq!((refunded.last_active, refunded.value[&Currency::EUR].to_string()), (at(5), "-2.50".to_owned()));
    assert!(!store.prune(at(2_000)).await.expect("prunes"));
    assert!(profile(&store, "c").await.is_none());
    assert!(store.items(ZERO, "").await.expect("reads").is_empty());
    erase(&store, "a", 1).await;
    erase(&store, "b", 1).await;
    store.prune_erasures(at(7)).await.expect("prunes");
    assert_eq!(store.erasures(0).await.expect("reads").len(), 2);
    store.prune_erasures(at(8)).await.expect("prunes");
    assert_eq!(store.erasures(0).await.expect("reads").len(), 1, "numbers go on");
    assert_eq!(erase(&store, "c", 1).await, 9);
}

async fn what_changed_is_told_once_and_again_after_a_crash(url: &str) {
    let store = open(url).await;
    let claim = store.claim(ZERO).await.expect("claims");
    let changed = async |to: &PublishedTo, most| store.changed_profiles(ZERO, to, most).await.expect("reads");
    let customers =
        |changed: &[ChangedProfile]| changed.iter().map(|profile| profile.customer).collect::<BTreeSet<_>>();
    let of = |names: &[&str]| names.iter().map(|name| VisitorId::customer(name)).collect::<BTreeSet<_>>();
    let start = store.published(ZERO).await.expect("reads");
    assert_eq!((start.changed, start.erasure), (-1, 0));
    let batches = [view(3, "a", "p"), view(4, "b", "p"), view(5, "c", "p")];
    store.keep(&claim, &step(0, &batches), at(7)).await.expect("keeps");
    // In parts, each once, also within a step.
    let (mut to, mut told) = (start.clone(), BTreeSet::new());
    for left in [2, 1, 0] {
        let some = changed(&to, 1).await;
        assert!(told.insert(some[0].customer), "{left} are left");
        (to.changed, to.customer) = (some[0].changed, some[0].customer.0.to_vec());
    }
    assert_eq!((told, changed(&to, 9).await.len()), (of(&["a", "b", "c"]), 0));
    store.keep(&claim, &step(5, &[view(7, "b", "q")]), at(7)).await.expect("keeps");
    assert_eq!(customers(&changed(&to, 9).await), of(&["b"]), "who changed, and nobody else");
    // The last step is told again: nobody knows how far it came.
    to.erasure = 3;
    let stream = store.published_stream().await.expect("reads");
    assert_eq!(stream, PublishedStream::default());
    let stream = PublishedStream { sequence: 5, ..stream };
    store.note_published(&claim, &to, stream).await.expect("writes");
    let again = store.published(ZERO).await.expect("reads");
    assert_eq!((customers(&changed(&again, 9).await), again.erasure), (of(&["a", "b", "c"]), 3));
    let newer = store.claim(ZERO).await.expect("claims");
    store.note_published(&claim, &start, stream).await.expect("changes nothing");
    assert_eq!(store.published(ZERO).await.expect("reads"), again, "it is another's");
    let whole = PublishedTo { changed: 8, ..to };
    store.note_published(&newer, &whole, PublishedStream { sequence: 3, ..stream }).await.expect("writes");
    assert_eq!(store.published_stream().await.expect("reads"), stream, "it never goes back");
    assert!(changed(&store.published(ZERO).await.expect("reads"), 9).await.is_empty());
    assert_eq!((erase(&store, "a", 9).await, erase(&store, "b", 9).await), (7, 8));
    assert_eq!(store.erased_customers(7, 9).await.expect("reads"), [(8, VisitorId::customer("b"))]);
    assert_eq!(store.erased_customers(0, 1).await.expect("reads"), [(7, VisitorId::customer("a"))]);
    // Where the stream is another one, all is told again, whoever says what was told before.
    for _ in 0..2 {
        store.tell_anew(stream.telling, 2).await.expect("writes");
        let anew = store.published_stream().await.expect("reads");
        assert_eq!((anew.telling, anew.sequence), (stream.telling + 1, 2), "once");
        assert_eq!(store.published(ZERO).await.expect("reads"), start);
        store.note_published(&newer, &whole, stream).await.expect("changes nothing");
        assert_eq!(store.published(ZERO).await.expect("reads"), start);
    }
    let anew = store.published_stream().await.expect("reads");
    store.note_published(&newer, &whole, anew).await.expect("writes");
    assert!(changed(&store.published(ZERO).await.expect("reads"), 9).await.is_empty());
}

async fn any_text_is_held(url: &str) {
    let store = open(url).await;
    let claim = store.claim(ZERO).await.expect("claims");
    let any = batch_of_any_texts(3);
    store.keep(&claim, &step(0, std::slice::from_ref(&any)), at(7)).await.expect("keeps");
    for text in tidemill_testkit::any_texts() {
        let known = profile(&store, &text).await.expect("is known");
        assert_eq!((&*known.views[0].item, known.categories.keys().next()), (&*text, Some(&text)));
    }
    let mut last = String::new();
    let mut count = 0;
    while let Some(stored) = store.items(ZERO, &last).await.expect("reads").first() {
        assert!(stored.item.attributes.contains_key(&stored.id) && stored.item.category == stored.id);
        last.clone_from(&stored.id);
        count += 1;
    }
    let texts: std::collections::BTreeSet<String> = tidemill_testkit::any_texts().into_iter().collect();
    assert!(count >= texts.len() - 1, "all but the empty one come behind it: {count}");
    assert_eq!(journal(&store, ZERO).await[0].interactions(), any.interactions());
}
