//! A table that is kept quick to read and no larger than it has to be: declared, or one
//! of gold. Each step is a version of its own, so whoever does it may end anywhere.

mod compact;
mod events;
mod exchange;
mod files;
mod proof;
mod retention;
mod rewrite;
#[cfg(test)]
mod tests;
mod tier;

use deltalake::DeltaTable;

pub use self::{
    compact::{Compacted, CompactionGoal},
    retention::{Dropped, Retention, complete_since},
    tier::{Moved, rows_of_both},
};
pub(crate) use self::{
    files::{FolderValues, TableFile, files},
    proof::RowsProof,
};
use crate::{
    definition::TableDefinition,
    error::{LakeError, LakeErrorKind},
    lake::Lake,
    table::{LakeTable, TableProperties, check_protocol},
    tables::{BronzeEvent, SilverEvent, SilverOrderLine},
};

/// The tables whose old folders can be kept at another place. Their rows have a position in
/// the log, by which it is told which of two copies counts.
pub const TIERED: [&TableDefinition; 3] = [&BronzeEvent::TABLE, &SilverEvent::TABLE, &SilverOrderLine::TABLE];

/// A table that is kept up.
#[derive(Debug)]
pub struct KeptTable {
    name: String,
    table: DeltaTable,
    /// The columns that rows of a file are sorted by when files are put together.
    sorted_by: Vec<String>,
    /// The columns that single rows are looked up by.
    looked_up_by: Vec<String>,
}

impl LakeTable {
    /// To be kept up.
    pub fn kept(self) -> KeptTable {
        let TableDefinition { clustered_by, looked_up_by, .. } = *self.definition();
        KeptTable {
            name: self.definition().to_string(),
            table: self.delta().clone(),
            sorted_by: clustered_by.iter().map(ToString::to_string).collect(),
            looked_up_by: looked_up_by.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Lake {
    /// A table that is not declared, if there is one at this path and it is ours.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn kept(&self, path: &str, properties: &TableProperties) -> Result<Option<KeptTable>, LakeError> {
        let Some(table) = self.existing(path).await? else { return Ok(None) };
        let name = path.replace('/', ".");
        match TableProperties::owner_of(&table).map_err(|error| error.of(&name))? {
            Some(owner) if owner == properties.owner => {
                Ok(Some(KeptTable { name, table, sorted_by: Vec::new(), looked_up_by: Vec::new() }))
            }
            owner => {
                let whose = owner.unwrap_or_else(|| "nobody".into());
                let reason = format!("it belongs to the lake {whose}, and this one is {}", properties.owner);
                Err(LakeError::new(LakeErrorKind::Schema, reason).of(&name))
            }
        }
    }
}

impl KeptTable {
    /// As questions name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table as Delta has it.
    pub const fn delta(&self) -> &DeltaTable {
        &self.table
    }

    /// Whether it has all columns of another one: rows would lose them otherwise.
    fn has_columns_of(&self, other: &Self) -> Result<(), LakeError> {
        let (own, others) = (self.table.snapshot()?.schema(), other.table.snapshot()?.schema());
        match others.fields().find(|field| own.field(field.name()).is_none()) {
            None => Ok(()),
            Some(lost) => {
                let reason =
                    format!("at the other place it has no column {}: name that in contracts.columns", lost.name());
                Err(LakeError::new(LakeErrorKind::Schema, reason))
            }
        }
    }

    /// Reads what others have written meanwhile.
    async fn refresh(&mut self) -> Result<(), LakeError> {
        self.table.update_state().await?;
        check_protocol(&self.table)
    }

    /// Deletes files that no version has that can be gone back to.
    ///
    /// # Errors
    /// The store did not do it.
    pub async fn vacuum(&mut self) -> Result<usize, LakeError> {
        let vacuumed = async {
            self.refresh().await?;
            let (_, metrics) = self.table.clone().vacuum().await?;
            Ok(metrics.files_deleted.len())
        };
        vacuumed.await.map_err(|error: LakeError| error.of(&self.name))
    }
}
