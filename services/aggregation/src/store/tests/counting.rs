//! Definitions that are changed, and changed back.

use std::sync::Arc;

use tidemill_events::{LogPosition, UncountedSpan, VersionCounting};

use super::*;

const OTHER: &str = "name: daily\ntypes: [invoice.line]\nwindow: {tumbling: 1d}\nmeasures:\n  lines: {count: rows}\n";
/// When ingestion took the batches in.
const INGESTED: i64 = 1_700_000_000_000;

impl Fixture {
    /// An owner who takes these definitions up, `at_end` of the log or before it.
    async fn under(&self, definitions: &str, at_end: Option<i64>) -> Owner {
        let windows = Arc::new(Windows::default());
        let metrics = Arc::new(testing::metrics(definitions));
        let opened = Owner::open(self.store.clone(), metrics, windows, P, Timestamp::EPOCH).await;
        let mut owner = opened.expect("opens");
        let at_end = at_end.map(Timestamp::saturating_from_millis);
        owner.take_up(at_end, Timestamp::EPOCH).await.expect("is the owner");
        owner
    }

    async fn apply(&mut self, owner: &mut Owner, batch: &EnrichedBatch) {
        self.take(owner, batch).await;
        self.store.checkpoint(&owner.take_changes(Timestamp::EPOCH), &owner.claim, &owner.pages).await.expect("writes");
    }
}

fn at(raw_seq: u64, millis: i64) -> Option<LogPosition> {
    Some(LogPosition { raw_seq, ingested_at: Timestamp::saturating_from_millis(millis) })
}

/// What readers are told of the metric `daily` in the version that these define.
fn told(owner: &Owner, definitions: &str) -> Vec<UncountedSpan> {
    let metrics = testing::metrics(definitions);
    let version = metrics.get("daily").expect("is defined").version().to_owned();
    let position = owner.position(Timestamp::EPOCH);
    let is_it = |told: &&VersionCounting| (told.metric.as_str(), &told.version) == ("daily", &version);
    position.counting.iter().find(is_it).map(|told| told.uncounted.clone()).unwrap_or_default()
}

async fn what_a_version_does_not_count_is_told(config: Config) {
    let mut fixture = Fixture::open(config).await;
    let mut owner = fixture.under(METRICS, None).await;
    assert_eq!(owner.position(Timestamp::EPOCH).counting, [], "all of the log is counted");
    fixture.apply(&mut owner, &batch(4, 0, &[(1, 100)])).await;

    // A new version counts from the floor, also if it is killed before anybody is told.
    fixture.under(OTHER, None).await;
    let mut owner = fixture.under(OTHER, Some(INGESTED + 77)).await;
    assert_eq!(told(&owner, OTHER), [UncountedSpan { after: None, up_to: at(4, INGESTED) }]);
    assert_eq!(told(&owner, METRICS), [UncountedSpan { after: at(4, INGESTED), up_to: None }]);
    fixture.apply(&mut owner, &batch(9, 4, &[(2, 200)])).await;

    // The first one goes on from its totals, and says what is missing in them. Where
    // nothing waits in the log, it counts from now on.
    let superseded = owner;
    let mut owner = fixture.under(METRICS, Some(INGESTED + 5_000)).await;
    assert_eq!(told(&owner, METRICS), [UncountedSpan { after: at(4, INGESTED), up_to: at(9, INGESTED + 5_000) }]);
    assert_eq!(told(&owner, OTHER).last(), Some(&UncountedSpan { after: at(9, INGESTED + 5_000), up_to: None }));
    let mut superseded = superseded;
    let refused = superseded.take_up(None, Timestamp::EPOCH).await.expect_err("is no owner any more");
    assert_eq!(refused.code().as_str(), "superseded");

    // Readers who begin anew are told again, beside totals.
    fixture.take(&mut owner, &batch(12, 9, &[(3, 300)])).await;
    assert_eq!(owner.take_changes(Timestamp::EPOCH).updates()[0].counting, []);
    fixture.take(&mut owner, &batch(13, 12, &[(3, 300)])).await;
    let hour_later = Timestamp::saturating_from_millis(3_600_000);
    let updates = owner.take_changes(hour_later).updates();
    assert_eq!(updates.iter().map(|update| update.counting.len()).sum::<usize>(), 3);
}

#[tokio::test]
async fn what_a_version_does_not_count_is_told_on_sqlite() {
    what_a_version_does_not_count_is_told(sqlite(&tempdir())).await;
}

#[tokio::test]
async fn what_a_version_does_not_count_is_told_on_postgres() {
    let Some(server) = Postgres::start().await else {
        return skipped("what_a_version_does_not_count_is_told_on_postgres", "no PostgreSQL is installed");
    };
    what_a_version_does_not_count_is_told(Config { url: server.url(), max_connections: 4 }).await;
}
