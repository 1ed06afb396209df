use std::collections::BTreeMap;

use tidemill_domain::Partition;
use tidemill_events::{DefinitionText, GenerationInputs, GenerationUpdate, MetricsUpdate, ReferenceMode, SourceBooks};
use tidemill_store::Error;

use super::super::{
    Folded, Retired, Store,
    testing::{checks, fold, to},
};
use crate::{
    books::HOUR,
    generations::{GenerationAct, GenerationOrder, GenerationsFold, LateDifference, ServedChange},
    testing::{SALES, at, sales, update},
    unit::StreamUnit,
};

checks![
    totals_of_a_generation_stand_beside_the_live_ones,
    what_was_late_for_one_side_alone_is_counted,
    pointers_move_together_and_back,
    one_generation_may_follow_another,
    a_retired_generation_is_forgotten_and_passed_over,
    nobody_is_put_on_a_generation_that_was_retired,
    what_was_replaced_is_warm_for_a_while,
];

fn version(generation: &str) -> String {
    format!("{}@{generation}", sales().version)
}

fn told(generation: &str, update: MetricsUpdate) -> GenerationUpdate {
    let definitions = vec![DefinitionText { file: "sales.yaml".into(), text: SALES.into() }];
    let inputs = GenerationInputs {
        begun_at: at(5),
        release: "0".into(),
        behind: 0,
        reference: ReferenceMode::AsOf,
        definitions,
    };
    GenerationUpdate { generation: generation.parse().expect("a name"), inputs: Some(inputs), view: None, update }
}

async fn fold_of(store: &Store, generation: &str, updates: &[MetricsUpdate]) {
    let mut fold = GenerationsFold::default();
    updates.iter().for_each(|update| fold.observe(told(generation, update.clone())));
    let folded = store.fold_generations(to(0, 1), &fold, at(1)).await.expect("folds");
    assert!(matches!(folded, Folded::Done(_)), "any range follows");
}

fn order(act: GenerationAct, generation: &str) -> GenerationOrder {
    let (by, key) = ("anna".into(), "operators".into());
    GenerationOrder { act, generation: generation.into(), by, key, reason: "why".into(), at: at(7), warm_hours: None }
}

fn versions(generation: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("sales_metrics".into(), version(generation))])
}

async fn cells(store: &Store, version: &str) -> usize {
    let mut cells = 0;
    let metric = crate::catalogue::Metric { version: version.into(), ..sales() };
    let visit = |_: crate::store::StoredCell<'_>| -> Result<(), Error> {
        cells += 1;
        Ok(())
    };
    store.each_cell(&metric, at(i64::MIN), at(i64::MAX), visit).await.expect("cells");
    cells
}

/// The sides of each window at the position that both have: how many cells are on each, and
/// how many of them are beyond it.
async fn sides(store: &Store, generation: &str) -> (BTreeMap<Partition, u64>, [usize; 3]) {
    let mut model = store.compared(generation).await.expect("a snapshot");
    let at = model.at.clone();
    let mut counts = [0; 3];
    let visit = |window: &crate::generations::WindowSides| -> Result<(), Error> {
        let beyond = |((_, partition), cell): &(&(String, Partition), &crate::generations::SideCell)| {
            cell.raw_seq > at.get(partition).copied().unwrap_or_default()
        };
        counts[0] += window.live.len();
        counts[1] += window.generation.len();
        counts[2] += window.live.iter().chain(&window.generation).filter(beyond).count();
        Ok(())
    };
    let (live, of_it) = (sales().version, version(generation));
    model.each_window("sales_metrics", Some(&live), &of_it, visit).await.expect("windows");
    (model.at, counts)
}

async fn totals_of_a_generation_stand_beside_the_live_ones(store: &Store) {
    fold(store, &[update(0, 3), update(1, 9)]).await;
    let live = cells(store, &sales().version).await;
    let (books, standing) = (store.book_hours(at(i64::MIN)).await, store.standing().await.expect("standing"));
    fold_of(store, "v2", &[update(0, 3), update(1, 6)]).await;
    assert_eq!(cells(store, &sales().version).await, live, "the live ones stay");
    assert!(cells(store, &version("v2")).await > 0);
    assert_eq!(store.book_hours(at(i64::MIN)).await.expect("hours"), books.expect("hours"), "it has no books");
    let now = store.standing().await.expect("standing");
    assert_eq!((now.watermarks, now.truth), (standing.watermarks, standing.truth), "nor a word on the live totals");
    assert_eq!(store.reached(StreamUnit::Generations).await.expect("answers"), Some(1));
    let known = store.generations().await.expect("generations");
    assert_eq!((known.len(), known[0].name.as_str(), known[0].retired_at), (1, "v2", None));
    let defined = store.versions().await.expect("versions").into_iter().find(|of| of.version == version("v2"));
    let defined = defined.expect("is known");
    assert_eq!(defined.definition.expect("is told").measures, sales().measures);
    assert!(defined.data_since.is_some());
    // They are compared where both are; what the live totals have beyond is open.
    let (position, [of_live, of_it, beyond]) = sides(store, "v2").await;
    assert_eq!(position, BTreeMap::from([(Partition::new(0), 3), (Partition::new(1), 6)]));
    assert_eq!((of_live, of_it), (4, 4));
    assert_eq!(beyond, 2, "those of partition 1 at 9");
    let progress = store.generation_progress("v2").await.expect("progress");
    assert_eq!(progress[&Partition::new(1)].raw_seq, 6);
}

async fn what_was_late_for_one_side_alone_is_counted(store: &Store) {
    let late = async |store: &Store| {
        let LateDifference { only_live, only_generation } = store.late_difference("v2").await.expect("answers");
        (only_live, only_generation)
    };
    let told = |partition: u16, raw_seq: u64, hour: i64, [counted, late, duplicate]: [u64; 3]| {
        let books = SourceBooks { source: "shop".into(), hour: at(hour * HOUR), counted, late, duplicate, repeated: 0 };
        MetricsUpdate { books: vec![books], ..update(partition, raw_seq) }
    };
    assert_eq!(late(store).await, (0, 0), "nothing is known of it");
    fold(store, &[told(0, 3, 1, [5, 3, 1]), told(1, 4, 1, [5, 0, 0]), told(0, 9, 2, [7, 2, 0])]).await;
    fold_of(store, "v2", &[told(0, 3, 1, [8, 0, 1]), told(1, 4, 1, [3, 2, 0])]).await;
    // Of another generation, nothing is meant.
    fold_of(store, "v3", &[told(0, 9, 2, [9, 0, 0])]).await;
    assert_eq!(late(store).await, (3, 2));
    // It has met a part of the hour: what is late in it says nothing yet.
    fold_of(store, "v2", &[told(0, 5, 2, [4, 0, 0])]).await;
    assert_eq!(late(store).await, (3, 2));
    fold_of(store, "v2", &[told(0, 9, 2, [9, 0, 0])]).await;
    assert_eq!(late(store).await, (5, 2));
    // What is told again from an earlier place stays out.
    fold_of(store, "v2", &[told(0, 5, 2, [4, 0, 0])]).await;
    assert_eq!(late(store).await, (5, 2));
    assert_eq!(store.retire(&order(GenerationAct::Retire, "v2")).await.expect("answers"), Retired::Done);
    assert_eq!(late(store).await, (0, 0), "it goes with the generation");
}

async fn pointers_move_together_and_back(store: &Store) {
    let mut two = versions("v2");
    two.insert("views".into(), "0123456789ab@v2".into());
    let changes = store.cut_over(&order(GenerationAct::Cutover, "v2"), &two).await.expect("cuts over");
    assert_eq!(changes.map(|changes| changes.len()), Some(2));
    assert_eq!(store.pointers().await.expect("pointers"), two);
    assert_eq!(
        store.cut_over(&order(GenerationAct::Cutover, "v2"), &two).await.expect("again"),
        Some(Vec::new()),
        "nothing changes"
    );
    let back = store.roll_back(&order(GenerationAct::Rollback, "v2"), &versions("v2")).await.expect("rolls back");
    let change = ServedChange { metric: "sales_metrics".into(), before: version("v2"), after: String::new() };
    assert_eq!(back, std::slice::from_ref(&change).to_vec());
    two.remove("sales_metrics");
    assert_eq!(store.pointers().await.expect("pointers"), two);
    let told = store.generation_changes().await.expect("changes");
    assert_eq!((told.len(), &told[0].change, told[0].by.as_str(), told[0].at), (3, &change, "anna", at(7)));
}

async fn one_generation_may_follow_another(store: &Store) {
    for generation in ["v2", "v3"] {
        store.cut_over(&order(GenerationAct::Cutover, generation), &versions(generation)).await.expect("cuts over");
    }
    let back = store.roll_back(&order(GenerationAct::Rollback, "v2"), &versions("v2")).await.expect("answers");
    assert_eq!(back, [], "it does not answer");
    store.roll_back(&order(GenerationAct::Rollback, "v3"), &versions("v3")).await.expect("rolls back");
    assert_eq!(store.pointers().await.expect("pointers"), versions("v2"));
    store.roll_back(&order(GenerationAct::Rollback, "v2"), &versions("v2")).await.expect("rolls back");
    assert_eq!(store.pointers().await.expect("pointers"), BTreeMap::new(), "the live totals");
}

async fn a_retired_generation_is_forgotten_and_passed_over(store: &Store) {
    fold(store, &[update(0, 3)]).await;
    fold_of(store, "v2", &[update(0, 3)]).await;
    // Of which `v2` is the end, and `_` any letter.
    fold_of(store, "av2", &[update(0, 3)]).await;
    let live = cells(store, &sales().version).await;
    store.cut_over(&order(GenerationAct::Cutover, "v2"), &versions("v2")).await.expect("cuts over");
    let retire = order(GenerationAct::Retire, "v2");
    assert_eq!(store.retire(&retire).await.expect("answers"), Retired::Serves(vec!["sales_metrics".into()]));
    store.roll_back(&order(GenerationAct::Rollback, "v2"), &versions("v2")).await.expect("rolls back");
    assert_eq!(store.retire(&retire).await.expect("answers"), Retired::Done);
    while store.forget_retired().await.expect("forgets") {}
    assert_eq!(cells(store, &version("v2")).await, 0);
    fold_of(store, "v2", &[update(0, 9)]).await;
    assert_eq!(cells(store, &version("v2")).await, 0, "what still comes is passed over");
    assert!(cells(store, &version("av2")).await > 0);
    assert_eq!(cells(store, &sales().version).await, live);
}

async fn nobody_is_put_on_a_generation_that_was_retired(store: &Store) {
    for generation in ["v2", "v3"] {
        fold_of(store, generation, &[update(0, 3)]).await;
        store.cut_over(&order(GenerationAct::Cutover, generation), &versions(generation)).await.expect("cuts over");
    }
    assert_eq!(store.retire(&order(GenerationAct::Retire, "v2")).await.expect("answers"), Retired::Done);
    store.roll_back(&order(GenerationAct::Rollback, "v3"), &versions("v3")).await.expect("rolls back");
    assert_eq!(store.pointers().await.expect("pointers"), BTreeMap::new(), "what was there before it is gone");
    let late = store.cut_over(&order(GenerationAct::Cutover, "v2"), &versions("v2")).await.expect("answers");
    assert_eq!(late, None, "it was retired while somebody looked at it");
}

async fn what_was_replaced_is_warm_for_a_while(store: &Store) {
    const HOUR: i64 = 3_600_000;
    let begun = order(GenerationAct::Cutover, "v1").at;
    let cut_over = async |generation: &str| {
        let order = GenerationOrder { warm_hours: Some(5), ..order(GenerationAct::Cutover, generation) };
        store.cut_over(&order, &versions(generation)).await.expect("cuts over");
    };
    for generation in ["v1", "v2", "v3"] {
        fold_of(store, generation, &[update(0, 3)]).await;
        cut_over(generation).await;
    }
    let after = async |hours: i64| store.retire_cooled(begun.plus_millis(hours * HOUR)).await.expect("answers");
    assert!(after(4).await.is_empty(), "all are warm");
    // Who is gone back to stays for as long as it answers.
    store.roll_back(&order(GenerationAct::Rollback, "v3"), &versions("v3")).await.expect("rolls back");
    assert_eq!(store.pointers().await.expect("pointers"), versions("v2"));
    assert_eq!(after(6).await, ["v1"], "v2 answers, and v3 was not replaced");
    let known = store.generations().await.expect("generations");
    assert_eq!(known.iter().map(|of| of.retired_at.is_some()).collect::<Vec<_>>(), [true, false, false]);
    cut_over("v3").await;
    assert_eq!(store.generations().await.expect("generations")[1].retire_at, Some(begun.plus_millis(5 * HOUR)));
    assert_eq!((after(6).await, after(6).await), (vec!["v2".into()], vec![]));
    let told = &store.generation_changes().await.expect("changes")[0];
    assert_eq!((told.act, told.generation.as_str(), told.by.as_str()), (GenerationAct::Retire, "v2", "tidemill"));
}
