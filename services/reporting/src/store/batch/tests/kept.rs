//! Totals that are kept no longer.

use tidemill_domain::Timestamp;
use tidemill_events::GenerationUpdate;

use super::{MINUTE, TestLog, TestRow, cells, drifting, fold, land, log, model::ViewMessages, values};
use crate::{
    calendar::Zone,
    store::Store,
    testing::{at, sales},
};

/// Rows of windows that start before then, and differences in them.
const WINDOWS: [(&str, &str); 2] = [("packed_cells", "window_start"), ("drift", "window_start")];
/// The same of what is made of them.
const SPANS: [(&str, &str); 2] = [("rollups", "span_start"), ("rollup_marks", "span_start")];

pub(super) async fn rows_before(store: &Store, before: Timestamp) -> i64 {
    count(store, before, &[WINDOWS, SPANS].concat()).await
}

async fn count(store: &Store, before: Timestamp, of: &[(&str, &str)]) -> i64 {
    let mut count = 0;
    for (table, place) in of {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table} WHERE {place} < $1"));
        let row = sqlx::query(sql).bind(before.millis()).fetch_one(store.database.pool()).await.expect("counts");
        count += sqlx::Row::try_get::<i64, _>(&row, 0).expect("a number");
    }
    count
}

/// Of the log of the tests: what starts then or later.
fn since(values: &[(i64, String, String)], start: i64) -> Vec<(i64, String, String)> {
    values.iter().filter(|(at, ..)| *at >= start).cloned().collect()
}

pub(super) async fn what_is_given_up_is_seen_by_nobody_and_deleted_bit_by_bit(store: &Store) {
    let mut log = TestLog::default();
    for minute in 0..40 {
        log.0.push(TestRow { partition: 0, minute, category: 0, amount: 3 });
    }
    store.save_definitions([&sales()].into_iter()).await.expect("saves");
    fold(store, &[log.checkpoint(0, 0, 40), log.checkpoint(1, 0, 40)]).await;
    land(store, &log.view(1, &[40, 40]), 9).await;
    store.begin_rollups(Zone::UTC).await.expect("begins");
    let before = values(store).await;
    assert_eq!((store.kept_since(&sales()).await.expect("answers"), before.len()), (None, 40));

    let bound = 25 * MINUTE;
    let given_up = store.keep_since(at(bound)).await.expect("writes");
    assert_eq!(given_up, [("sales_metrics".to_owned(), sales().version)]);
    assert!(rows_before(store, at(bound)).await > 0, "nothing is deleted yet");
    assert_eq!(values(store).await, since(&before, bound));
    assert_eq!(store.kept_since(&sales()).await.expect("answers"), Some(at(bound)));
    assert_eq!(store.extent(&sales()).await.expect("extent"), Some((at(bound), at(39 * MINUTE))));

    // A step deletes some, and who does may be ended behind any of them.
    let mut left = rows_before(store, at(bound)).await;
    while store.forget_unkept().await.expect("deletes") {
        let now = rows_before(store, at(bound)).await;
        assert!(now < left, "{now} of {left}");
        assert_eq!(values(store).await, since(&before, bound));
        left = now;
    }
    assert_eq!(left, 0);
    // It never goes back, and is written only where it goes on.
    for again in [bound, 3 * MINUTE] {
        assert_eq!(store.keep_since(at(again)).await.expect("writes"), []);
    }
    assert_eq!(values(store).await, since(&before, bound));
    assert_eq!(drifting(store).await, []);
}

pub(super) async fn a_late_view_brings_nothing_back(store: &Store) {
    let log = log();
    fold(store, &[log.checkpoint(0, 0, 6), log.checkpoint(1, 0, 6)]).await;
    land(store, &log.view(1, &[6, 6]), 9).await;
    let before = values(store).await;
    let ViewMessages(late) = log.view(2, &[6, 6]);
    store.keep_since(at(MINUTE)).await.expect("writes");
    while store.forget_unkept().await.expect("deletes") {}
    let kept = since(&before, MINUTE);
    assert!(!kept.is_empty() && kept.len() < before.len());
    // What the stream tells once more, and what it tells of late, neither.
    let mut longer = log.clone();
    longer.0.push(TestRow { partition: 0, minute: 0, category: 0, amount: 3 });
    let change = fold(store, &[longer.checkpoint(0, 6, 7)]).await;
    assert_eq!(change, None, "nobody is told of it");
    fold(store, &[log.checkpoint(0, 0, 6), log.checkpoint(1, 0, 6)]).await;
    let cells_of = |messages: &[GenerationUpdate]| messages.iter().map(|of| of.update.cells.len() as u64).sum::<u64>();
    let told = cells_of(&late);
    land(store, &ViewMessages(late), 10).await;
    assert_eq!((values(store).await, count(store, at(MINUTE), &WINDOWS).await), (kept.clone(), 0));
    // It came whole all the same.
    let view = store.landed_view(&sales()).await.expect("answers").expect("a view");
    assert_eq!((view.number, told), (2, 5));
    // Where it says something else of what is given up, that is no drift.
    let mut other = log.clone();
    other.0[0].amount += 40;
    land(store, &other.view(3, &[6, 6]), 11).await;
    assert_eq!((drifting(store).await, values(store).await), (vec![], kept));
    // By the view alone there is no more.
    let of_view = crate::catalogue::Metric { version: format!("{}@batch", sales().version), ..sales() };
    assert_eq!(store.kept_since(&of_view).await.expect("answers"), Some(at(MINUTE)));
    assert_eq!(store.extent(&of_view).await.expect("extent").map(|(first, _)| first), Some(at(MINUTE)));
}

pub(super) async fn what_has_no_view_is_never_given_up(store: &Store) {
    let log = log();
    fold(store, &[log.checkpoint(0, 0, 6), log.checkpoint(1, 0, 6)]).await;
    let before = cells(store).await;
    assert_eq!(store.keep_since(at(MINUTE)).await.expect("writes"), []);
    assert!(!store.forget_unkept().await.expect("deletes"));
    // A view that has not come to its end is none.
    let ViewMessages(mut messages) = log.view(1, &[6, 6]);
    messages.pop();
    land(store, &ViewMessages(messages), 8).await;
    assert_eq!(store.keep_since(at(MINUTE)).await.expect("writes"), []);
    assert_eq!(cells(store).await.len(), before.len());
}
