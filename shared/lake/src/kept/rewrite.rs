//! Rows of files into other files, sorted. That they are the same rows is proven: old and
//! new files are read by themselves, and compared by number and hashes.

use std::{num::NonZeroU64, sync::Arc};

use deltalake::{
    DeltaTable, Path,
    arrow::{
        array::{ArrayRef, RecordBatch, StringArray},
        compute::cast,
        datatypes::{Field, Schema, SchemaRef},
    },
    datafusion::{
        execution::{SendableRecordBatchStream, memory_pool::FairSpillPool, runtime_env::RuntimeEnvBuilder},
        prelude::{DataFrame, ParquetReadOptions, SessionConfig, SessionContext, ident},
    },
    kernel::Add,
    writer::{DeltaWriter, RecordBatchWriter},
};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use url::Url;

use super::{
    events::without_events_of,
    files::{FolderValues, TableFile},
    proof::RowsProof,
};
use crate::{
    error::{LakeError, LakeErrorKind},
    write::{FileKind, properties},
};

/// Memory that rows take while they are sorted; the rest is on disk.
const SORT_BYTES: usize = 256 << 20;

/// Files whose rows are read.
#[derive(Debug, Clone)]
pub(super) struct RowSource<'t> {
    pub(super) table: &'t DeltaTable,
    pub(super) files: Vec<Path>,
    /// The rows that they have at least, by what the table says.
    pub(super) least: u64,
    /// Those whose events its rows are not to be of.
    pub(super) without: Option<Box<Self>>,
}

/// What is to become of rows.
pub(super) struct Rewrite<'t> {
    pub(super) sources: Vec<RowSource<'t>>,
    /// The table whose files they will be.
    pub(super) into: &'t DeltaTable,
    pub(super) folder: &'t FolderValues,
    pub(super) sorted_by: &'t [String],
    pub(super) looked_up_by: &'t [String],
    pub(super) kind: FileKind,
    pub(super) file_bytes: NonZeroU64,
}

/// Files that no version has yet.
pub(super) struct Rewritten {
    pub(super) added: Vec<Add>,
    pub(super) rows: u64,
}

impl Rewrite<'_> {
    /// Writes the rows anew, and reads both again.
    pub(super) async fn make(&self) -> Result<Rewritten, LakeError> {
        let properties = properties(self.kind, self.looked_up_by);
        let writer = RecordBatchWriter::for_table(self.into)?.with_writer_properties(properties.build());
        let mut writer = writer.with_target_file_size(self.file_bytes.get());
        let schema = writer.arrow_schema();
        let mut rows = self.rows(&self.sources, &schema, self.sorted_by).await?;
        while let Some(batch) = rows.try_next().await? {
            writer.write(with_folder(&batch, &schema, self.folder)?).await?;
        }
        let added: Vec<Add> = writer.flush().await?;
        let path = |add: &Add| Path::from_url_path(&add.path).map_err(deltalake::DeltaTableError::from);
        let files = added.iter().map(path).collect::<Result<_, _>>()?;
        let written = [RowSource { table: self.into, files, least: 0, without: None }];
        let before = proof(self.rows(&self.sources, &schema, &[]).await?).await?;
        let after = proof(self.rows(&written, &schema, &[]).await?).await?;
        let least: u64 = self.sources.iter().map(|source| source.least).sum();
        if before.rows() < least {
            let reason = format!("{} rows were read of files that have {least} at least", before.rows());
            return Err(LakeError::new(LakeErrorKind::Damaged, reason));
        }
        if before != after {
            let reason = format!("put together, the rows differ: {before:?} before, {after:?} after");
            return Err(LakeError::new(LakeErrorKind::Internal, reason));
        }
        Ok(Rewritten { added, rows: before.rows() })
    }

    /// The rows of files, without the columns that are folders.
    async fn rows(
        &self,
        sources: &[RowSource<'_>],
        schema: &SchemaRef,
        sorted_by: &[String],
    ) -> Result<SendableRecordBatchStream, LakeError> {
        let is_in_files = |field: &&Arc<Field>| !self.folder.contains_key(field.name());
        let in_files = Schema::new(schema.fields().iter().filter(is_in_files).cloned().collect::<Vec<_>>());
        let context = context(sources.iter().any(|source| source.without.is_some()))?;
        let mut all: Option<DataFrame> = None;
        for (n, source) in sources.iter().enumerate().filter(|(_, source)| !source.files.is_empty()) {
            let rows = source.rows(&context, &format!("table{n}"), &in_files).await?;
            all = Some(match all {
                Some(others) => others.union(rows)?,
                None => rows,
            });
        }
        let Some(rows) = all else {
            return Err(LakeError::new(LakeErrorKind::Internal, "there are no files to be read"));
        };
        let order: Vec<_> = sorted_by.iter().map(|column| ident(column).sort(true, true)).collect();
        let rows = if order.is_empty() { rows } else { rows.sort(order)? };
        Ok(rows.execute_stream().await?)
    }
}

impl<'t> RowSource<'t> {
    /// All rows of files.
    pub(super) fn of(table: &'t DeltaTable, files: &[TableFile]) -> Self {
        Self {
            table,
            files: files.iter().map(|file| file.path.clone()).collect(),
            least: files.iter().map(|file| file.rows).sum(),
            without: None,
        }
    }

    /// Those of them whose event is in none of the others.
    pub(super) fn without(self, others: Self) -> Self {
        Self { least: 0, without: Some(Box::new(others)), ..self }
    }

    /// Its rows; `name` is its own in the session.
    async fn rows(&self, context: &SessionContext, name: &str, schema: &Schema) -> Result<DataFrame, LakeError> {
        let rows = self.all(context, name, schema).await?;
        let Some(without) = &self.without else { return Ok(rows) };
        let others = without.all(context, &format!("{name}-without"), schema).await?;
        without_events_of(rows, others, &[])
    }

    async fn all(&self, context: &SessionContext, name: &str, schema: &Schema) -> Result<DataFrame, LakeError> {
        let wrong = |error: url::ParseError| LakeError::new(LakeErrorKind::Internal, error.to_string());
        let log_store = self.table.log_store();
        let root = Url::parse(&format!("{name}://files/")).map_err(wrong)?;
        // The store of the whole place: one of the table alone answers with other paths than it is asked for.
        let store = log_store.root_object_store(None);
        let folder = log_store.root_url().path().trim_matches('/');
        let mut urls = Vec::with_capacity(self.files.len());
        for path in &self.files {
            let url = format!("{root}{folder}/{path}");
            let path = Url::parse(&url).map_err(wrong)?;
            // One that is not there would be read as no rows.
            store.head(&Path::from_url_path(path.path()).map_err(deltalake::DeltaTableError::from)?).await?;
            urls.push(url);
        }
        context.register_object_store(&root, store);
        let options = ParquetReadOptions::default().schema(schema).file_extension("");
        Ok(context.read_parquet(urls, options).await?)
    }
}

/// A session that computes with one thread and little memory. Where tables are joined in it, that is by sorting them, for which
/// the disk is used too: for that DataFusion takes two threads at the least.
fn context(joins: bool) -> Result<SessionContext, LakeError> {
    let mut config = SessionConfig::new().with_target_partitions(if joins { 2 } else { 1 });
    config.options_mut().execution.parquet.schema_force_view_types = false;
    config.options_mut().optimizer.prefer_hash_join = false;
    let pool = Arc::new(FairSpillPool::new(SORT_BYTES));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

async fn proof(mut rows: SendableRecordBatchStream) -> Result<RowsProof, LakeError> {
    let mut proof = RowsProof::new();
    while let Some(batch) = rows.try_next().await? {
        proof.add(&batch)?;
    }
    Ok(proof)
}

/// Rows with the columns that are folders.
fn with_folder(batch: &RecordBatch, schema: &SchemaRef, folder: &FolderValues) -> Result<RecordBatch, LakeError> {
    let column = |field: &Arc<Field>| -> Result<ArrayRef, LakeError> {
        if let Some(column) = batch.column_by_name(field.name()) {
            return Ok(column.clone());
        }
        let value = folder.get(field.name()).and_then(Option::as_deref);
        Ok(cast(&StringArray::from(vec![value; batch.num_rows()]), field.data_type())?)
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

#[cfg(test)]
mod tests {
    use deltalake::{arrow::array::Int64Array, datafusion::physical_plan::displayable};

    use super::*;

    /// A table of hashes would have to fit into memory: a large folder could never be moved.
    #[tokio::test]
    async fn events_are_told_apart_by_sorting() {
        let context = context(true).expect("a session");
        let columns =
            ["partition", "raw_seq", "index"].map(|name| (name, Arc::new(Int64Array::from(vec![1])) as ArrayRef));
        let rows = RecordBatch::try_from_iter(columns).expect("a batch");
        let read = || context.read_batch(rows.clone()).expect("rows");
        let apart = without_events_of(read(), read(), &[]).expect("a plan");
        let plan = apart.clone().create_physical_plan().await.expect("a plan");
        let plan = displayable(plan.as_ref()).indent(false).to_string();
        assert!(plan.contains("SortMergeJoin") && !plan.contains("HashJoin"), "{plan}");
        assert_eq!(apart.count().await.expect("rows"), 0);
    }
}
