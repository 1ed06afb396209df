//! Bronze tells the log as it was, and never more than it has.

use std::{collections::BTreeMap, sync::Arc};

use deltalake::arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Field, Schema},
};
use proptest::prelude::*;
use tidemill_domain::{Partition, Timestamp};
use tidemill_lake_tables::Lake;

use super::gold::{append, lake};
use crate::{BronzeExtent, BronzeFrom, BronzePage, BronzeQuestion, SqlEngine, SqlError, SqlLimits};

/// A batch of the log: its sequence, its partition and its lines.
type LogBatch = (i64, i32, Vec<String>);

fn log(batches: i64, partitions: i64) -> Vec<LogBatch> {
    let lines = |n: i64| (0..1 + n % 4).map(|line| format!("{{\"n\":{n},\"ä\":\"{line}\"}}")).collect();
    let partition = |n: i64| i32::try_from(n * 7 % 11 % partitions).expect("is small");
    (1..=batches).map(|n| (n, partition(n), lines(n))).collect()
}

/// A second for each batch.
fn at(raw_seq: i64) -> Timestamp {
    Timestamp::saturating_from_millis(1_700_000_000_000 + raw_seq * 1000)
}

fn rows(batches: &[LogBatch]) -> RecordBatch {
    let all = || {
        batches.iter().flat_map(|(raw_seq, partition, lines)| {
            lines.iter().enumerate().map(move |(index, line)| (*raw_seq, *partition, index, line.clone()))
        })
    };
    let times = all().map(|(raw_seq, ..)| Some(at(raw_seq).millis() * 1000));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("partition", Arc::new(all().map(|(_, partition, ..)| Some(partition)).collect::<Int32Array>())),
        ("raw_seq", Arc::new(all().map(|(raw_seq, ..)| Some(raw_seq)).collect::<Int64Array>())),
        ("index", Arc::new(all().map(|(.., index, _)| i32::try_from(index).ok()).collect::<Int32Array>())),
        ("ingested_at", Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))),
        ("source", Arc::new(all().map(|(.., index, _)| Some(["a", "b"][index % 2])).collect::<StringArray>())),
        ("event", Arc::new(all().map(|(.., line)| Some(line)).collect::<StringArray>())),
    ];
    table(columns)
}

/// Letters of whole messages of `RAW`, and of one line of a batch.
fn letters(sequences: &[(i64, &str)]) -> RecordBatch {
    table(vec![
        ("stream", Arc::new(sequences.iter().map(|_| Some("RAW")).collect::<StringArray>()) as ArrayRef),
        ("stream_seq", Arc::new(sequences.iter().map(|(sequence, _)| Some(*sequence)).collect::<Int64Array>())),
        ("code", Arc::new(sequences.iter().map(|(_, code)| Some(*code)).collect::<StringArray>())),
    ])
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect()).expect("columns")
}

struct TestBronze {
    _folder: tempfile::TempDir,
    lake: Lake,
    engine: Arc<SqlEngine>,
}

impl TestBronze {
    fn new() -> Self {
        let (folder, lake) = lake();
        let engine = Arc::new(SqlEngine::new(lake.clone(), Vec::new(), SqlLimits::default()).expect("an engine"));
        Self { _folder: folder, lake, engine }
    }

    async fn has(&self, batches: &[LogBatch]) {
        append(&self.lake, "bronze/events", rows(batches)).await;
    }

    async fn page(&self, partition: u16, behind: u64, sequences: u64, bytes: usize) -> Result<BronzePage, SqlError> {
        let question = BronzeQuestion { partition: Partition::new(partition), behind, sequences, bytes };
        self.engine.bronze_page(vec![Partition::new(partition)], question).await
    }

    async fn extent(&self, from: BronzeFrom, before: u64) -> BronzeExtent {
        self.engine.bronze_extent(Vec::new(), from, before).await.expect("an answer")
    }

    /// The lines of a partition, page by page, and how far it got.
    async fn read(&self, partition: u16, sequences: u64, bytes: usize) -> (BTreeMap<u64, String>, u64) {
        let (mut lines, mut behind) = (BTreeMap::new(), 0);
        loop {
            let page = self.page(partition, behind, sequences, bytes).await.expect("a page");
            assert!(page.batches.iter().all(|batch| (behind + 1..=page.reaches).contains(&batch.raw_seq)));
            for batch in page.batches {
                let count = batch.lines.iter().filter(|byte| **byte == b'\n').count();
                assert_eq!(batch.sources.values().sum::<u32>() as usize, count);
                assert_eq!(batch.ingested_at, at(batch.raw_seq.cast_signed()));
                let text = String::from_utf8(batch.lines).expect("text");
                assert_eq!(lines.insert(batch.raw_seq, text), None, "{} comes once", batch.raw_seq);
            }
            if page.reaches == behind {
                return (lines, behind);
            }
            behind = page.reaches;
        }
    }
}

fn told(batches: &[LogBatch], partition: i32, to: i64) -> BTreeMap<u64, String> {
    let of_it = batches.iter().filter(|(raw_seq, of, _)| *of == partition && *raw_seq <= to);
    let text = |lines: &Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect();
    of_it.map(|(raw_seq, _, lines)| (raw_seq.cast_unsigned(), text(lines))).collect()
}

#[tokio::test]
async fn each_partition_is_told_line_for_line_however_it_is_cut() {
    let bronze = TestBronze::new();
    let empty = bronze.page(0, 4, 10, 1000).await.expect("there is no table yet");
    assert_eq!((empty.reaches, empty.batches.len()), (4, 0));
    let log = log(60, 3);
    // Commits of replicas come as they come.
    let (odd, even): (Vec<LogBatch>, Vec<_>) = log.iter().cloned().partition(|(_, partition, _)| *partition == 1);
    bronze.has(&odd).await;
    assert_eq!(bronze.read(0, 10, 1000).await, (BTreeMap::new(), 1), "batch 2 is not there yet, whosever it is");
    bronze.has(&even[20..]).await;
    bronze.has(&even[..20]).await;
    for (sequences, bytes) in [(1, 1), (7, 1), (7, 40), (1000, 1), (1000, 100), (1000, 1 << 20)] {
        for partition in 0..3_u16 {
            let (lines, reached) = bronze.read(partition, sequences, bytes).await;
            assert_eq!(reached, 60, "{sequences} {bytes}");
            assert_eq!(lines, told(&log, partition.into(), 60), "{sequences} {bytes}");
        }
    }
}

#[tokio::test]
async fn it_ends_where_a_batch_is_missing_whosever_it_is() {
    let bronze = TestBronze::new();
    let log = log(40, 3);
    let lacks = |n: i64| matches!(n, 3 | 17 | 18 | 30);
    let there: Vec<LogBatch> = log.iter().filter(|(n, ..)| !lacks(*n)).cloned().collect();
    bronze.has(&there).await;
    for partition in 0..3_u16 {
        let (lines, reached) = bronze.read(partition, 100, 1000).await;
        assert_eq!((lines, reached), (told(&log, partition.into(), 2), 2));
    }
    let extent = bronze.extent(BronzeFrom::Sequence(1), 43).await;
    assert_eq!(extent.missing, [(41, 42), (30, 30), (17, 18), (3, 3)]);
    assert_eq!((extent.first, extent.batches, extent.begins_at), (1, 36, Some(at(1))));
    assert_eq!(extent.events, there.iter().map(|(.., lines)| lines.len() as u64).sum::<u64>());
    // What enrichment has set aside as a whole was no batch; a line that was set aside says nothing of its batch.
    let whole = [(3, "malformed_message"), (17, "unsupported_version"), (18, "malformed_event")];
    append(&bronze.lake, "bronze/rejected", letters(&whole)).await;
    let (lines, reached) = bronze.read(1, 100, 1000).await;
    assert_eq!((lines, reached), (told(&there, 1, 17), 17));
    assert_eq!(bronze.extent(BronzeFrom::Sequence(1), 41).await.missing, [(30, 30), (18, 18)]);
    assert_eq!(bronze.extent(BronzeFrom::Sequence(31), 41).await.missing, []);
}

#[tokio::test]
async fn a_time_begins_with_its_first_batch_where_the_one_before_is_known() {
    let bronze = TestBronze::new();
    assert_eq!(bronze.extent(BronzeFrom::Time(at(5)), 9).await.missing, [(1, 8)], "there is no table");
    bronze.has(&log(20, 3)[3..]).await;
    let extent = bronze.extent(BronzeFrom::Time(at(9)), 21).await;
    assert_eq!((extent.first, extent.batches, extent.begins_at), (9, 12, Some(at(8))));
    assert_eq!(extent.missing, []);
    // Whether batch 3 came in before that, nobody knows.
    let early = bronze.extent(BronzeFrom::Time(at(2)), 21).await;
    assert_eq!((early.first, early.missing), (4, vec![(3, 3)]));
    let late = bronze.extent(BronzeFrom::Time(at(99)), 21).await;
    assert_eq!((late.first, late.batches, late.missing), (21, 0, vec![]));
    assert_eq!(bronze.extent(BronzeFrom::Time(at(99)), 22).await.missing, [(21, 21)]);
}

#[tokio::test]
async fn a_batch_that_lacks_a_line_is_damage() {
    let bronze = TestBronze::new();
    let mut log = log(8, 1);
    bronze.has(&log[..7]).await;
    log[7].2.truncate(1);
    bronze.has(&log[7..]).await;
    bronze.has(&log[7..]).await;
    let damaged = bronze.page(0, 0, 100, 1 << 20).await.expect_err("is there twice");
    assert!(matches!(damaged, SqlError::Damaged { .. }), "{damaged}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_a_part_of_the_log_without_a_hole(
        missing in prop::collection::btree_set(1..30_i64, 0..4),
        sequences in 1..40_u64,
        bytes in 1..300_usize,
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (bronze, log) = (TestBronze::new(), log(29, 4));
            bronze.has(&log.iter().filter(|(n, ..)| !missing.contains(n)).cloned().collect::<Vec<_>>()).await;
            let whole = missing.first().map_or(29, |first| first - 1);
            for partition in 0..4_u16 {
                let (lines, reached) = bronze.read(partition, sequences, bytes).await;
                assert_eq!((lines, reached), (told(&log, partition.into(), whole), whole.cast_unsigned()));
            }
            let spans = bronze.extent(BronzeFrom::Sequence(1), 30).await.missing;
            let all: std::collections::BTreeSet<i64> =
                spans.iter().flat_map(|(from, to)| from.cast_signed()..=to.cast_signed()).collect();
            assert_eq!(all, missing);
        });
    }
}
