//! The short form of the chaos run: a few faults of every kind, on the first
//! lines of the data set.

use tidemill_tests::chaos::{self, Options, Replicas};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_every_event_is_counted_once() {
    if !chaos::is_installed_for("whatever_is_killed_every_event_is_counted_once") {
        return;
    }
    let options = Options {
        seed: 4,
        faults: 16,
        only: Vec::new(),
        lines: Some(20_000),
        replicas: Replicas::default(),
        data: chaos::shared_data_set(),
        keep: false,
    };
    let verdict = chaos::run(&options).await.unwrap_or_else(|e| panic!("{e}"));
    eprintln!("{}", serde_json::to_string(&verdict).expect("serialises"));
    assert_eq!((verdict.lost, verdict.double), (0, 0));
    assert!(verdict.balanced, "the books balance");
    assert_eq!(verdict.sent, verdict.counted + verdict.late + verdict.dead_lettered);
    assert!(verdict.is_good(), "{:#?}", verdict.problems);
}
