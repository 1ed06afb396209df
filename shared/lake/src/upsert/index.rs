//! Which files have which orders.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use deltalake::{
    DeltaTable, Path,
    arrow::{
        array::{Array, AsArray, BooleanArray, RecordBatch},
        compute::cast,
        datatypes::DataType,
    },
};

use crate::{
    error::{LakeError, LakeErrorKind},
    kept::TableFile,
    read::column_reader,
};

const ORDER: &str = "order_id";
/// Orders whose hashes are kept in memory: 8 bytes each. Of the rest the files are read again.
const MOST: usize = 2_000_000;

/// Hashes of the orders that files have.
#[derive(Debug, Default)]
pub(super) struct OrderIndex {
    /// By file, ascending.
    known: BTreeMap<Path, Arc<[u64]>>,
    held: usize,
}

/// Hashes of orders that are looked for. Two orders may share one, so that too many rows are looked at,
/// and never too few.
#[derive(Debug)]
pub(super) struct WantedOrders(HashSet<u64>);

fn hash_of(order: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    order.hash(&mut hasher);
    hasher.finish()
}

/// The hash of the order of each row.
pub(super) fn hashes(rows: &RecordBatch) -> Result<Vec<u64>, LakeError> {
    let missing = || LakeError::new(LakeErrorKind::Schema, format!("there is no column {ORDER}"));
    let orders = cast(rows.column_by_name(ORDER).ok_or_else(missing)?, &DataType::Utf8)?;
    let orders = orders.as_string::<i32>();
    let order = |row: usize| orders.is_valid(row).then(|| orders.value(row));
    Ok((0..orders.len()).map(|row| hash_of(order(row))).collect())
}

impl WantedOrders {
    /// Those of changes.
    pub(super) fn of(changes: &RecordBatch) -> Result<Self, LakeError> {
        Ok(Self(hashes(changes)?.into_iter().collect()))
    }

    /// Which rows are of one of them.
    pub(super) fn among(&self, rows: &RecordBatch) -> Result<BooleanArray, LakeError> {
        Ok(hashes(rows)?.into_iter().map(|hash| Some(self.0.contains(&hash))).collect())
    }

    fn is_any_in(&self, hashes: &[u64]) -> bool {
        // Whichever of the two takes fewer steps.
        match self.0.len() * 20 < hashes.len() {
            true => self.0.iter().any(|hash| hashes.binary_search(hash).is_ok()),
            false => hashes.iter().any(|hash| self.0.contains(hash)),
        }
    }
}

impl OrderIndex {
    /// Whether a file has any of these orders.
    pub(super) async fn has_any(
        &mut self,
        table: &DeltaTable,
        file: &TableFile,
        wanted: &WantedOrders,
    ) -> Result<bool, LakeError> {
        if let Some(known) = self.known.get(&file.path) {
            return Ok(wanted.is_any_in(known));
        }
        let mut read = Vec::new();
        for rows in column_reader(table, &file.path, ORDER).await? {
            read.extend(hashes(&rows?)?);
        }
        read.sort_unstable();
        let has_any = wanted.is_any_in(&read);
        if self.held + read.len() <= MOST {
            self.held += read.len();
            self.known.insert(file.path.clone(), read.into());
        }
        Ok(has_any)
    }

    /// Forgets files that the table has no more.
    pub(super) fn keep_only(&mut self, files: &[TableFile]) {
        let standing: BTreeSet<&Path> = files.iter().map(|file| &file.path).collect();
        self.known.retain(|path, _| standing.contains(path));
        self.held = self.known.values().map(|hashes| hashes.len()).sum();
    }
}
