//! A table that an older release has made gets the columns that it lacks.

use deltalake::kernel::{StructField, StructType, transaction::CommitProperties};

use crate::{
    append::{TRIES, pause},
    error::{LakeError, LakeErrorKind, is_conflict},
    more::MoreColumn,
    schema::{delta_fields, more_fields},
    table::LakeTable,
};

impl LakeTable {
    /// Adds the columns that are declared and not there. Rows that are there have null in them, so
    /// only such that may be null can be added; files stay as they are.
    pub(crate) async fn add_columns(&mut self, more: &[MoreColumn]) -> Result<(), LakeError> {
        for conflicts in 0..TRIES {
            let missing = self.missing(more)?;
            if missing.is_empty() {
                return Ok(());
            }
            let names: Vec<&str> = missing.iter().map(|field| field.name().as_str()).collect();
            tracing::info!(table = %self.definition(), columns = names.join(","), "the table gets columns");
            let once = CommitProperties::default()
                .with_max_retries(0)
                .with_create_checkpoint(false)
                .with_cleanup_expired_logs(Some(false));
            match self.delta().clone().add_columns().with_fields(missing).with_commit_properties(once).await {
                Ok(_) => {}
                // Somebody else has written, and may have added them.
                Err(error) if is_conflict(&error) => pause(conflicts).await,
                Err(error) => return Err(error.into()),
            }
            self.refresh().await?;
        }
        Err(LakeError::new(LakeErrorKind::Contended, format!("others were first {TRIES} times")))
    }

    fn missing(&self, more: &[MoreColumn]) -> Result<Vec<StructField>, LakeError> {
        let schema: StructType =
            self.delta().snapshot()?.metadata().parse_schema().map_err(deltalake::DeltaTableError::from)?;
        let is_missing = |field: &StructField| field.is_nullable() && schema.field(field.name()).is_none();
        Ok(delta_fields(self.definition())?.into_iter().chain(more_fields(more)?).filter(is_missing).collect())
    }
}
