//! For tests: what is in a table, read as any engine would.

use deltalake::{
    Path,
    arrow::{array::RecordBatch, util::display::array_value_to_string},
    parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
};
use object_store::ObjectStoreExt;
use url::Url;

use crate::{
    error::{LakeError, LakeErrorKind},
    lake::Lake,
};

/// The rows of the newest version of a table, these columns of each as texts; nothing
/// where there is no table. A null is an empty text.
///
/// # Errors
/// A file is missing or cut, or has no such column.
pub async fn rows(lake: &Lake, path: &str, columns: &[&str]) -> Result<Vec<Vec<String>>, LakeError> {
    let Some(table) = lake.existing(path).await? else { return Ok(Vec::new()) };
    let damaged = |error: &dyn std::fmt::Display| LakeError::new(LakeErrorKind::Damaged, error.to_string()).of(path);
    let mut rows = Vec::new();
    let uris: Vec<String> = table.get_file_uris()?.collect();
    for uri in uris {
        let path = Url::parse(&uri).map_or(uri.clone(), |url| url.path().to_owned());
        let path = Path::from_url_path(path).map_err(|error| damaged(&error))?;
        let bytes = lake.store().get(&path).await?.bytes().await?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| damaged(&error))?;
        for batch in reader.build().map_err(|error| damaged(&error))? {
            rows.extend(texts(&batch?, columns)?);
        }
    }
    Ok(rows)
}

fn texts(batch: &RecordBatch, columns: &[&str]) -> Result<Vec<Vec<String>>, LakeError> {
    let missing = |name: &&str| LakeError::new(LakeErrorKind::Schema, format!("there is no column {name}"));
    let columns = columns.iter().map(|name| batch.column_by_name(name).ok_or_else(|| missing(name)));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let row = |row| columns.iter().map(|column| Ok(array_value_to_string(column, row)?)).collect();
    (0..batch.num_rows()).map(row).collect()
}
