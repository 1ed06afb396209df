use proptest::{collection::vec, prelude::*};
use tidemill_events::MetricsUpdate;

use super::*;
use crate::{
    store::testing::{checks, fold, sqlite, to},
    testing::{at, update},
};

checks![positions_begin_with_the_first_fold, what_was_true_stays_true];

async fn positions_begin_with_the_first_fold(store: &Store) {
    assert_eq!(store.reached(StreamUnit::Metrics).await.expect("answers"), None, "nothing is folded yet");
    assert_eq!(store.standing().await.expect("standing"), ReadModelStanding::default());
    fold(store, &[update(0, 7)]).await;
    assert_eq!(store.reached(StreamUnit::Metrics).await.expect("answers"), Some(1));
    let mut watermarks = Watermarks::default();
    watermarks.observe(Partition::new(0), PartitionProgress::of(&update(0, 7)).expect("it says how far it is"));
    let reached = BTreeMap::from([(StreamUnit::Metrics.name().to_owned(), 1)]);
    let truth = truth(1, 700, 700);
    let expected = ReadModelStanding { watermarks, truth, reached, change: 1 };
    assert_eq!(store.standing().await.expect("standing"), expected);
}

fn truth(as_of: i64, watermark: i64, complete_until: i64) -> Truth {
    Truth { as_of: Some(at(as_of)), watermark: Some(at(watermark)), complete_until: Some(at(complete_until)) }
}

async fn what_was_true_stays_true(store: &Store) {
    let known = async || store.standing().await.expect("standing").truth;
    fold(store, &[update(0, 7)]).await;
    store.raise_truth(truth(50, 600, 900)).await.expect("stored");
    assert_eq!(known().await, truth(50, 700, 900), "each reaches as far as anybody said");
    // A partition wakes up whose sources are far behind, and a batch of another comes.
    fold(store, &[update(1, 2)]).await;
    assert_eq!(store.standing().await.expect("standing").watermarks.watermark(), Some(at(200)));
    assert_eq!(known().await, truth(50, 700, 900));
    let heads = BTreeMap::from([(Partition::new(2), 9)]);
    let _ = store.fold_log(to(0, 1), &[], &heads, &BTreeMap::new(), at(60)).await.expect("folds");
    assert_eq!(store.standing().await.expect("standing").watermarks.watermark(), None);
    assert_eq!(known().await, truth(50, 700, 900));
    store.raise_truth(truth(49, 699, 899)).await.expect("stored");
    assert_eq!(known().await, truth(50, 700, 900));
}

/// What may happen to a read model.
#[derive(Debug, Clone)]
enum Happening {
    /// A partition says how far it is.
    Said { partition: u16, raw_seq: u64, watermark: i64, idle: bool },
    /// The log holds a batch of a partition.
    Received { partition: u16, raw_seq: u64 },
    /// Log and totals were read to their ends.
    ReadUp,
}

fn happening() -> impl Strategy<Value = Happening> {
    let said = (0u16..3, 1u64..20, 0i64..500, any::<bool>());
    prop_oneof![
        4 => said.prop_map(|(partition, raw_seq, watermark, idle)| Happening::Said { partition, raw_seq, watermark, idle }),
        1 => (0u16..3, 1u64..20).prop_map(|(partition, raw_seq)| Happening::Received { partition, raw_seq }),
        2 => Just(Happening::ReadUp),
    ]
}

async fn happen(store: &Store, happening: &Happening, now: Timestamp) {
    match *happening {
        Happening::Said { partition, raw_seq, watermark, idle } => {
            let said = MetricsUpdate { watermark: Some(at(watermark)), idle, ..update(partition, raw_seq) };
            fold(store, &[said]).await;
        }
        Happening::Received { partition, raw_seq } => {
            let heads = BTreeMap::from([(Partition::new(partition), raw_seq)]);
            let _ = store.fold_log(to(0, 1), &[], &heads, &BTreeMap::new(), now).await.expect("folds");
        }
        Happening::ReadUp => {
            let watermarks = store.standing().await.expect("standing").watermarks;
            store.raise_truth(watermarks.truth_at(now)).await.expect("stored");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn truth_never_goes_back_whatever_happens(happenings in vec(happening(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (store, _folder) = sqlite().await;
            let mut before = Truth::default();
            for (second, happening) in (1..).zip(&happenings) {
                happen(&store, happening, at(second * 1000)).await;
                let ReadModelStanding { truth, watermarks, .. } = store.standing().await.expect("standing");
                prop_assert!(truth.as_of >= before.as_of && truth.complete_until >= before.complete_until);
                prop_assert!(truth.watermark >= before.watermark && truth.watermark >= watermarks.watermark());
                prop_assert!(truth.complete_until >= truth.watermark);
                let read_up = matches!(happening, Happening::ReadUp).then(|| watermarks.truth_at(at(second * 1000)));
                prop_assert!(read_up.is_none_or(|read_up| truth.complete_until >= read_up.complete_until));
                before = truth;
            }
            Ok(())
        })?;
    }
}
