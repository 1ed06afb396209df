//! The lake in a bucket of a real S3 server, and what can go wrong with that.

use std::{net::SocketAddr, num::NonZeroU64, time::Duration};

use futures::future::join_all;
use tidemill_domain::Code;
use tidemill_testkit::{Gate, GateMode, S3Server, skipped};
use tokio::time::timeout;

use crate::{
    Appended, Appender, Compacted, CompactionGoal, Lake, LakeError, S3Config, StorageConfig, TablePart,
    append::tests::{part, part_of, properties},
    tables::BronzeEvent,
    testing,
};

const MEGABYTE: usize = 1 << 20;
/// The last sequence that is written.
const LAST: i64 = 8;

async fn server(test: &str) -> Option<S3Server> {
    let server = S3Server::start().await;
    if server.is_none() {
        skipped(test, "there is no S3 server: SeaweedFS (`weed`), which scripts/provision installs");
    }
    server
}

fn lake_of(bucket: &str, at: SocketAddr, [key, secret]: [&str; 2]) -> Lake {
    let endpoint = format!("http://{at}");
    let options = [
        ("endpoint", endpoint.as_str()),
        ("region", "us-east-1"),
        ("allow_http", "true"),
        ("access_key_id", key),
        ("secret_access_key", secret),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let storage = StorageConfig { url: format!("s3://{bucket}/shop/lake"), s3: S3Config(options.into()) };
    Lake::open(&storage).expect("a bucket").owned_by("a")
}

fn lake(at: SocketAddr) -> Lake {
    lake_of(S3Server::BUCKET, at, S3Server::WRITER)
}

async fn append(lake: &Lake, part: TablePart) -> Result<Appended, LakeError> {
    lake.claim().await?;
    let table = lake.table(&BronzeEvent::TABLE, &properties("a")).await?;
    Appender::new(table, "raw_seq").append(&[part]).await
}

/// Sequences of the rows that are there, each as often as it is.
async fn sequences(lake: &Lake) -> Vec<i64> {
    let rows = testing::rows(lake, "bronze/events", &["raw_seq"]).await.expect("rows");
    let mut sequences: Vec<i64> = rows.iter().map(|row| row[0].parse().expect("a number")).collect();
    sequences.sort_unstable();
    sequences
}

/// A text that cannot be made smaller by half.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + u8::try_from((state >> 33) % 90).unwrap_or_default())
    };
    (0..bytes).map(next).collect()
}

/// Writes all sequences in order; each try may take so long, wherever that ends it, and the next longer.
async fn write_all(lake: Lake, last: i64, patience: Duration) {
    for sequence in 1..=last {
        let mut patience = patience;
        while !matches!(timeout(patience, append(&lake, part(0, [sequence], sequence))).await, Ok(Ok(_))) {
            patience *= 2;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_in_a_bucket_write_each_row_once() {
    let Some(server) = server("two_writers_in_a_bucket_write_each_row_once").await else { return };
    let lake = lake(server.address());
    let (hasty, patient) = (Duration::from_millis(20), Duration::from_secs(60));
    join_all([write_all(lake.clone(), LAST, hasty), write_all(lake.clone(), LAST, patient)]).await;
    assert_eq!(sequences(&lake).await, (1..=LAST).collect::<Vec<_>>());

    let table = lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table");
    let goal = CompactionGoal { file_bytes: NonZeroU64::MIN.saturating_add(1 << 20), least_files: 2 };
    let compacted = table.kept().compact(goal).await.expect("is compacted");
    assert_ne!(compacted, Compacted::default());
    let mut table = lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table");
    table.checkpoint().await.expect("is made");
    assert_eq!(sequences(&lake).await, (1..=LAST).collect::<Vec<_>>(), "the same rows in fewer files");
}

async fn refused(lake: Lake) -> (Code, String) {
    let error = append(&lake, part(0, [1], 1)).await.expect_err("it is refused");
    (error.code(), error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_bucket_is_told_by_its_code() {
    let Some(server) = server("what_is_wrong_with_a_bucket_is_told_by_its_code").await else { return };
    let at = server.address();
    let [key, _] = S3Server::WRITER;
    for (lake, expected, words) in [
        (lake_of("lake", at, [key, "wrong"]), Code::LakeDenied, "SignatureDoesNotMatch"),
        (lake_of("lake", at, ["nobody", "wrong"]), Code::LakeDenied, "InvalidAccessKeyId"),
        (lake_of("lake", at, S3Server::READER), Code::LakeDenied, "AccessDenied"),
        (lake_of("no-such-bucket", at, S3Server::WRITER), Code::LakeStore, "NoSuchBucket"),
    ] {
        let (code, text) = refused(lake).await;
        assert_eq!(code, expected, "{text}");
        assert!(text.contains(words), "{text}");
    }
    let modes = [
        (GateMode::Shut, Code::LakeStore),
        (GateMode::Answer("503 Slow Down", "<Error><Code>SlowDown</Code></Error>"), Code::LakeStore),
        (GateMode::Answer("507 Insufficient Storage", "<Error><Code>XMinioStorageFull</Code></Error>"), Code::LakeFull),
        (GateMode::Answer("403 Forbidden", "<Error><Code>QuotaExceeded</Code></Error>"), Code::LakeFull),
    ];
    let gates = join_all(modes.into_iter().map(async |(mode, expected)| {
        let gate = Gate::start(at).await;
        gate.set(mode.clone());
        let (code, text) = refused(lake(gate.address())).await;
        assert_eq!(code, expected, "{mode:?}: {text}");
        gate
    }))
    .await;
    gates.iter().for_each(|gate| gate.set(GateMode::Slow(Duration::from_millis(20))));
    let again = gates.iter().map(async |gate| append(&lake(gate.address()), part(0, [1], 1)).await);
    join_all(again).await.into_iter().for_each(|done| assert!(done.is_ok(), "{done:?}"));
    assert_eq!(sequences(&lake(at)).await, [1], "once, whoever it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_cut_leave_the_table_as_it_was() {
    let Some(mut server) = server("uploads_that_are_cut_leave_the_table_as_it_was").await else { return };
    let gate = Gate::start(server.address()).await;
    let lake = lake(gate.address());
    let big = |sequence: i64| part_of(0, [sequence], sequence, &noise(sequence.unsigned_abs(), 6 * MEGABYTE));
    append(&lake, big(1)).await.expect("is written");
    gate.set(GateMode::Cut(2 * MEGABYTE));
    assert_eq!(append(&lake, big(2)).await.expect_err("it is cut").code(), Code::LakeStore);
    gate.set(GateMode::Open);
    assert_eq!(sequences(&lake).await, [1]);
    append(&lake, big(2)).await.expect("is written");

    // A file of so many bytes is sent in parts.
    let table = lake.table(&BronzeEvent::TABLE, &properties("a")).await.expect("a table");
    let mut table = table.kept();
    let goal = CompactionGoal { file_bytes: NonZeroU64::MIN.saturating_add(64 << 20), least_files: 2 };
    gate.set(GateMode::Cut(2 * MEGABYTE));
    assert_eq!(table.compact(goal).await.expect_err("it is cut").code(), Code::LakeStore);
    gate.set(GateMode::Open);
    assert_eq!(sequences(&lake).await, [1, 2]);
    table.compact(goal).await.expect("is compacted");
    assert_eq!(sequences(&lake).await, [1, 2]);

    server.kill();
    assert_eq!(append(&lake, part(0, [3], 3)).await.expect_err("it is away").code(), Code::LakeStore);
    server.restart().await;
    append(&lake, part(0, [3], 3)).await.expect("it is back");
    assert_eq!(sequences(&lake).await, [1, 2, 3]);
}
