use std::collections::BTreeSet;

use tidemill_domain::{Partition, Timestamp};
use tidemill_events::{LogPosition, MetricsUpdate, UncountedSpan, VersionCounting};
use tidemill_store::Error;

use super::super::{
    Folded, Store,
    testing::{checks, fold, to},
};
use crate::{
    batch::{AnswerSource, told},
    generations::GenerationsFold,
    store::cells::StoredCell,
    testing::{at, sales},
};

mod kept;
mod model;
mod questions;

use kept::{
    a_late_view_brings_nothing_back, what_has_no_view_is_never_given_up,
    what_is_given_up_is_seen_by_nobody_and_deleted_bit_by_bit,
};
use model::{MINUTE, TestLog, TestRow, ViewMessages};
use questions::questions_are_answered_as_by_a_full_recomputation;

checks![
    what_a_view_covers_is_retired_and_answers_stay,
    a_total_that_was_changed_is_found_and_named,
    a_cell_that_one_side_lacks_is_found,
    a_view_that_is_ahead_is_compared_when_it_ends,
    a_stream_that_has_not_counted_all_is_not_compared,
    a_view_that_came_in_part_is_told_once_more,
    a_view_does_not_judge_what_reaches_further_than_it_does,
    what_is_given_up_is_seen_by_nobody_and_deleted_bit_by_bit,
    a_late_view_brings_nothing_back,
    what_has_no_view_is_never_given_up,
    questions_are_answered_as_by_a_full_recomputation,
];

fn log() -> TestLog {
    let row = |partition, minute, category, amount| TestRow { partition, minute, category, amount };
    TestLog(vec![
        row(0, 0, 0, 5),
        row(1, 0, 0, 7),
        row(0, 1, 1, 2),
        row(0, 0, 0, -1),
        row(1, 1, 0, 4),
        row(1, 61, 1, 9),
    ])
}

async fn land(store: &Store, messages: &ViewMessages, now: i64) {
    let mut fold = GenerationsFold::default();
    messages.0.iter().for_each(|message| fold.observe(message.clone()));
    let folded = store.fold_generations(to(0, 1), &fold, at(now)).await.expect("folds");
    assert!(matches!(folded, Folded::Done(_)), "any range follows");
}

/// The cells as they are read: window and dimensions, totals, and where those come from.
async fn cells(store: &Store) -> Vec<(i64, String, String, AnswerSource)> {
    let mut cells = Vec::new();
    let visit = |cell: StoredCell<'_>| -> Result<(), Error> {
        let totals = serde_json::to_string(&cell.totals).expect("is written");
        cells.push((cell.start.millis(), cell.dimensions.to_owned(), totals, cell.source));
        Ok(())
    };
    store.each_cell(&sales(), at(i64::MIN), at(i64::MAX), visit).await.expect("cells");
    cells.sort_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)));
    cells
}

async fn values(store: &Store) -> Vec<(i64, String, String)> {
    let cells: Vec<_> =
        cells(store).await.into_iter().map(|(start, dimensions, totals, _)| (start, dimensions, totals)).collect();
    assert_eq!(told_live(store, &cells).await, cells, "the live stream is told from the same");
    cells
}

/// The same cells, by what is read of whole windows.
async fn told_live(store: &Store, cells: &[(i64, String, String)]) -> Vec<(i64, String, String)> {
    let starts = cells.iter().map(|(start, ..)| Timestamp::saturating_from_millis(*start)).collect();
    let windows = store.window_states(&sales().version_name(), &starts).await.expect("reads");
    let mut told = Vec::new();
    for (start, states) in &windows {
        let live = states.iter().filter(|(_, state)| !state.retracted);
        told.extend(live.map(|((dimensions, _), state)| {
            (start.millis(), dimensions.to_string(), serde_json::to_string(&state.totals).expect("is written"))
        }));
    }
    told.sort();
    told
}

async fn sources(store: &Store) -> BTreeSet<&'static str> {
    cells(store).await.into_iter().map(|(.., source)| source.as_str()).collect()
}

/// Rows of the stream's totals.
async fn stream_rows(store: &Store) -> i64 {
    let sql = "SELECT COUNT(*) FROM packed_cells WHERE version = $1";
    let row = sqlx::query(sql).bind(sales().version).fetch_one(store.database.pool()).await.expect("counts");
    sqlx::Row::try_get(&row, 0).expect("a number")
}

async fn drifting(store: &Store) -> Vec<crate::batch::DriftCell> {
    let page = store.drift(Some("sales_metrics"), 50).await.expect("drift");
    let counted = page.counts.values().sum::<u64>();
    assert_eq!(counted, page.cells.len() as u64);
    page.cells.iter().map(|(_, _, cell)| told(&sales(), cell)).collect()
}

async fn what_a_view_covers_is_retired_and_answers_stay(store: &Store) {
    let log = log();
    fold(store, &[log.checkpoint(0, 0, 6), log.checkpoint(1, 0, 6)]).await;
    let before = values(store).await;
    let (extent, rows) = (store.extent(&sales()).await.expect("extent"), stream_rows(store).await);
    assert!(rows > 0 && sources(store).await == ["speed"].into());
    land(store, &log.view(1, &[6, 6]), 9).await;
    assert_eq!(values(store).await, before);
    assert_eq!(sources(store).await, ["batch"].into());
    assert_eq!(stream_rows(store).await, 0, "it is retired");
    assert_eq!(store.extent(&sales()).await.expect("extent"), extent);
    assert_eq!(drifting(store).await, []);
    let view = store.landed_view(&sales()).await.expect("answers").expect("a view");
    assert_eq!((view.number, view.compared, view.landed_at), (1, 5, at(9)));
    assert_eq!(view.reaches, [(Partition::new(0), 6), (Partition::new(1), 6)].into());
    // Again, and what the stream has told before: nothing changes.
    land(store, &log.view(2, &[6, 6]), 10).await;
    fold(store, &[log.checkpoint(0, 0, 6)]).await;
    assert_eq!((values(store).await, sources(store).await), (before, ["batch"].into()));
    // The stream goes on.
    let mut longer = log.clone();
    longer.0.push(TestRow { partition: 0, minute: 0, category: 0, amount: 3 });
    fold(store, &[longer.checkpoint(0, 6, 7)]).await;
    assert_eq!(sources(store).await, ["batch", "speed"].into());
    assert_eq!(values(store).await, longer.values(&[7, 6]));
}

async fn a_total_that_was_changed_is_found_and_named(store: &Store) {
    let log = log();
    fold(store, &[log.checkpoint(0, 0, 6), log.checkpoint(1, 0, 6)]).await;
    let before = values(store).await;
    let mut other = log.clone();
    other.0[2].amount += 40;
    land(store, &other.view(1, &[6, 6]), 9).await;
    assert_eq!(values(store).await, before, "the stream's answers stay");
    let found = drifting(store).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let cell = &found[0];
    assert_eq!((cell.start, cell.partition, cell.raw_seq), (at(MINUTE), Partition::new(0), 6));
    assert_eq!(cell.dimensions.get("category").map(String::as_str), Some("1"));
    let difference = serde_json::to_value(&cell.difference).expect("JSON");
    assert_eq!(difference, serde_json::json!({ "quantity": "-40.00", "revenue": "-40.00" }));
    assert_eq!(store.drift_counts().await.expect("counts").values().sum::<u64>(), 1);
    let sources = sources(store).await;
    assert_eq!(sources, ["batch", "speed"].into(), "all others are covered");
    // A view that says the same ends it.
    land(store, &log.view(2, &[6, 6]), 10).await;
    assert_eq!(drifting(store).await, []);
    assert_eq!((values(store).await, stream_rows(store).await), (before, 0));
}

async fn a_cell_that_one_side_lacks_is_found(store: &Store) {
    let log = log();
    // Their totals have come since before the window of the last row.
    fold(store, &[log.checkpoint(0, 0, 6), log.checkpoint(1, 0, 6)]).await;
    let before = values(store).await;
    let (mut without, mut with) = (log.clone(), log.clone());
    without.0[5].minute = 70;
    with.0[3].minute = 2;
    with.0[3].category = 1;
    land(store, &without.view(1, &[6, 6]), 9).await;
    let found = drifting(store).await;
    let sides: Vec<_> = found.iter().map(|cell| (cell.start, cell.speed.is_empty(), cell.batch.is_empty())).collect();
    assert_eq!(sides, [(at(61 * MINUTE), false, true), (at(70 * MINUTE), true, false)]);
    assert_eq!(values(store).await, before);
    // A window that is older than what the stream has told may be history.
    let old = sqlx::query("UPDATE versions SET data_since = $1").bind(10 * MINUTE);
    old.execute(store.database.writer()).await.expect("writes");
    land(store, &with.view(2, &[6, 6]), 10).await;
    let history = values(store).await;
    assert!(history.iter().any(|(start, ..)| *start == 2 * MINUTE), "{history:?}");
}

async fn a_view_that_is_ahead_is_compared_when_it_ends(store: &Store) {
    let log = log();
    fold(store, &[log.checkpoint(0, 0, 4), log.checkpoint(1, 0, 2)]).await;
    let ViewMessages(mut parts) = log.view(1, &[6, 6]);
    let end = parts.pop().expect("an end");
    land(store, &ViewMessages(parts), 8).await;
    assert_eq!(values(store).await, log.values(&[6, 6]), "what reaches further answers");
    fold(store, &[log.checkpoint(0, 4, 6), log.checkpoint(1, 2, 6)]).await;
    assert!(stream_rows(store).await > 0);
    land(store, &ViewMessages(vec![end]), 9).await;
    assert_eq!((stream_rows(store).await, drifting(store).await), (0, vec![]));
    assert_eq!(values(store).await, log.values(&[6, 6]));
}

async fn a_stream_that_has_not_counted_all_is_not_compared(store: &Store) {
    let log = log();
    let place = |raw_seq| Some(LogPosition { raw_seq, ingested_at: at(0) });
    let told = |partition: u16| {
        let mut from_later = log.clone();
        from_later.0[..2].iter_mut().for_each(|row| row.partition = 9);
        let uncounted = vec![UncountedSpan { after: None, up_to: place(2) }];
        let counting = VersionCounting { metric: "sales_metrics".into(), version: sales().version, uncounted };
        MetricsUpdate { counting: vec![counting], ..from_later.checkpoint(partition, 0, 6) }
    };
    fold(store, &[told(0), told(1)]).await;
    assert_ne!(values(store).await, log.values(&[6, 6]));
    land(store, &log.view(1, &[6, 6]), 9).await;
    assert_eq!(values(store).await, log.values(&[6, 6]), "the view has what the stream has not counted");
    assert_eq!(drifting(store).await, []);
}

async fn a_view_that_came_in_part_is_told_once_more(store: &Store) {
    let log = log();
    fold(store, &[log.checkpoint(0, 0, 6), log.checkpoint(1, 0, 6)]).await;
    let before = values(store).await;
    let ViewMessages(mut messages) = log.view(1, &[6, 6]);
    messages.remove(0);
    land(store, &ViewMessages(messages), 8).await;
    assert_eq!(store.landed_view(&sales()).await.expect("answers"), None, "it is not whole");
    assert_eq!((values(store).await, drifting(store).await), (before.clone(), vec![]));
    land(store, &log.view(2, &[6, 6]), 9).await;
    assert_eq!(store.landed_view(&sales()).await.expect("answers").map(|view| view.number), Some(2));
    assert_eq!((values(store).await, stream_rows(store).await), (before, 0));
}

/// The lake was ended while it told of a view, and the next one does not reach as far.
async fn a_view_does_not_judge_what_reaches_further_than_it_does(store: &Store) {
    let log = log();
    fold(store, &[log.checkpoint(0, 0, 6), log.checkpoint(1, 0, 6)]).await;
    let before = values(store).await;
    let ViewMessages(mut messages) = log.view(1, &[6, 6]);
    messages.pop();
    land(store, &ViewMessages(messages), 8).await;
    assert_eq!(stream_rows(store).await, 0, "it is covered all the same");
    // What the stream tells once more is older than all that it has told.
    fold(store, &[log.checkpoint(0, 0, 3)]).await;
    assert_eq!(values(store).await, before);
    land(store, &log.view(2, &[5, 5]), 9).await;
    assert_eq!((values(store).await, drifting(store).await), (before, vec![]));
}
