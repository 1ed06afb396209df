mod refused;
mod tiers;

use deltalake::{
    arrow::{
        array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray},
        ipc::reader::StreamReader,
    },
    operations::write::WriteBuilder,
    parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    protocol::SaveMode,
};
use tidemill_domain::Code;
use tidemill_lake_tables::{S3Config, StorageConfig};

use super::*;

struct TestLake {
    folder: tempfile::TempDir,
    lake: Lake,
}

impl TestLake {
    /// A lake whose orders have two versions: of three, and of six rows.
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = folder.path().display().to_string();
        let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("opens");
        let test = Self { folder, lake };
        test.append(0).await;
        test.append(3).await;
        test
    }

    async fn append(&self, first: i64) {
        self.append_to("silver/orders", first).await;
    }

    async fn append_to(&self, path: &str, first: i64) {
        let amounts = [1_000_000_000_000_i128, -500_000_000_000, 1].map(Some);
        let amounts: Decimal128Array = amounts.into_iter().collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("raw_seq", Arc::new(Int64Array::from_iter_values(first..first + 3))),
            ("order_id", Arc::new(StringArray::from(vec![Some("o\"1,"), None, Some("o3")]))),
            ("net", Arc::new(amounts.with_precision_and_scale(38, 12).expect("amounts"))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
        let known = self.lake.existing(path).await.expect("is asked");
        let snapshot = known.as_ref().map(|table| table.snapshot().expect("loaded").snapshot().clone());
        let builder = WriteBuilder::new(self.lake.log_store(path).expect("a store"), snapshot);
        builder
            .with_input_batches([batch.expect("a batch")])
            .with_save_mode(SaveMode::Append)
            .await
            .expect("is written");
    }

    fn engine(&self, limits: SqlLimits) -> Arc<SqlEngine> {
        Arc::new(SqlEngine::new(self.lake.clone(), Vec::new(), limits).expect("an engine"))
    }
}

async fn csv(engine: &Arc<SqlEngine>, sql: &str, at: Option<&str>) -> Result<String, Code> {
    let at = at.map(|at| at.parse().expect("a version or a time"));
    let answer = engine.query(sql, at).await.map_err(|error| error.code())?;
    Ok(String::from_utf8(answer.write(ResultFormat::Csv).expect("is written")).expect("UTF-8"))
}

#[tokio::test]
async fn tables_are_asked_by_layer_and_as_of_a_version_or_a_time() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let count = "select count(*) as n, sum(net) as net from silver.orders";
    let beyond =
        engine.query(count, Some("9999".parse().expect("a version"))).await.expect_err("it is not there").to_string();
    assert!(beyond.starts_with("silver.orders has no version 9999: its newest one is "), "{beyond}");
    let misspelt = engine.query("select nte from silver.orders", None).await.expect_err("no such column").to_string();
    assert!(misspelt.contains("Valid fields are") && !misspelt.contains('\n'), "{misspelt}");
    assert_eq!(csv(&engine, count, None).await.as_deref(), Ok("n,net\n6,1.000000000002\n"));
    assert_eq!(csv(&engine, count, Some("0")).await.as_deref(), Ok("n,net\n3,0.500000000001\n"));
    assert_eq!(csv(&engine, count, Some("2100-01-01T00:00:00Z")).await.as_deref(), Ok("n,net\n6,1.000000000002\n"));
    assert_eq!(csv(&engine, count, Some("7")).await, Err(Code::UnknownTableVersion));
    assert_eq!(csv(&engine, count, Some("2001-01-01T00:00:00Z")).await, Err(Code::UnknownTableVersion));
    let two = "select count(*) from silver.orders, silver.events";
    assert_eq!(csv(&engine, two, Some("0")).await, Err(Code::UnknownTableVersion));
    let named = "with o as (select * from silver.orders) select count(*) as n from o where raw_seq > 3";
    assert_eq!(csv(&engine, named, None).await.as_deref(), Ok("n\n2\n"));
    let listed = csv(&engine, "show tables", None).await.expect("lists");
    assert!(listed.contains("silver,orders"), "{listed}");
    let columns = csv(&engine, "describe silver.orders", None).await.expect("describes");
    assert!(columns.contains("order_id"), "{columns}");
    let explained = csv(&engine, "explain select * from silver.orders", None).await.expect("explains");
    assert!(explained.contains("logical_plan"), "{explained}");
}

#[tokio::test]
async fn who_asks_for_a_table_that_is_not_there_is_told_those_that_are() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    for name in ["silver.order", "silver.events", "orders", "nowhere.orders"] {
        let error = engine.query(&format!("select * from {name}"), None).await.expect_err(name);
        assert_eq!(error.code(), Code::UnknownTable, "{error}");
        assert!(error.to_string().ends_with("there are silver.orders"), "{error}");
    }
}

#[tokio::test]
async fn nothing_but_the_lake_is_read_and_nothing_is_written() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let file = lake.folder.path().join("x.csv");
    std::fs::write(&file, "a,b\n1,2\n").expect("a file");
    let file = file.display();
    for (sql, codes) in [
        ("insert into silver.orders values (1, 'x', 2)".to_owned(), [Code::NotReadOnly; 2]),
        ("update silver.orders set net = 0".into(), [Code::NotReadOnly; 2]),
        ("delete from silver.orders".into(), [Code::NotReadOnly; 2]),
        ("drop table silver.orders".into(), [Code::NotReadOnly; 2]),
        ("create table t as select 1".into(), [Code::NotReadOnly; 2]),
        ("create view v as select 1".into(), [Code::NotReadOnly; 2]),
        (format!("create external table t stored as csv location '{file}'"), [Code::NotReadOnly; 2]),
        (format!("copy (select 1) to '{file}'"), [Code::NotReadOnly; 2]),
        (format!("explain copy (select 1) to '{file}'"), [Code::NotReadOnly; 2]),
        ("explain insert into silver.orders values (1, 'x', 2)".into(), [Code::NotReadOnly; 2]),
        ("set datafusion.execution.batch_size = 1".into(), [Code::NotReadOnly; 2]),
        ("reset datafusion.execution.batch_size".into(), [Code::NotReadOnly, Code::InvalidSql]),
        ("begin".into(), [Code::NotReadOnly; 2]),
        ("prepare p as select 1".into(), [Code::NotReadOnly; 2]),
        ("select 1; drop table silver.orders".into(), [Code::InvalidSql; 2]),
        (format!("select * from '{file}'"), [Code::UnknownTable, Code::InvalidSql]),
        (format!("select * from read_csv('{file}')"), [Code::InvalidSql, Code::UnknownTable]),
        (format!("select * from read_parquet('{file}')"), [Code::InvalidSql, Code::UnknownTable]),
        ("selec 1".into(), [Code::InvalidSql; 2]),
        ("select nothing from silver.orders".into(), [Code::InvalidSql; 2]),
        (format!("select {}", " ".repeat(MAX_SQL)), [Code::InvalidSql; 2]),
        (format!("select {}1{}", "(".repeat(5000), ")".repeat(5000)), [Code::InvalidSql, Code::SqlFailed]),
    ] {
        let error = engine.query(&sql, None).await.expect_err(&sql);
        assert!(codes.contains(&error.code()), "{sql:.80}: {} {error}", error.code());
    }
    assert_eq!(csv(&engine, "select count(*) as n from silver.orders", None).await.as_deref(), Ok("n\n6\n"));
}

#[tokio::test]
async fn a_question_has_limits() {
    let lake = TestLake::new().await;
    let limited = lake.engine(SqlLimits { rows: 10, ..SqlLimits::default() });
    assert_eq!(csv(&limited, "select * from range(0, 11)", None).await, Err(Code::AnswerTooLarge));
    assert!(csv(&limited, "select * from range(0, 10)", None).await.is_ok());
    let small = lake.engine(SqlLimits { answer_bytes: 100_000, ..SqlLimits::default() });
    assert_eq!(csv(&small, "select * from range(0, 90000)", None).await, Err(Code::AnswerTooLarge));
    let short = lake.engine(SqlLimits { seconds: 1, ..SqlLimits::default() });
    let endless = "select count(*) from range(0, 10000) a, range(0, 10000000000) b where a.value + b.value = -1";
    assert_eq!(csv(&short, endless, None).await, Err(Code::SqlTooCostly));
    let narrow = SqlLimits { memory_bytes: 1 << 20, spill_bytes: 0, seconds: 600, ..SqlLimits::default() };
    let sorted = "select count(distinct value) as n from range(0, 2000000)";
    assert_eq!(csv(&lake.engine(narrow), sorted, None).await, Err(Code::SqlTooCostly));
}

#[tokio::test]
async fn an_answer_is_written_in_each_form_without_a_loss() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let sql = "select order_id, net, cast('2026-01-31T10:00:00Z' as timestamp) as at from silver.orders \
               where raw_seq < 3 order by raw_seq";
    let answer = engine.query(sql, None).await.expect("an answer");
    assert_eq!(answer.rows(), 3);
    let text = |format| String::from_utf8(answer.write(format).expect("is written")).expect("UTF-8");
    let json: serde_json::Value = serde_json::from_str(&text(ResultFormat::Json)).expect("JSON");
    assert_eq!(json["columns"][1], serde_json::json!({"name": "net", "type": "decimal(38,12)"}));
    assert_eq!(json["rows"][1]["net"], "-0.50");
    assert_eq!(json["rows"][1]["order_id"], serde_json::Value::Null);
    assert!(json["rows"][0]["at"].as_str().is_some_and(|at| at.starts_with("2026-01-31T10:00:00")), "{json}");
    assert_eq!(text(ResultFormat::Ndjson).lines().count(), 3);
    assert!(text(ResultFormat::Csv).starts_with("order_id,net,at\n\"o\"\"1,\",1.00,"), "{}", text(ResultFormat::Csv));
    let arrow = answer.write(ResultFormat::Arrow).expect("is written");
    let rows: usize =
        StreamReader::try_new(arrow.as_slice(), None).expect("a stream").map(|b| b.expect("rows").num_rows()).sum();
    assert_eq!(rows, 3);
    let parquet = answer.write(ResultFormat::Parquet).expect("is written");
    let file = lake.folder.path().join("answer.parquet");
    std::fs::write(&file, parquet).expect("a file");
    let file = std::fs::File::open(file).expect("opens");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a file of Parquet").build().expect("a reader");
    assert_eq!(reader.map(|batch| batch.expect("rows").num_rows()).sum::<usize>(), 3);
    let none = engine.query("select * from silver.orders where false", None).await.expect("an answer");
    let json: serde_json::Value =
        serde_json::from_slice(&none.write(ResultFormat::Json).expect("is written")).expect("JSON");
    assert_eq!((json["columns"].as_array().map(Vec::len), &json["rows"]), (Some(3), &serde_json::json!([])));
}

#[tokio::test]
async fn tables_tell_how_fresh_they_are() {
    let lake = TestLake::new().await;
    let listing = lake.engine(SqlLimits::default()).tables().await.expect("lists");
    let [orders] = listing.tables.as_slice() else { panic!("{listing:?}") };
    assert_eq!((orders.name.as_str(), orders.version, orders.files), ("silver.orders", 1, 2));
    assert!(orders.changed_at.is_some() && orders.bytes > 0);
    assert_eq!(orders.columns[2].kind, "decimal(38,12)");
}

#[tokio::test]
async fn a_table_that_cannot_be_read_takes_no_other_away() {
    let lake = TestLake::new().await;
    lake.append_to("gold/daily_metrics", 0).await;
    let engine = lake.engine(SqlLimits::default());
    let log = lake.folder.path().join("silver/orders/_delta_log").join(format!("{:020}.json", 1));
    let whole = std::fs::read(&log).expect("a log");
    std::fs::write(&log, &whole[..100]).expect("writes");
    let listing = engine.tables().await.expect("lists");
    let [daily] = listing.tables.as_slice() else { panic!("{listing:?}") };
    assert_eq!(daily.name, "gold.daily_metrics");
    let [orders] = listing.unreadable.as_slice() else { panic!("{listing:?}") };
    assert_eq!((orders.name.as_str(), orders.error.code()), ("silver.orders", Code::LakeDamaged));
    let folder = lake.folder.path().display().to_string();
    assert!(!orders.error.to_string().contains(&folder), "{}", orders.error);
    let count = |table: &str| format!("select count(*) as n from {table}");
    assert_eq!(csv(&engine, &count("gold.daily_metrics"), None).await.as_deref(), Ok("n\n3\n"));
    assert_eq!(csv(&engine, &count("silver.orders"), None).await, Err(Code::LakeDamaged));
}

#[tokio::test]
async fn a_file_that_is_missing_or_cut_is_damage() {
    let lake = TestLake::new().await;
    let engine = lake.engine(SqlLimits::default());
    let table = lake.lake.existing("silver/orders").await.expect("answers").expect("a table");
    let uri = table.get_file_uris().expect("files").next().expect("a file");
    let file = std::path::PathBuf::from(uri.trim_start_matches("file://"));
    let whole = std::fs::read(&file).expect("a file");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("writes");
    let sum = "select sum(net) as net from silver.orders";
    assert_eq!(csv(&engine, sum, None).await, Err(Code::LakeDamaged), "cut");
    std::fs::remove_file(&file).expect("is there");
    assert_eq!(csv(&engine, sum, None).await, Err(Code::LakeDamaged), "missing");
    std::fs::write(&file, &whole).expect("writes");
    assert_eq!(csv(&engine, sum, None).await.as_deref(), Ok("net\n1.000000000002\n"), "put back");
}

#[tokio::test]
async fn a_table_of_another_lake_is_not_answered_from() {
    let lake = TestLake::new().await;
    lake.append_to("gold/daily_metrics", 0).await;
    let of_shop = TestLake { lake: lake.lake.clone().owned_by("shop"), folder: lake.folder };
    let engine = of_shop.engine(SqlLimits::default());
    assert_eq!(csv(&engine, "select * from silver.orders", None).await, Err(Code::LakeSchema));
    let listing = engine.tables().await.expect("lists");
    let unreadable: Vec<_> = listing.unreadable.iter().map(|table| (table.name.as_str(), table.error.code())).collect();
    assert_eq!(unreadable, [("silver.orders", Code::LakeSchema)]);
    assert_eq!(listing.tables.len(), 1, "one of gold need not say whose it is");
}
