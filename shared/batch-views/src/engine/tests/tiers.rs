//! Rows here and at another place are seen as one table.

use deltalake::arrow::array::Int32Array;

use super::*;

async fn append(lake: &Lake, sequences: &[(i32, i64)]) {
    let columns: [(&str, ArrayRef); 3] = [
        ("partition", Arc::new(sequences.iter().map(|(partition, _)| Some(*partition)).collect::<Int32Array>())),
        ("raw_seq", Arc::new(sequences.iter().map(|(_, raw_seq)| Some(*raw_seq)).collect::<Int64Array>())),
        ("index", Arc::new(sequences.iter().map(|_| Some(0)).collect::<Int32Array>())),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
    let known = lake.existing("silver/events").await.expect("is asked");
    let snapshot = known.as_ref().map(|table| table.snapshot().expect("loaded").snapshot().clone());
    let builder = WriteBuilder::new(lake.log_store("silver/events").expect("a store"), snapshot);
    builder.with_input_batches([batch.expect("a batch")]).with_save_mode(SaveMode::Append).await.expect("is written");
}

#[tokio::test]
async fn what_is_kept_elsewhere_is_seen_and_what_is_in_both_is_seen_once() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let [here, there] = folders.each_ref().map(|folder| {
        let url = folder.path().display().to_string();
        Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("opens")
    });
    let engine = SqlEngine::new(here.clone(), Vec::new(), SqlLimits::default()).expect("an engine");
    let engine = Arc::new(engine.with_cold(Some(there.clone())));
    let question = "select partition, count(*) as n, sum(raw_seq) as s from silver.events group by 1 order by 1";
    // Of partition 0 three are moved, between one that came in later and the others; of partition 1 a copy of all has just
    // arrived there.
    append(&here, &[(0, 1), (0, 5), (0, 5), (0, 9), (1, 2), (1, 3)]).await;
    assert_eq!(csv(&engine, question, None).await.as_deref(), Ok("partition,n,s\n0,4,20\n1,2,5\n"));
    append(&there, &[(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (2, 7)]).await;
    assert_eq!(csv(&engine, question, None).await.as_deref(), Ok("partition,n,s\n0,7,29\n1,2,5\n2,1,7\n"));
    let found = "select count(*) as n from silver.events where raw_seq = 3";
    assert_eq!(csv(&engine, found, None).await.as_deref(), Ok("n\n2\n"), "one here, and one there");
    let version = "select count(*) as n from silver.events";
    assert_eq!(csv(&engine, version, Some("0")).await.as_deref(), Ok("n\n10\n"));
}
