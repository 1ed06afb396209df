//! What is counted step by step is what is counted at once.

use std::sync::Arc;

use deltalake::{DeltaTable, operations::write::WriteBuilder, protocol::SaveMode};
use proptest::prelude::*;
use tidemill_domain::Timestamp;
use tidemill_lake_tables::{
    Date, Lake, S3Config, StorageConfig, TableRows,
    tables::{BronzeEvent, SilverEvent, SilverOrderLine},
};

use super::{KnownCounts, MeasuredTable, QualityTerms};
use crate::{Gold, SqlEngine, SqlLimits};

const TERMS: QualityTerms = QualityTerms { high_score: 0.75, most_rows: 1_000 };
const EVENTS: &str = "silver/events";

/// An event of the tests.
#[derive(Debug, Clone)]
struct TestRow {
    id: u8,
    is_own: bool,
    customer: bool,
    late: bool,
    score: Option<f64>,
    month: bool,
    seconds: i64,
}

fn rows() -> impl Strategy<Value = Vec<TestRow>> {
    let score = prop::option::of(prop::sample::select(vec![0.0, 0.5, 0.75, 1.0]));
    let row = (0_u8..6, any::<bool>(), any::<bool>(), any::<bool>(), score, any::<bool>(), 0_i64..1000).prop_map(
        |(id, is_own, customer, late, score, month, seconds)| TestRow {
            id,
            is_own,
            customer,
            late,
            score,
            month,
            seconds,
        },
    );
    prop::collection::vec(row, 1..12)
}

struct TestLake {
    _folder: tempfile::TempDir,
    lake: Lake,
    engine: Arc<SqlEngine>,
}

impl TestLake {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = folder.path().display().to_string();
        let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("opens");
        let engine = Arc::new(SqlEngine::new(lake.clone(), Vec::new(), SqlLimits::default()).expect("an engine"));
        Self { _folder: folder, lake, engine }
    }

    async fn append(&self, rows: &[TestRow]) {
        let mut table = TableRows::new().expect("columns");
        for row in rows {
            let id = format!("e{}", row.id);
            let time = at(if row.month { 0 } else { 40 * 86_400 });
            let Date { year, month, .. } = time.into();
            table.push(&SilverEvent {
                partition: 0,
                raw_seq: 1,
                index: 0,
                id: if row.id == 0 { "" } else { &id },
                source: if row.is_own { "tidemill/lake" } else { "till" },
                r#type: "order.placed",
                subject: None,
                time,
                received: at(row.seconds),
                late: row.late,
                backfill: false,
                customer: row.customer.then_some("c"),
                country: None,
                region: None,
                ip_country: None,
                currency: None,
                base_currency: None,
                rate: None,
                data: None,
                enriched: None,
                quality_score: row.score,
                year,
                month,
                email: None,
                phone: None,
                has_address: None,
                profile: None,
                quality_failed: None,
                warnings: None,
                redrive: None,
            });
        }
        let known = self.lake.existing(EVENTS).await.expect("is asked");
        let snapshot = known.as_ref().map(|table| table.snapshot().expect("loaded").snapshot().clone());
        let builder = WriteBuilder::new(self.lake.log_store(EVENTS).expect("a store"), snapshot);
        let builder = builder.with_partition_columns(["year", "month"]).with_save_mode(SaveMode::Append);
        builder.with_input_batches([table.take().expect("rows")]).await.expect("is written");
    }

    async fn measure(&self, known: &KnownCounts, since: Option<u64>) -> MeasuredTable {
        self.engine.measure(EVENTS, TERMS, known, since).await.expect("is measured").expect("a table")
    }

    async fn table(&self) -> DeltaTable {
        self.lake.existing(EVENTS).await.expect("is asked").expect("a table")
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_millis(1_700_000_000_000 + seconds * 1000)
}

fn take_in(known: &mut KnownCounts, measured: &MeasuredTable) {
    known.extend(measured.counted.clone());
    known.retain(|path, _| !measured.gone.contains(path));
}

/// What the rows come to, one by one.
fn expected(rows: &[TestRow]) -> Vec<f64> {
    let sent = || rows.iter().filter(|row| !row.is_own);
    let count = |is: fn(&TestRow) -> bool| sent().filter(|row| is(row)).count() as f64;
    vec![
        rows.len() as f64,
        count(|_| true),
        count(|row| row.id == 0),
        count(|row| !row.customer),
        count(|row| row.late),
        count(|row| row.score.is_some()),
        sent().filter_map(|row| row.score).sum(),
        count(|row| row.score >= Some(0.75)),
    ]
}

const NAMES: [&str; 8] =
    ["rows", "checked", "missing_ids", "missing_customers", "late", "scored", "scores", "high_scores"];

fn duplicates(rows: &[TestRow]) -> u64 {
    let mut names: Vec<_> = rows.iter().filter(|row| !row.is_own).map(|row| (row.month, row.id, row.late)).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    (all - names.len()) as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn counts_are_of_the_rows_there_are(
        parts in prop::collection::vec(rows(), 1..4), replaced in rows(), compacts in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let test = TestLake::new();
            let (mut known, mut all, mut since) = (KnownCounts::new(), Vec::new(), None);
            let check = async |known: &mut KnownCounts, all: &[TestRow], since: Option<u64>| {
                let measured = test.measure(known, since).await;
                let counts: Vec<f64> = NAMES.iter().map(|name| measured.counts.sum(name)).collect();
                assert_eq!(counts, expected(all));
                assert_eq!(measured.duplicates, Some(duplicates(all)));
                assert_eq!(measured.counts.newest, all.iter().map(|row| at(row.seconds)).max());
                let sent = all.iter().filter(|row| !row.is_own).map(|row| at(row.seconds)).max();
                assert_eq!(measured.counts.newest_sent, sent);
                take_in(known, &measured);
                let again = test.measure(known, Some(measured.version)).await;
                assert_eq!((again.counted.len(), again.gone.len(), again.lag), (0, 0, None), "nothing is read twice");
                measured
            };
            for part in parts {
                test.append(&part).await;
                all.extend(part);
                let measured = check(&mut known, &all, since).await;
                assert_eq!(measured.lag.is_some(), since.is_some(), "what has come since is known from then on");
                since = Some(measured.version);
            }
            if compacts {
                test.table().await.optimize().await.expect("is put together");
                let measured = check(&mut known, &all, since).await;
                assert_eq!(measured.lag, None, "no row is new");
            }
            // As a layer that is made anew.
            test.table().await.delete().await.expect("are deleted");
            test.append(&replaced).await;
            check(&mut known, &replaced, since).await;
            let files = known.keys().filter(|path| !path.contains('@')).count();
            assert_eq!(files, test.table().await.snapshot().expect("loaded").log_data().num_files());
        });
    }
}

#[tokio::test]
async fn a_folder_that_is_too_large_tells_no_duplicates() {
    let test = TestLake::new();
    let row = TestRow { id: 1, is_own: false, customer: true, late: false, score: None, month: true, seconds: 5 };
    test.append(&[row.clone(), row]).await;
    let terms = QualityTerms { most_rows: 1, ..TERMS };
    let measured = test.engine.measure(EVENTS, terms, &KnownCounts::new(), Some(0)).await.expect("is measured");
    assert_eq!(measured.map(|measured| measured.duplicates), Some(None));
    assert_eq!(test.measure(&KnownCounts::new(), None).await.duplicates, Some(1));
    assert_eq!(test.engine.measure("silver/orders", TERMS, &KnownCounts::new(), None).await.expect("is asked"), None);
}

#[tokio::test]
async fn every_count_is_one_of_columns_that_there_are() {
    let test = TestLake::new();
    for (path, batch) in [
        ("bronze/events", TableRows::<BronzeEvent<'static>>::new().and_then(|mut rows| rows.take())),
        ("silver/order_lines", TableRows::<SilverOrderLine<'static>>::new().and_then(|mut rows| rows.take())),
        (
            "silver/orders",
            TableRows::<tidemill_lake_tables::tables::SilverOrder<'static>>::new().and_then(|mut r| r.take()),
        ),
    ] {
        let builder = WriteBuilder::new(test.lake.log_store(path).expect("a store"), None);
        builder.with_input_batches([batch.expect("columns")]).await.expect("is written");
        // Files without rows are not written, so that one is made of the schema alone.
        let context = test.engine.context();
        test.engine.sources(&context, &[path]).await.expect("is opened");
        let spec = super::counted::CountedTable::of(path);
        let schema = context.table(path.replace('/', ".")).await.expect("a table").schema().as_arrow().clone();
        let query = spec.query("\"partition\"", TERMS, &schema).sql;
        for sql in [Some(query), spec.duplicates()].into_iter().flatten() {
            let sql = sql.replace("FROM counted", &format!("FROM {}", path.replace('/', ".")));
            context.sql(&sql).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
}

#[tokio::test]
async fn gold_is_as_new_as_what_it_covers() {
    let test = TestLake::new();
    let metrics = tidemill_definitions::Metrics::load(None).expect("they load");
    let metrics: Vec<_> = metrics.iter().take(1).cloned().map(Arc::new).collect();
    let engine = SqlEngine::new(test.lake.clone(), metrics.clone(), SqlLimits::default()).expect("an engine");
    let gold = Gold::of(&metrics).expect("tables");
    assert_eq!(gold.newest(&engine, &super::FileCounts::default()).await.expect("is asked"), []);
    let row = TestRow { id: 1, is_own: false, customer: true, late: false, score: None, month: true, seconds: 5 };
    test.append(&[row.clone(), TestRow { is_own: true, seconds: 9, ..row }]).await;
    gold.refresh(&engine).await.expect("is computed");
    let silver = test.measure(&KnownCounts::new(), None).await;
    let newest = gold.newest(&engine, &silver.counts).await.expect("is asked");
    assert_eq!(newest.len(), 2);
    assert!(newest.iter().all(|table| (table.newest, table.newest_sent) == (Some(at(9)), Some(at(5)))), "{newest:?}");
}
