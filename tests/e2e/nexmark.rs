//! Nexmark: what the suite answers of its queries is what the events say.

use tidemill::suite::DefinitionFiles;
use tidemill_testkit::tempdir;
use tidemill_tests::{
    TestSuite,
    nexmark::{NexmarkEvents, NexmarkQuery, rows, true_rows, write_files},
};
use tokio::task::JoinSet;

/// So many that there are several windows, sessions that end, and sessions that are
/// joined; `RATE` a second of event time.
const EVENTS: usize = 4_000;
const RATE: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_nexmark_is_right() {
    let folder = tempdir();
    let events = NexmarkEvents::new(EVENTS, RATE);
    let files = write_files(folder.path(), &NexmarkQuery::ALL, &events).expect("writes");
    let mut given = DefinitionFiles::default();
    (given.definitions.metrics, given.definitions.rules) = (Some(files.metrics), Some(files.rules));
    (given.definitions.schemas, given.definitions.shop) = (Some(files.schemas), Some(files.shop));
    given.reference.files = files.reference;
    let suite = TestSuite::with_files(given).await;
    let client = suite.client();
    // The order in which they come is another each time.
    let mut senders = JoinSet::new();
    for body in events.bodies(100) {
        let client = client.clone();
        senders.spawn(async move { client.send(body, false, None).await });
    }
    let verdicts = senders.join_all().await;
    let accepted: u64 = verdicts.into_iter().map(|verdict| verdict.expect("is taken").accepted).sum();
    assert_eq!(accepted, events.count());
    let books = suite.balanced(events.count()).await;
    assert_eq!(books["counted"], events.count());
    for query in NexmarkQuery::ALL {
        let (told, right) = (rows(&client, query, &events).await.expect("answers"), true_rows(query, &events));
        assert!(right.len() > 3, "{}: {right:?}", query.name());
        assert_eq!(told, right, "{}", query.name());
    }
    suite.stop().await;
}
