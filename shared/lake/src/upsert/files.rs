//! The files of orders that changes are of, written anew one by one.
//!
//! Each file stays a file of its own, and new orders are one of theirs. So orders that were placed at one time
//! stay together, and what changes those of today leaves the files of last year as they are.

use std::collections::{BTreeMap, HashMap};

use deltalake::{
    DeltaTable,
    arrow::{
        array::{ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch},
        compute::{concat_batches, filter_record_batch, not},
        datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
    },
    kernel::{Action, Remove},
    writer::{DeltaWriter, RecordBatchWriter},
};

use super::{
    index::{OrderIndex, WantedOrders, hashes},
    sums::{FILE, merged, orders_of_single},
};
use crate::{
    error::LakeError,
    kept::files,
    read::{reader, with_columns},
    schema::arrow_schema,
    tables::SilverOrder,
    write::{fresh, stage},
};

/// Rows of files on their way.
pub(super) struct OrderFiles<'t> {
    table: &'t DeltaTable,
    schema: SchemaRef,
    /// What the files become without the orders that change.
    writers: Vec<RecordBatchWriter>,
    actions: Vec<Action>,
    /// Orders that change, as they are, each with the number of its file.
    affected: Vec<RecordBatch>,
}

/// What a version is to do that has these changes.
pub(super) async fn merge_actions(
    table: &DeltaTable,
    index: &mut OrderIndex,
    changes: &RecordBatch,
) -> Result<Vec<Action>, LakeError> {
    let wanted = WantedOrders::of(changes)?;
    let all = files(table).await?;
    index.keep_only(&all);
    let mut files = OrderFiles::none(table);
    for file in all {
        if index.has_any(table, &file, &wanted).await? {
            files.take_apart(&file.path, &wanted).await?;
            files.actions.push(Action::Remove(Remove { data_change: true, ..file.removal }));
        }
    }
    files.put_together(changes).await
}

impl<'t> OrderFiles<'t> {
    fn none(table: &'t DeltaTable) -> Self {
        let schema = arrow_schema(&SilverOrder::TABLE);
        Self { table, schema, writers: Vec::new(), actions: Vec::new(), affected: Vec::new() }
    }

    /// Writes the rows of a file that stay as they are, and keeps the others.
    async fn take_apart(&mut self, path: &deltalake::Path, wanted: &WantedOrders) -> Result<(), LakeError> {
        let mut writer = RecordBatchWriter::for_table(self.table)?.with_writer_properties(fresh());
        let number = i32::try_from(self.writers.len()).unwrap_or(i32::MAX);
        for rows in reader(self.table, path).await? {
            let rows = with_columns(&rows?, &self.schema)?;
            let changes = wanted.among(&rows)?;
            let stay = filter_record_batch(&rows, &not(&changes)?)?;
            if stay.num_rows() > 0 {
                writer.write(stay).await?;
            }
            if changes.true_count() > 0 {
                self.affected.push(numbered(&filter_record_batch(&rows, &changes)?, number)?);
            }
        }
        self.writers.push(writer);
        Ok(())
    }

    /// Adds orders with their changes to the files that they were in, and those that are new.
    async fn put_together(mut self, changes: &RecordBatch) -> Result<Vec<Action>, LakeError> {
        let affected = concat_batches(&numbered_schema(), &self.affected)?;
        // Most changes place an order, and nothing else is told of it yet.
        let are_single = single(changes, &affected)?;
        let mut new = vec![orders_of_single(&filter_record_batch(changes, &are_single)?)?];
        let others = filter_record_batch(changes, &not(&are_single)?)?;
        let merged = if others.num_rows() > 0 { merged(affected, others).await? } else { Vec::new() };
        let orders = concat_batches(&numbered_schema(), &merged)?;
        let places = orders.column(orders.num_columns() - 1).as_primitive::<Int32Type>();
        let of_files: BTreeMap<Option<i32>, ()> = places.iter().map(|place| (place, ())).collect();
        for place in of_files.into_keys() {
            let is_there: BooleanArray = places.iter().map(|other| Some(other == place)).collect();
            let rows = with_columns(&filter_record_batch(&orders, &is_there)?, &self.schema)?;
            let writer = place.and_then(|place| self.writers.get_mut(usize::try_from(place).ok()?));
            match writer {
                Some(writer) => writer.write(rows).await?,
                None => new.push(rows),
            }
        }
        new.retain(|rows| rows.num_rows() > 0);
        if !new.is_empty() {
            self.actions.extend(stage(self.table, &new).await?);
        }
        for mut writer in self.writers {
            self.actions.extend(writer.flush().await?.into_iter().map(Action::Add));
        }
        Ok(self.actions)
    }
}

/// Which changes are the only one of an order that no file has. Two orders may have one hash, so that a change is taken
/// for none, and never for one.
fn single(changes: &RecordBatch, affected: &RecordBatch) -> Result<BooleanArray, LakeError> {
    let (changes, mut times) = (hashes(changes)?, HashMap::<u64, u32>::new());
    for hash in changes.iter().copied().chain(hashes(affected)?) {
        *times.entry(hash).or_default() += 1;
    }
    Ok(changes.iter().map(|hash| Some(times.get(hash) == Some(&1))).collect())
}

/// The columns of an order, and the number of its file.
fn numbered_schema() -> SchemaRef {
    let orders = arrow_schema(&SilverOrder::TABLE);
    let file = Field::new(FILE, DataType::Int32, true);
    let nullable = orders.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Schema::new(nullable.chain([file]).collect::<Vec<_>>()).into()
}

fn numbered(rows: &RecordBatch, file: i32) -> Result<RecordBatch, LakeError> {
    let number: ArrayRef = std::sync::Arc::new(Int32Array::from(vec![file; rows.num_rows()]));
    let columns = rows.columns().iter().cloned().chain([number]).collect();
    Ok(RecordBatch::try_new(numbered_schema(), columns)?)
}
