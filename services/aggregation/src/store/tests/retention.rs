//! What is not kept.

use super::*;

#[tokio::test]
async fn what_no_event_can_change_is_deleted_once_readers_know_it() {
    let folder = tempdir();
    let mut fixture = Fixture::open(sqlite(&folder)).await;
    // A page goes at once: here each cell has one of its own, in one run.
    fixture.store.rules = PageRules { page_bytes: 1, runs: 2, ..PageRules::default() };
    let windows = Arc::new(Windows { retention_days: 2, ..Windows::default() });
    let day = 24 * 3600;
    let mut owner =
        Owner::open(fixture.store.clone(), fixture.metrics.clone(), windows, P, Timestamp::EPOCH).await.expect("opens");
    for (seq, event_day, log_day, cells_left) in [(1, 0, 0, 2), (2, 1, 1, 4), (3, 5, 5, 6), (4, 5, 8, 4), (5, 5, 9, 2)]
    {
        let mut batch = batch(seq, seq - 1, &[(1, event_day * day + 100)]);
        batch.ingested_at = batch.ingested_at.plus_millis(log_day * day * 1000);
        fixture.take(&mut owner, &batch).await;
        let changes = owner.take_changes(Timestamp::EPOCH);
        fixture.store.checkpoint(&changes, &owner.claim, &owner.pages).await.expect("writes");
        let size = fixture.store.size().await.expect("answers");
        assert_eq!((size.cells, size.values), (cells_left, cells_left), "after batch {seq}");
    }
    let late = batch(6, 5, &[(1, 100)]);
    let taken = owner.take(&late, &mut fixture.ceiling, Timestamp::EPOCH).await.expect("applies");
    assert_eq!(taken, Taken::Applied(EventOutcomes { late: 1, ..EventOutcomes::default() }));
}
