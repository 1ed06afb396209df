use super::*;
use crate::{
    store::testing::{checks, fold},
    testing::{at, sales, update},
};

checks![definitions_are_remembered];

async fn definitions_are_remembered(store: &Store) {
    fold(store, &[update(0, 1)]).await;
    let metric = Metric { name: "new".into(), ..sales() };
    for _ in 0..2 {
        store.save_definitions([&metric, &sales()].into_iter()).await.expect("saves");
    }
    let versions = store.versions().await.expect("versions");
    let of = |name: &str| versions.iter().find(|known| known.metric == name).expect("known");
    assert_eq!((of("new").definition.as_ref(), of("new").data_since), (Some(&metric), None));
    assert_eq!(
        (of("sales_metrics").definition.as_ref(), of("sales_metrics").data_since),
        (Some(&sales()), Some(at(1)))
    );
}
