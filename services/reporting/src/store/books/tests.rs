use tidemill_domain::Partition;

use super::*;
use crate::{
    store::{
        Folded,
        testing::{batches, checks, to},
    },
    testing::at,
    unit::{SequenceRange, StreamUnit},
    watermark::Watermarks,
};

checks![intake_counts_once];

async fn intake_counts_once(store: &Store) {
    let heads = |head| BTreeMap::from([(Partition::new(0), head)]);
    let accepted = |lines: Vec<(String, BookLine)>| -> u64 { lines.iter().map(|(_, line)| line.accepted).sum() };
    let fold = async |range: SequenceRange, head: u64| {
        let (entries, heads) = (batches(range.after + 1..range.last + 1), heads(head));
        store.fold_log(range, &entries, &heads, &BTreeMap::new(), at(1)).await.expect("folds")
    };
    assert_eq!(fold(to(0, 4), 4).await, Folded::Done(()));
    assert_eq!(fold(to(2, 6), 6).await, Folded::Done(()));
    assert_eq!(fold(to(0, 6), 6).await, Folded::Done(()));
    assert_eq!(fold(to(7, 9), 9).await, Folded::DoesNotFollow, "the seventh is missing");
    assert_eq!(store.reached(StreamUnit::Log).await.expect("answers"), Some(6));
    assert_eq!(accepted(store.book_lines().await.expect("lines")), 1 + 2 + 3 + 4 + 5 + 6);
    let standing = store.standing().await.expect("standing");
    let mut expected = Watermarks::default();
    expected.received(Partition::new(0), 6);
    assert_eq!((standing.truth.as_of, standing.watermarks), (None, expected));
}
