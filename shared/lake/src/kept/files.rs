//! The data files of a table, by folder.

use std::collections::BTreeMap;

use deltalake::{DeltaTable, Path, kernel::Remove};
use futures::TryStreamExt;

use crate::error::LakeError;

/// The values of the columns that are folders, by column.
pub(crate) type FolderValues = BTreeMap<String, Option<String>>;

/// A file of the newest version.
#[derive(Debug, Clone)]
pub(crate) struct TableFile {
    pub(crate) path: Path,
    pub(crate) bytes: u64,
    /// Its rows, as the table says.
    pub(crate) rows: u64,
    /// When it was written, in milliseconds.
    pub(crate) written: i64,
    /// What takes it out of a version; rows stay as they are.
    pub(crate) removal: Remove,
    pub(crate) folder: FolderValues,
}

/// The files of a table, as of its version.
pub(crate) async fn files(table: &DeltaTable) -> Result<Vec<TableFile>, LakeError> {
    let log_store = table.log_store();
    let views = table.snapshot()?.snapshot().file_views(log_store.as_ref(), None);
    let file = views.map_ok(|view| TableFile {
        path: view.object_store_path(),
        bytes: u64::try_from(view.size()).unwrap_or_default(),
        rows: view.num_records().unwrap_or_default() as u64,
        written: view.modification_time(),
        removal: view.remove_action(false),
        folder: view.partition_values_map().into_iter().collect(),
    });
    Ok(file.try_collect().await?)
}

/// The same, those of each folder together.
pub(super) async fn folders(table: &DeltaTable) -> Result<BTreeMap<FolderValues, Vec<TableFile>>, LakeError> {
    let mut folders: BTreeMap<FolderValues, Vec<TableFile>> = BTreeMap::new();
    for file in files(table).await? {
        folders.entry(file.folder.clone()).or_default().push(file);
    }
    Ok(folders)
}
