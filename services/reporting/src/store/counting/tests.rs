use tidemill_events::{LogPosition, MetricsUpdate, VersionCounting};

use super::*;
use crate::{
    counting::UncountedTime,
    store::testing::{checks, fold},
    testing::{at, sales, update},
};

checks![the_newest_word_on_a_version_stands, metrics_count_alike_where_they_lack_the_same];

fn told(partition: u16, raw_seq: u64, up_to: Option<u64>) -> MetricsUpdate {
    let place = |raw_seq: u64| LogPosition { raw_seq, ingested_at: at(raw_seq.cast_signed()) };
    let uncounted = vec![UncountedSpan { after: Some(place(5)), up_to: up_to.map(place) }];
    let counting = vec![VersionCounting { metric: sales().name, version: sales().version, uncounted }];
    MetricsUpdate { cells: Vec::new(), books: Vec::new(), counting, ..update(partition, raw_seq) }
}

async fn the_newest_word_on_a_version_stands(store: &Store) {
    let (metric, version) = (sales().name, sales().version);
    let counting = async || store.counting(&metric, &version).await.expect("answers");
    fold(store, &[update(0, 3)]).await;
    assert_eq!(counting().await, Counting::default());
    let (open, closed) = (told(0, 5, None), told(0, 9, Some(9)));
    fold(store, &[open.clone(), told(1, 5, Some(7)), closed.clone()]).await;
    let time = |to| UncountedTime { from: at(5), to: Some(at(to)) };
    assert_eq!(counting().await.uncounted, [time(9)], "of all partitions");
    // It comes again, alone.
    fold(store, &[open]).await;
    assert_eq!(counting().await.uncounted, [time(9)]);
    // At one position the later word counts.
    let later = MetricsUpdate { as_of: at(1_000), ..told(0, 9, None) };
    fold(store, &[later]).await;
    fold(store, &[closed]).await;
    assert_eq!(counting().await.uncounted, [UncountedTime { from: at(5), to: None }]);
    let all = store.counting_of_all().await.expect("answers");
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [((metric.clone(), version.clone()), counting().await)]);
}

async fn metrics_count_alike_where_they_lack_the_same(store: &Store) {
    let (one, other) = (sales(), Metric { name: "other".into(), ..sales() });
    let alike = async |from: Option<i64>| store.count_alike(&one, &other, from.map(at)).await.expect("answers");
    assert!(alike(None).await, "both have counted all");
    fold(store, &[told(0, 9, Some(9)), told(1, 7, Some(5))]).await;
    assert!(!alike(None).await, "one lacks what came in from 5 to 9");
    assert!(alike(Some(9)).await, "it lacks nothing since");
    let mut both = told(0, 10, Some(9));
    let more = VersionCounting { metric: other.name.clone(), ..both.counting[0].clone() };
    both.counting.push(more);
    fold(store, &[both.clone()]).await;
    assert!(alike(None).await, "both lack that");
    both.partition = tidemill_domain::Partition::new(2);
    both.counting.remove(0);
    fold(store, &[both]).await;
    assert!(!alike(None).await, "of another partition, one alone");
}
