//! What decides which events are late.

use super::*;

/// A batch of one event of each of these sources, at these seconds.
fn from_sources(raw_seq: u64, events: &[(&str, i64)]) -> EnrichedBatch {
    let template = batch(raw_seq, raw_seq - 1, &[]);
    let line = |(source, seconds): &(&str, i64)| {
        let time = Timestamp::saturating_from_millis(1_291_190_400_000 + seconds * 1000);
        format!(r#"{{"specversion":"1.0","id":"x","source":"{source}","type":"other","time":"{time}"}}"#) + "\n"
    };
    let lines: String = events.iter().map(line).collect();
    EnrichedBatch { count: events.len() as u32, lines: lines.into(), ..template }
}

/// Of more sources than have a clock, the store keeps those that the memory of
/// an owner that went on would keep.
async fn clocks_are_those_of_an_owner_that_went_on(config: Config) {
    let mut fixture = Fixture::open(config).await;
    let windows = Arc::new(Windows { max_sources: 2, retention_days: 30, ..Windows::default() });
    let open = async |fixture: &Fixture, partition| {
        let (store, metrics) = (fixture.store.clone(), fixture.metrics.clone());
        Owner::open(store, metrics, windows.clone(), partition, Timestamp::EPOCH).await.expect("opens")
    };
    let other = Partition::new(7);
    let mut straight = open(&fixture, other).await;
    let many: Vec<String> = (0..300).map(|n| format!("made up {n}")).collect();
    let many: Vec<(&str, i64)> = many.iter().map(|name| (name.as_str(), 5)).collect();
    let events: [&[(&str, i64)]; 5] =
        [&[("a", 100), ("b", 9_000_000), ("a", 50)], &[("c", 300)], &[("a", 10)], &many, &[("c", 20)]];
    for (index, events) in events.into_iter().enumerate() {
        let batch = from_sources(index as u64 + 1, events);
        fixture.take(&mut straight, &EnrichedBatch { partition: other, ..batch.clone() }).await;
        let mut owner = open(&fixture, P).await;
        fixture.take(&mut owner, &batch).await;
        let changes = owner.take_changes(Timestamp::EPOCH);
        fixture.store.checkpoint(&changes, &owner.claim, &owner.pages).await.expect("writes");
    }
    let changes = straight.take_changes(Timestamp::EPOCH);
    fixture.store.checkpoint(&changes, &straight.claim, &straight.pages).await.expect("writes");
    let sorted = async |partition| {
        let mut clocks = fixture.store.clocks(partition).await.expect("answers");
        clocks.clocks.sort_by_key(|clock| clock.met);
        clocks
    };
    let (restored, straight) = (sorted(P).await, sorted(other).await);
    assert_eq!(restored, straight);
    let names: Vec<&str> = restored.clocks.iter().map(|clock| clock.source.as_str()).collect();
    assert_eq!(names, ["made up 299", "c"]);
    let furthest = Timestamp::saturating_from_millis(1_291_190_400_000 + 9_000_000_000);
    assert_eq!(restored.furthest, Some(furthest), "also of a source that was dropped");
}

#[tokio::test]
async fn clocks_are_those_of_an_owner_that_went_on_on_sqlite() {
    clocks_are_those_of_an_owner_that_went_on(sqlite(&tempdir())).await;
}

#[tokio::test]
async fn clocks_are_those_of_an_owner_that_went_on_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("clocks_are_those_of_an_owner_that_went_on_on_postgres", "no PostgreSQL is installed");
    };
    clocks_are_those_of_an_owner_that_went_on(Config { url: server.url(), max_connections: 4 }).await;
}

/// An event, as ingestion and enrichment leave it.
fn sale(raw_seq: u64, seconds: i64, is_again: bool) -> EnrichedBatch {
    let mut batch = batch(raw_seq, raw_seq - 1, &[(7, seconds)]);
    if is_again {
        let line = String::from_utf8(batch.lines.to_vec()).expect("text");
        let marked = line.replacen('{', r#"{"backfill":"of old","#, 1);
        batch.lines = marked.replace(r#""enriched":{"#, r#""enriched":{"duplicate":true,"#).into();
    }
    batch
}

/// What was late is counted once when it comes again as history, whoever owns the
/// partition by then, and until it is forgotten.
async fn what_was_left_out_is_known_to_the_next_owner(config: Config) {
    const DAY: i64 = 86_400;
    let mut fixture = Fixture::open(config).await;
    let mut outcomes = Vec::new();
    for (raw_seq, seconds, is_again, log_day) in [
        (1, 20 * DAY, false, 0),
        (2, DAY, false, 0),
        // All have one id: the late one is meant.
        (3, DAY, true, 1),
        (4, DAY, true, 1),
        (5, DAY, false, 2),
        (6, 20 * DAY, false, 32),
        (7, DAY, true, 33),
        (8, 20 * DAY, false, 34),
    ] {
        let mut owner = fixture.owner(P).await;
        let mut batch = sale(raw_seq, seconds, is_again);
        batch.ingested_at = batch.ingested_at.plus_millis(log_day * DAY * 1000);
        let taken = owner.take(&batch, &mut fixture.ceiling, Timestamp::EPOCH).await.expect("applies");
        let Taken::Applied(applied) = taken else { panic!("{taken:?}") };
        outcomes.push((applied.counted, applied.late, applied.duplicate));
        let changes = owner.take_changes(Timestamp::EPOCH);
        fixture.store.checkpoint(&changes, &owner.claim, &owner.pages).await.expect("writes");
    }
    let (counted, late, duplicate) = ((1, 0, 0), (0, 1, 0), (0, 0, 1));
    assert_eq!(outcomes, [counted, late, counted, duplicate, late, counted, duplicate, counted]);
    assert!(!fixture.store.has_left_out(P).await.expect("answers"), "it is forgotten");
}

#[tokio::test]
async fn what_was_left_out_is_known_to_the_next_owner_on_sqlite() {
    what_was_left_out_is_known_to_the_next_owner(sqlite(&tempdir())).await;
}

#[tokio::test]
async fn what_was_left_out_is_known_to_the_next_owner_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("what_was_left_out_is_known_to_the_next_owner_on_postgres", "no PostgreSQL is installed");
    };
    what_was_left_out_is_known_to_the_next_owner(Config { url: server.url(), max_connections: 4 }).await;
}
