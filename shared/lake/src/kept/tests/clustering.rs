//! Files that stay are sorted, so that questions read fewer row groups of them, and have
//! filters of what single rows are looked up by.

use deltalake::parquet::{
    arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    bloom_filter::Sbbf,
    file::{
        metadata::ParquetMetaData,
        properties::ReaderProperties,
        reader::{FileReader, SerializedFileReader},
        serialized_reader::ReadOptionsBuilder,
        statistics::Statistics,
    },
};

use super::*;
use crate::tables::SilverOrderLine;

const CATEGORIES: [&str; 10] =
    ["Books", "Games", "Garden", "Kitchen", "Lighting", "Music", "Office", "Paper", "Toys", "Travel"];
/// More than one row group has.
const ROWS: usize = 140_000;
const COMMITS: usize = 4;

fn lines(commit: usize) -> TablePart {
    let mut rows = TableRows::new().expect("rows");
    for n in commit * ROWS / COMMITS..(commit + 1) * ROWS / COMMITS {
        let (event, order) = (format!("e-{n}"), format!("o-{}", n / 3));
        let time = Timestamp::saturating_from_millis(i64::try_from(n).expect("few"));
        rows.push(&SilverOrderLine {
            partition: 0,
            raw_seq: i64::try_from(commit).expect("few") + 1,
            index: 0,
            line: 0,
            event_id: &event,
            source: "shop",
            r#type: "order.placed",
            subject: None,
            time,
            late: false,
            backfill: false,
            order_id: Some(&order),
            product: None,
            category: Some(CATEGORIES[n * 7 % CATEGORIES.len()]),
            country: None,
            region: Some(if n % 2 == 0 { "Europe" } else { "Asia" }),
            currency: None,
            quantity: None,
            gross: None,
            discount: None,
            revenue: None,
            refund: None,
            cancelled: None,
            net: None,
            rounded: false,
            base_currency: None,
            base_gross: None,
            base_discount: None,
            base_revenue: None,
            base_refund: None,
            base_cancelled: None,
            base_net: None,
            year: 1970,
            month: 1,
        });
    }
    let app = AppId::of(&SilverOrderLine::TABLE, Partition::new(0));
    TablePart { app, reaches: i64::try_from(commit).expect("few") + 1, rows: rows.take().expect("a batch") }
}

/// The row groups, and those that may have rows of a category.
fn row_groups(metadata: &ParquetMetaData, category: &str) -> (usize, usize) {
    let may_have = |statistics: Option<&Statistics>| match statistics {
        Some(Statistics::ByteArray(values)) => {
            let value = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec).expect("is told");
            value(values.min_bytes_opt()).as_slice() <= category.as_bytes()
                && value(values.max_bytes_opt()).as_slice() >= category.as_bytes()
        }
        _ => true,
    };
    let groups = metadata.row_groups();
    let category = |group: usize| {
        let columns = groups[group].columns();
        columns.iter().find(|column| column.column_path().string() == "category").expect("a column")
    };
    (groups.len(), (0..groups.len()).filter(|group| may_have(category(*group).statistics())).count())
}

fn filter_of(reader: &SerializedFileReader<std::fs::File>, group: usize, column: &str) -> Option<Sbbf> {
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let at = schema.columns().iter().position(|known| known.name() == column).expect("a column");
    reader.get_row_group(group).expect("a row group").get_column_bloom_filter(at).cloned()
}

#[tokio::test]
async fn a_question_by_category_reads_few_row_groups() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().to_str().expect("a path").to_owned();
    let lake = Lake::open(&StorageConfig { url, s3: S3Config::default() }).expect("a folder");
    let open = async || lake.table(&SilverOrderLine::TABLE, &properties()).await.expect("a table");
    let mut appender = Appender::new(open().await, "raw_seq");
    for commit in 0..COMMITS {
        appender.append(&[lines(commit)]).await.expect("appends");
    }
    let open_files = async |kept: &KeptTable| {
        let paths = files(kept.delta()).await.expect("files").into_iter();
        let path = |path: &deltalake::Path| folder.path().join("silver/order_lines").join(path.as_ref());
        paths.map(|file| std::fs::File::open(path(&file.path)).expect("a file")).collect::<Vec<_>>()
    };
    let mut kept = open().await.kept();
    let (mut all, mut read) = (0, 0);
    for file in open_files(&kept).await {
        let (groups, hit) = row_groups(SerializedFileReader::new(file).expect("Parquet").metadata(), "Music");
        (all, read) = (all + groups, read + hit);
    }
    assert_eq!((all, read), (4, 4), "as they come, all have some of it");
    let goal = CompactionGoal { file_bytes: NonZeroU64::new(1 << 27).expect("some"), least_files: 2 };
    assert_eq!(kept.compact(goal).await.expect("compacts").rows, ROWS as u64);
    kept.refresh().await.expect("answers");
    let [file] = &open_files(&kept).await[..] else { panic!("one file") };
    let with_filters = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let with_filters = ReadOptionsBuilder::new().with_reader_properties(with_filters).build();
    let reader = SerializedFileReader::new_with_options(file.try_clone().expect("a file"), with_filters);
    let reader = reader.expect("Parquet");
    assert_eq!(row_groups(reader.metadata(), "Music"), (2, 1));
    let filter = |group, column| filter_of(&reader, group, column);
    let of_order: Vec<Sbbf> = (0..2).filter_map(|group| filter(group, "order_id")).collect();
    assert_eq!(of_order.len(), 2, "each row group has a filter");
    assert!(of_order.iter().any(|filter| filter.check(&"o-40000")));
    let wrong = (0..10_000).filter(|n| of_order[0].check(&format!("unknown-{n}").as_str())).count();
    assert!(wrong < 300, "{wrong} of 10,000 orders that are not there might be");
    assert!(filter(0, "product").is_none());
    // The bytes that it takes are bounded.
    let bytes =
        reader.metadata().row_group(0).columns().iter().filter_map(|column| column.bloom_filter_length()).sum::<i32>();
    assert!(bytes > 0 && bytes <= 2 * (256 * 1024 + 64), "{bytes} bytes of filters in a row group");
    let options = ArrowReaderOptions::new();
    let rows = ParquetRecordBatchReaderBuilder::try_new_with_options(file.try_clone().expect("a file"), options);
    let rows = rows.expect("Parquet").build().expect("a reader").map(|batch| batch.expect("rows").num_rows());
    assert_eq!(rows.sum::<usize>(), ROWS);
}
