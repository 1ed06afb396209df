//! Many small files into few large ones, sorted by what questions ask for. Rows stay as
//! they are.

use std::num::NonZeroU64;

use deltalake::{Path, kernel::Add, protocol::DeltaOperation};

use super::{
    KeptTable,
    exchange::Exchange,
    files::{FolderValues, TableFile, files, folders},
    rewrite::{Rewrite, RowSource},
};
use crate::{
    append::{TRIES, pause},
    error::{LakeError, LakeErrorKind},
    write::FileKind,
};

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

impl KeptTable {
    /// Puts the small files of one folder together; nothing where no folder has enough
    /// of them. Call it until nothing is left.
    ///
    /// # Errors
    /// The store did not do it, or rows would have changed: the table is as it was.
    pub async fn compact(&mut self, goal: CompactionGoal) -> Result<Compacted, LakeError> {
        let compacted = self.try_compact(goal).await;
        compacted.map_err(|error| error.of(&self.name))
    }

    async fn try_compact(&mut self, goal: CompactionGoal) -> Result<Compacted, LakeError> {
        self.refresh().await?;
        let small = folders(&self.table).await?.into_iter().find_map(|(folder, files)| chosen(folder, files, goal));
        let Some((folder, old)) = small else { return Ok(Compacted::default()) };
        let rewrite = Rewrite {
            sources: vec![RowSource::of(&self.table, &old)],
            into: &self.table,
            folder: &folder,
            sorted_by: &self.sorted_by,
            looked_up_by: &self.looked_up_by,
            kind: FileKind::Compacted,
            file_bytes: goal.file_bytes,
        };
        let rewritten = rewrite.make().await?;
        let compacted = Compacted { removed: old.len(), added: rewritten.added.len(), rows: rewritten.rows };
        let unchanged = |add| Add { data_change: false, ..add };
        let exchange = Exchange {
            removed: old.iter().map(|file| file.removal.clone()).collect(),
            added: rewritten.added.into_iter().map(unchanged).collect(),
            transactions: Vec::new(),
        };
        let target_size = i64::try_from(goal.file_bytes.get()).unwrap_or(i64::MAX);
        let operation = DeltaOperation::Optimize { predicate: None, target_size };
        // Whoever has put them together meanwhile, or changed their rows, was first.
        Ok(if self.exchange(&old, exchange, operation).await? { compacted } else { Compacted::default() })
    }

    /// Makes a version in which files are exchanged; answers whether they were still there.
    pub(super) async fn exchange(
        &mut self,
        old: &[TableFile],
        exchange: Exchange,
        operation: DeltaOperation,
    ) -> Result<bool, LakeError> {
        for conflicts in 0..TRIES {
            if exchange.clone().commit(&self.table, operation.clone()).await? {
                return Ok(true);
            }
            pause(conflicts).await;
            self.refresh().await?;
            let standing: Vec<Path> = files(&self.table).await?.into_iter().map(|file| file.path).collect();
            if old.iter().any(|file| !standing.contains(&file.path)) {
                return Ok(false);
            }
        }
        Err(LakeError::new(LakeErrorKind::Contended, format!("others were first {TRIES} times")))
    }
}

/// Of a folder with enough small files those that make one of the size that they should
/// have: the oldest, which are next to each other in the log.
fn chosen(folder: FolderValues, files: Vec<TableFile>, goal: CompactionGoal) -> Option<(FolderValues, Vec<TableFile>)> {
    let mut small: Vec<_> = files.into_iter().filter(|file| file.bytes < goal.file_bytes.get() / 2).collect();
    if small.len() < goal.least_files.max(2) {
        return None;
    }
    small.sort_by(|one, other| (one.written, &one.path).cmp(&(other.written, &other.path)));
    let mut bytes = 0;
    small.retain(|file| {
        let has_room = bytes < goal.file_bytes.get();
        bytes += if has_room { file.bytes } else { 0 };
        has_room
    });
    Some((folder, small))
}
