//! What keeps a table quick to open.

use deltalake::checkpoints::{cleanup_metadata, create_checkpoint};

use crate::{append::Appender, error::LakeError, table::LakeTable};

impl LakeTable {
    /// Writes all that its versions come to into one file, and deletes versions that
    /// are older than the table keeps them. Answers how many were deleted.
    ///
    /// # Errors
    /// The store did not do it; the table is as it was.
    pub async fn checkpoint(&mut self) -> Result<usize, LakeError> {
        self.refresh().await?;
        let checkpoint = async {
            create_checkpoint(self.delta(), None).await?;
            cleanup_metadata(self.delta(), None).await
        };
        checkpoint.await.map_err(|error| LakeError::from(error).of(self.definition()))
    }
}

impl Appender {
    /// As [`LakeTable::checkpoint`].
    ///
    /// # Errors
    /// The store did not do it; the table is as it was.
    pub async fn checkpoint(&mut self) -> Result<usize, LakeError> {
        self.table_mut().checkpoint().await
    }
}
