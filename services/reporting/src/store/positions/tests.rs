use super::*;
use crate::{
    store::testing::{checks, fold},
    testing::{at, update},
};

checks![positions_begin_with_the_first_fold];

async fn positions_begin_with_the_first_fold(store: &Store) {
    assert_eq!(store.reached(StreamUnit::Metrics).await.expect("answers"), None, "nothing is folded yet");
    assert_eq!(store.standing().await.expect("standing"), ReadModelStanding::default());
    fold(store, &[update(0, 7)]).await;
    assert_eq!(store.reached(StreamUnit::Metrics).await.expect("answers"), Some(1));
    let mut watermarks = Watermarks::default();
    watermarks.observe(Partition::new(0), PartitionProgress::of(&update(0, 7)).expect("it says how far it is"));
    let reached = BTreeMap::from([(StreamUnit::Metrics.name().to_owned(), 1)]);
    let expected = ReadModelStanding { watermarks, as_of: Some(at(1)), reached, change: 1 };
    assert_eq!(store.standing().await.expect("standing"), expected);
}
