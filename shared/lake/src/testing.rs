//! For tests: what is in a table, read as any engine would.

use std::collections::BTreeMap;

use deltalake::{
    DeltaTable, Path,
    arrow::{
        array::{ArrayRef, AsArray as _, RecordBatch},
        datatypes::{DataType, Decimal128Type},
        util::display::array_value_to_string,
    },
    parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
};
use object_store::ObjectStoreExt;
use url::Url;

use crate::{
    error::{LakeError, LakeErrorKind},
    lake::Lake,
};

/// The rows of the newest version of a table, these columns of each as texts; nothing
/// where there is no table. A null is an empty text, and so is what a file is older than.
///
/// # Errors
/// A file is missing or cut, or the table has no such column.
pub async fn rows(lake: &Lake, path: &str, columns: &[&str]) -> Result<Vec<Vec<String>>, LakeError> {
    let Some(table) = lake.existing(path).await? else { return Ok(Vec::new()) };
    let schema = table.snapshot()?.schema();
    if let Some(missing) = columns.iter().find(|name| schema.field(name).is_none()) {
        return Err(LakeError::new(LakeErrorKind::Schema, format!("there is no column {missing}")).of(path));
    }
    let mut rows = Vec::new();
    for batch in batches(lake, &table).await.map_err(|error| error.of(path))? {
        rows.extend(texts(&batch, columns)?);
    }
    Ok(rows)
}

/// What a version of a table comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionTotals {
    /// Rows.
    pub rows: usize,
    /// The sums of columns that are amounts, in the last of their decimals.
    pub sums: BTreeMap<String, i128>,
}

/// What all versions of a table that are kept come to.
///
/// # Errors
/// A file is missing or cut.
pub async fn versions(lake: &Lake, path: &str) -> Result<BTreeMap<u64, VersionTotals>, LakeError> {
    let Some(mut table) = lake.existing(path).await? else { return Ok(BTreeMap::new()) };
    let mut versions = BTreeMap::new();
    for version in 0..=table.version().unwrap_or_default() {
        table.load_version(version).await?;
        let mut totals = VersionTotals::default();
        for batch in batches(lake, &table).await.map_err(|error| error.of(path))? {
            totals.rows += batch.num_rows();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if matches!(field.data_type(), DataType::Decimal128(..)) {
                    let values = column.as_primitive::<Decimal128Type>().iter().flatten();
                    *totals.sums.entry(field.name().clone()).or_default() += values.sum::<i128>();
                }
            }
        }
        versions.insert(version, totals);
    }
    Ok(versions)
}

async fn batches(lake: &Lake, table: &DeltaTable) -> Result<Vec<RecordBatch>, LakeError> {
    let damaged = |error: &dyn std::fmt::Display| LakeError::new(LakeErrorKind::Damaged, error.to_string());
    let mut batches = Vec::new();
    let uris: Vec<String> = table.get_file_uris()?.collect();
    for uri in uris {
        let path = Url::parse(&uri).map_or(uri.clone(), |url| url.path().to_owned());
        let path = Path::from_url_path(path).map_err(|error| damaged(&error))?;
        let bytes = lake.store().get(&path).await?.bytes().await?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| damaged(&error))?;
        for batch in reader.build().map_err(|error| damaged(&error))? {
            batches.push(batch?);
        }
    }
    Ok(batches)
}

fn texts(batch: &RecordBatch, columns: &[&str]) -> Result<Vec<Vec<String>>, LakeError> {
    let columns: Vec<_> = columns.iter().map(|name| batch.column_by_name(name)).collect();
    let text = |column: &Option<&ArrayRef>, row| match column {
        Some(column) => Ok(array_value_to_string(column, row)?),
        None => Ok(String::new()),
    };
    let row = |row| columns.iter().map(|column| text(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}
