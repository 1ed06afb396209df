//! A part of a table made anew.
//!
//! New files are written beside the old ones, where no version has them. They are read
//! again and compared, folder by folder, and then one version takes the old files away and
//! has the new ones: every reader sees the one or the other. How far the log is in the
//! table stays as it is, since rows that were appended meanwhile are in files of their own.
//! Whoever ends before that leaves files that no version has, which vacuum deletes.

mod events;
mod months;
mod orders;
mod part;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use deltalake::{
    ObjectStore as _, Path,
    arrow::{
        array::{ArrayRef, Int32Array, RecordBatch, new_null_array},
        compute::cast,
        datatypes::SchemaRef,
    },
    kernel::{
        Action, Add, Remove,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    protocol::{DeltaOperation, SaveMode},
    writer::{DeltaWriter, RecordBatchWriter},
};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

pub use self::{
    events::{EventFile, EventFiles, KeptEvent},
    months::Months,
    orders::OrderRebuild,
    part::RebuildPart,
};
use crate::{
    append::{TRIES, pause},
    error::{LakeError, LakeErrorKind, is_conflict},
    kept::{FolderValues, RowsProof, TableFile, files},
    lake::Lake,
    more::conformed,
    progress::Reached,
    read::reader,
    table::LakeTable,
    write::{FileKind, properties},
};

/// Bytes that are gathered for one file.
const FILE_BYTES: usize = 64 << 20;

/// What became of a folder of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderComparison {
    /// Its name, for instance `year=2026/month=1`; empty where a table has none.
    pub folder: String,
    /// Rows before.
    pub before: u64,
    /// Rows now.
    pub after: u64,
    /// Whether they are the same.
    pub equal: bool,
    /// Whether a file of it could not be read before.
    pub damaged: bool,
}

/// A part of a table on its way.
pub struct TableRebuild {
    table: LakeTable,
    reached: Reached,
    /// Writers whose rows are in the new part beyond what the table had of them.
    ahead: Reached,
    old: Vec<TableFile>,
    /// The columns of the table.
    schema: SchemaRef,
    writer: RecordBatchWriter,
    new: Vec<Add>,
}

impl TableRebuild {
    /// Begins with the table as it is now. `apps` are those who write to it.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn begin(
        mut table: LakeTable,
        months: &Months,
        apps: impl IntoIterator<Item = crate::AppId>,
    ) -> Result<Self, LakeError> {
        table.refresh().await?;
        let reached = table.reached(apps).await?;
        let old = files(table.delta()).await?;
        let old = old.into_iter().filter(|file| months.has_folder(&file.folder)).collect();
        let properties = properties(FileKind::Compacted, table.definition().looked_up_by).build();
        let writer = RecordBatchWriter::for_table(table.delta())?.with_writer_properties(properties);
        let schema = writer.arrow_schema();
        Ok(Self { table, reached, ahead: Reached::new(), old, schema, writer, new: Vec::new() })
    }

    /// How far the log was in the table then. Rows behind that are none of this part.
    pub const fn reached(&self) -> &Reached {
        &self.reached
    }

    /// The new part has rows of these writers up to there, which the table has not: it
    /// lost them. The version will say so, unless one of them goes on meanwhile.
    pub fn reaches(&mut self, ahead: Reached) {
        self.ahead = ahead;
    }

    /// Adds rows of the new part.
    ///
    /// # Errors
    /// The store does not take them.
    pub async fn push(&mut self, rows: RecordBatch) -> Result<(), LakeError> {
        if rows.num_rows() > 0 {
            self.writer.write(conformed(&rows, &self.schema)?).await?;
        }
        if self.writer.buffer_len() >= FILE_BYTES {
            self.new.extend(self.writer.flush().await?);
        }
        Ok(())
    }

    /// Writes what is left, and compares both, folder by folder.
    ///
    /// # Errors
    /// A file cannot be written, or read again.
    pub async fn compare(&mut self) -> Result<Vec<FolderComparison>, LakeError> {
        self.new.extend(self.writer.flush().await?);
        let mut proofs: BTreeMap<String, (RowsProof, RowsProof)> = BTreeMap::new();
        let mut damaged = BTreeSet::new();
        for file in &self.old {
            let proof = &mut proofs.entry(named(&file.folder)).or_default().0;
            match prove(&self.table, &self.schema, (&file.path, &file.folder), proof).await {
                // It is made anew for that.
                Err(error) if error.kind() == LakeErrorKind::Damaged => {
                    damaged.insert(named(&file.folder));
                }
                proven => proven?,
            }
        }
        for add in &self.new {
            let folder = add.partition_values.clone().into_iter().collect();
            let path = Path::from_url_path(&add.path).map_err(deltalake::DeltaTableError::from)?;
            let proof = &mut proofs.entry(named(&folder)).or_default().1;
            prove(&self.table, &self.schema, (&path, &folder), proof).await?;
        }
        let compared = |(folder, (old, new)): (String, (RowsProof, RowsProof))| {
            let damaged = damaged.contains(&folder);
            FolderComparison { folder, before: old.rows(), after: new.rows(), equal: old == new && !damaged, damaged }
        };
        Ok(proofs.into_iter().map(compared).collect())
    }

    /// Makes the version that has the new files in place of the old. `None` where the
    /// table has other files by now, since they were put together or merged: begin anew.
    ///
    /// # Errors
    /// The store did not do it: the table is as it was.
    pub async fn swap(self) -> Result<Option<u64>, LakeError> {
        let Self { mut table, reached, ahead, old, new, .. } = self;
        if old.is_empty() && new.is_empty() && ahead.is_empty() {
            return Ok(Some(table.version()));
        }
        let removed = old.iter().map(|file| Action::Remove(Remove { data_change: true, ..file.removal.clone() }));
        let actions: Vec<Action> = removed.chain(new.into_iter().map(Action::Add)).collect();
        for conflicts in 0..TRIES {
            if let Some(version) = commit(&table, actions.clone(), &ahead).await? {
                return Ok(Some(version));
            }
            pause(conflicts).await;
            table.refresh().await?;
            let standing: Vec<Path> = files(table.delta()).await?.into_iter().map(|file| file.path).collect();
            let are_gone = old.iter().any(|file| !standing.contains(&file.path));
            let now = table.reached(ahead.keys().cloned()).await?;
            let have_moved = now.iter().any(|(app, at)| reached.get(app) != Some(at));
            if are_gone || have_moved {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

async fn prove(
    table: &LakeTable,
    schema: &SchemaRef,
    (path, folder): (&Path, &FolderValues),
    proof: &mut RowsProof,
) -> Result<(), LakeError> {
    for batch in reader(table.delta(), path).await? {
        proof.add(&with_folder(schema, &batch?, folder)?)?;
    }
    Ok(())
}

/// Makes the next version; `None` where somebody else was first.
async fn commit(table: &LakeTable, actions: Vec<Action>, ahead: &Reached) -> Result<Option<u64>, LakeError> {
    let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
    let once = CommitProperties::default()
        .with_max_retries(0)
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false))
        .with_application_transactions(ahead.iter().map(|(app, at)| app.transaction(*at)).collect())
        .with_metadata([("tidemill".to_owned(), env!("CARGO_PKG_VERSION").into())]);
    let delta = table.delta();
    let state: &dyn TableReference = delta.snapshot()?;
    let commit = CommitBuilder::from(once).with_actions(actions);
    match commit.build(Some(state), delta.log_store(), operation).await {
        Ok(made) => Ok(Some(made.version())),
        Err(error) if is_conflict(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn named(folder: &FolderValues) -> String {
    // Years before months, and months before days.
    let order = ["year", "month", "day"];
    let mut parts: Vec<_> = folder.iter().collect();
    parts.sort_by_key(|(name, _)| order.iter().position(|known| known == name));
    let part = |(name, value): (&String, &Option<String>)| format!("{name}={}", value.as_deref().unwrap_or_default());
    parts.into_iter().map(part).collect::<Vec<_>>().join("/")
}

/// Rows with all columns, in the order of the table.
fn with_folder(schema: &SchemaRef, batch: &RecordBatch, folder: &FolderValues) -> Result<RecordBatch, LakeError> {
    let column = |field: &std::sync::Arc<deltalake::arrow::datatypes::Field>| -> Result<ArrayRef, LakeError> {
        if let Some(column) = batch.column_by_name(field.name()) {
            // What a merge has written has texts of another form in memory.
            return Ok(cast(column, field.data_type())?);
        }
        // An earlier release wrote the file, and had no such column.
        let Some(value) = folder.get(field.name()) else {
            return Ok(new_null_array(field.data_type(), batch.num_rows()));
        };
        // Folders are whole numbers in all tables.
        let value = value.as_deref().and_then(|text| text.parse::<i32>().ok());
        Ok(std::sync::Arc::new(Int32Array::from(vec![value; batch.num_rows()])))
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

impl Lake {
    /// Deletes everything below a folder of the lake: what a rebuild had beside a table.
    ///
    /// # Errors
    /// The store did not do it.
    pub async fn clear(&self, path: &str) -> Result<(), LakeError> {
        let store = self.log_store(path)?.object_store(None);
        let files: Vec<Path> = store.list(None).map_ok(|file| file.location).try_collect().await?;
        for file in files {
            store.delete(&file).await?;
        }
        Ok(())
    }
}
