//! Whether rows are the same, in whatever order.

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
};

use deltalake::arrow::{
    array::RecordBatch,
    row::{RowConverter, SortField},
};

use crate::error::LakeError;

/// The number of rows, and the sum of their hashes.
#[derive(Default)]
pub(crate) struct RowsProof {
    rows: u64,
    hashes: u128,
    converter: Option<RowConverter>,
}

impl RowsProof {
    /// Of no rows.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows. All have the same columns.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let converter = match self.converter.take() {
            Some(converter) => converter,
            None => {
                let schema = batch.schema();
                RowConverter::new(schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect())?
            }
        };
        let rows = self.converter.insert(converter).convert_columns(batch.columns())?;
        for row in &rows {
            let mut hasher = DefaultHasher::new();
            hasher.write(row.as_ref());
            self.hashes = self.hashes.wrapping_add(hasher.finish().into());
            self.rows += 1;
        }
        Ok(())
    }
}

impl PartialEq for RowsProof {
    fn eq(&self, other: &Self) -> bool {
        (self.rows, self.hashes) == (other.rows, other.hashes)
    }
}

impl fmt::Debug for RowsProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, hash {:x}", self.rows, self.hashes)
    }
}
