//! Many small files into few large ones. Rows stay as they are, and that is proven
//! before a version has the new files.

mod proof;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc};

use deltalake::{
    DeltaTable, Path,
    arrow::array::{ArrayRef, Int32Array, RecordBatch},
    kernel::{
        Action, Add, Remove,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    protocol::DeltaOperation,
    writer::{DeltaWriter, RecordBatchWriter},
};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use self::proof::RowsProof;
use crate::{
    append::{TRIES, pause},
    error::{LakeError, LakeErrorKind, is_conflict},
    schema::arrow_schema,
    table::LakeTable,
    write::properties,
};

/// Level of zstd for files that stay.
const LEVEL: i32 = 3;

/// What files are to be like.
#[derive(Debug, Clone, Copy)]
pub struct CompactionGoal {
    /// Bytes that a file should have.
    pub file_bytes: NonZeroU64,
    /// So many smaller ones in a folder are made into one.
    pub least_files: usize,
}

/// What became of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Files that were put together.
    pub removed: usize,
    /// Files that they are in now.
    pub added: usize,
    /// Their rows.
    pub rows: u64,
}

/// A file of the newest version.
struct TableFile {
    path: Path,
    bytes: u64,
    removal: Remove,
    folder: BTreeMap<String, Option<String>>,
}

impl LakeTable {
    /// Puts the small files of one folder together; nothing where no folder has enough
    /// of them. Call it until nothing is left.
    ///
    /// # Errors
    /// The store did not do it, or rows would have changed: the table is as it was.
    pub async fn compact(&mut self, goal: CompactionGoal) -> Result<Compacted, LakeError> {
        let compacted = self.try_compact(goal).await;
        compacted.map_err(|error| error.of(self.definition()))
    }

    async fn try_compact(&mut self, goal: CompactionGoal) -> Result<Compacted, LakeError> {
        self.refresh().await?;
        let Some(files) = chosen(self.files().await?, goal) else { return Ok(Compacted::default()) };
        let (added, rows) = self.rewritten(&files, goal).await?;
        let compacted = Compacted { removed: files.len(), added: added.len(), rows };
        for conflicts in 0..TRIES {
            if self.replace(&files, &added, goal).await? {
                return Ok(compacted);
            }
            pause(conflicts).await;
            self.refresh().await?;
            let standing: Vec<Path> = self.files().await?.into_iter().map(|file| file.path).collect();
            if files.iter().any(|file| !standing.contains(&file.path)) {
                // Somebody else has put them together, or changed their rows.
                return Ok(Compacted::default());
            }
        }
        Err(LakeError::new(LakeErrorKind::Contended, format!("others were first {TRIES} times")))
    }

    async fn files(&self) -> Result<Vec<TableFile>, LakeError> {
        let log_store = self.delta().log_store();
        let views = self.delta().snapshot()?.snapshot().file_views(log_store.as_ref(), None);
        let file = views.map_ok(|view| TableFile {
            path: view.object_store_path(),
            bytes: u64::try_from(view.size()).unwrap_or_default(),
            removal: view.remove_action(false),
            folder: view.partition_values_map().into_iter().collect(),
        });
        Ok(file.try_collect().await?)
    }

    /// Writes the rows of files anew, and reads them again.
    async fn rewritten(&self, files: &[TableFile], goal: CompactionGoal) -> Result<(Vec<Add>, u64), LakeError> {
        let table = self.delta();
        let level = properties(LEVEL).build();
        let writer = RecordBatchWriter::for_table(table)?.with_writer_properties(level);
        let mut writer = writer.with_target_file_size(goal.file_bytes.get());
        let (mut before, mut after) = (RowsProof::new(), RowsProof::new());
        for file in files {
            for batch in reader(table, &file.path).await? {
                let batch = batch?;
                before.add(&batch)?;
                writer.write(self.with_folder(&batch, &file.folder)?).await?;
            }
        }
        let added: Vec<Add> = writer.flush().await?;
        for add in &added {
            let path = Path::from_url_path(&add.path).map_err(deltalake::DeltaTableError::from)?;
            for batch in reader(table, &path).await? {
                after.add(&batch?)?;
            }
        }
        if before != after {
            let reason = format!("put together, the rows differ: {before:?} before, {after:?} after");
            return Err(LakeError::new(LakeErrorKind::Internal, reason));
        }
        let unchanged = |add| Add { data_change: false, ..add };
        Ok((added.into_iter().map(unchanged).collect(), before.rows()))
    }

    /// Rows with the columns that are folders.
    fn with_folder(
        &self,
        batch: &RecordBatch,
        folder: &BTreeMap<String, Option<String>>,
    ) -> Result<RecordBatch, LakeError> {
        let column = |field: &Arc<deltalake::arrow::datatypes::Field>| -> Result<ArrayRef, LakeError> {
            if let Some(column) = batch.column_by_name(field.name()) {
                return Ok(column.clone());
            }
            // Folders are whole numbers in all tables.
            let value = folder.get(field.name()).and_then(Option::as_deref).and_then(|text| text.parse::<i32>().ok());
            Ok(Arc::new(Int32Array::from(vec![value; batch.num_rows()])))
        };
        let schema = arrow_schema(self.definition());
        let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// Makes a version with the new files in place of the old; answers whether nobody
    /// else was first.
    async fn replace(&self, files: &[TableFile], added: &[Add], goal: CompactionGoal) -> Result<bool, LakeError> {
        let removed = files.iter().map(|file| Action::Remove(file.removal.clone()));
        let actions = removed.chain(added.iter().cloned().map(Action::Add)).collect();
        let target_size = i64::try_from(goal.file_bytes.get()).unwrap_or(i64::MAX);
        let operation = DeltaOperation::Optimize { predicate: None, target_size };
        let once = CommitProperties::default()
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        let state: &dyn TableReference = self.delta().snapshot()?;
        let commit = CommitBuilder::from(once).with_actions(actions);
        match commit.build(Some(state), self.delta().log_store(), operation).await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes files that no version has that can be gone back to.
    ///
    /// # Errors
    /// The store did not do it.
    pub async fn vacuum(&mut self) -> Result<usize, LakeError> {
        self.refresh().await?;
        let vacuumed = self.delta().clone().vacuum().await;
        let (_, metrics) = vacuumed.map_err(|error| LakeError::from(error).of(self.definition()))?;
        Ok(metrics.files_deleted.len())
    }
}

/// The first folder with enough small files: those that make one of the size that they
/// should have.
fn chosen(files: Vec<TableFile>, goal: CompactionGoal) -> Option<Vec<TableFile>> {
    let mut folders: BTreeMap<BTreeMap<String, Option<String>>, Vec<TableFile>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.bytes < goal.file_bytes.get() / 2) {
        folders.entry(file.folder.clone()).or_default().push(file);
    }
    let mut small = folders.into_values().find(|files| files.len() >= goal.least_files.max(2))?;
    let mut bytes = 0;
    small.sort_by_key(|file| file.bytes);
    small.retain(|file| {
        let has_room = bytes < goal.file_bytes.get();
        bytes += if has_room { file.bytes } else { 0 };
        has_room
    });
    Some(small)
}

/// The rows of a file, some at a time.
async fn reader(table: &DeltaTable, path: &Path) -> Result<ParquetRecordBatchReader, LakeError> {
    let bytes = table.object_store().get(path).await?.bytes().await?;
    // Types as Parquet has them: a merge leaves those of its engine beside them, such as views of texts.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options);
    let reader = reader.map_err(deltalake::DeltaTableError::from)?;
    Ok(reader.build().map_err(deltalake::DeltaTableError::from)?)
}
