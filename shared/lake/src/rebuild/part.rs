//! What is made anew, whatever its rows are.

use deltalake::arrow::array::RecordBatch;

use super::{FolderComparison, TableRebuild, orders::OrderRebuild};
use crate::{error::LakeError, progress::Reached};

/// A part of a table on its way, out of rows that are pushed.
pub trait RebuildPart: Sized + Send {
    /// How far the log was in the table when it began.
    fn reached(&self) -> &Reached;

    /// The part has rows of these writers up to there, which the table has not.
    fn reaches(&mut self, ahead: Reached);

    /// Adds rows.
    fn push(&mut self, rows: RecordBatch) -> impl Future<Output = Result<(), LakeError>> + Send;

    /// Writes what is left, and compares it with the table, folder by folder.
    fn compare(&mut self) -> impl Future<Output = Result<Vec<FolderComparison>, LakeError>> + Send;

    /// Makes the version that has it; `None` where others have changed the same files.
    fn swap(self) -> impl Future<Output = Result<Option<u64>, LakeError>> + Send;
}

/// Hands each step on to the type's own one.
macro_rules! part {
    ($part:ty) => {
        impl RebuildPart for $part {
            fn reached(&self) -> &Reached {
                <$part>::reached(self)
            }

            fn reaches(&mut self, ahead: Reached) {
                <$part>::reaches(self, ahead);
            }

            async fn push(&mut self, rows: RecordBatch) -> Result<(), LakeError> {
                <$part>::push(self, rows).await
            }

            async fn compare(&mut self) -> Result<Vec<FolderComparison>, LakeError> {
                <$part>::compare(self).await
            }

            async fn swap(self) -> Result<Option<u64>, LakeError> {
                <$part>::swap(self).await
            }
        }
    };
}

part!(TableRebuild);
part!(OrderRebuild);
