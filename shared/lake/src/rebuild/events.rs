//! Events of silver, read again.

use deltalake::{
    arrow::{
        array::{Array, AsArray, RecordBatch, StringArray},
        datatypes::{Int32Type, Int64Type, TimestampMicrosecondType},
    },
    parquet::arrow::arrow_reader::ParquetRecordBatchReader,
};
use tidemill_domain::Timestamp;

use super::Months;
use crate::{
    error::{LakeError, LakeErrorKind},
    kept::{TableFile, files},
    progress::{AppId, Reached},
    read::reader,
    table::LakeTable,
};

/// An event of silver, as far as other tables are made of it.
#[derive(Debug, Clone, Copy)]
pub struct KeptEvent<'a> {
    /// Partition of the log.
    pub partition: i32,
    /// Sequence of its batch in `RAW`.
    pub raw_seq: i64,
    /// Its line in the batch.
    pub index: i32,
    /// Identifier, unique within the source.
    pub id: &'a str,
    /// Who produced it.
    pub source: &'a str,
    /// What happened.
    pub kind: &'a str,
    /// What it is about.
    pub subject: Option<&'a str>,
    /// When it happened.
    pub time: Timestamp,
    /// When ingestion took it in.
    pub received: Timestamp,
    /// It came past the allowed lateness.
    pub late: bool,
    /// It was marked as history.
    pub backfill: bool,
    /// Its data, as they were sent.
    pub data: Option<&'a str>,
    /// What enrichment knows of it.
    pub enriched: Option<&'a str>,
    /// The rules of its contract that did not hold.
    pub warnings: Option<&'a str>,
    /// The redrive that took it out of the quarantine.
    pub redrive: Option<i64>,
}

/// `silver.events` as of a version.
pub struct EventFiles {
    table: LakeTable,
    files: Vec<TableFile>,
    reached: Reached,
}

/// A file of it.
pub struct EventFile(ParquetRecordBatchReader);

impl EventFiles {
    /// The newest version.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn open(
        mut table: LakeTable,
        months: &Months,
        apps: impl IntoIterator<Item = AppId>,
    ) -> Result<Self, LakeError> {
        table.refresh().await?;
        let reached = table.reached(apps).await?;
        let files = files(table.delta()).await?;
        let files = files.into_iter().filter(|file| months.has_folder(&file.folder)).collect();
        Ok(Self { table, files, reached })
    }

    /// How far the log is in it.
    pub const fn reached(&self) -> &Reached {
        &self.reached
    }

    /// How many files it has.
    pub const fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Opens one of them.
    ///
    /// # Errors
    /// It is missing or cut.
    pub async fn file(&self, place: usize) -> Result<Option<EventFile>, LakeError> {
        let Some(file) = self.files.get(place) else { return Ok(None) };
        let rows = reader(self.table.delta(), &file.path).await.map_err(|error| error.of(self.table.definition()))?;
        Ok(Some(EventFile(rows)))
    }
}

impl EventFile {
    /// Tells the next of its events; answers whether there were any.
    ///
    /// # Errors
    /// It is cut, or has other columns.
    pub fn next(&mut self, tell: impl FnMut(KeptEvent<'_>)) -> Result<bool, LakeError> {
        let Some(batch) = self.0.next() else { return Ok(false) };
        let batch = batch?;
        KeptColumns::of(&batch)?.tell(tell);
        Ok(true)
    }
}

struct KeptColumns<'b>(&'b RecordBatch);

impl<'b> KeptColumns<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self, LakeError> {
        let needed = [
            "partition",
            "raw_seq",
            "index",
            "id",
            "source",
            "type",
            "subject",
            "time",
            "received",
            "late",
            "backfill",
            "enriched",
        ];
        match needed.into_iter().find(|name| batch.column_by_name(name).is_none()) {
            None => Ok(Self(batch)),
            Some(missing) => Err(LakeError::new(LakeErrorKind::Schema, format!("there is no column {missing}"))),
        }
    }

    fn text(&self, name: &str, row: usize) -> Option<&'b str> {
        let column: &'b StringArray = self.0.column_by_name(name)?.as_string_opt()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn int(&self, name: &str, row: usize) -> Option<i32> {
        Some(self.0.column_by_name(name)?.as_primitive_opt::<Int32Type>()?.value(row))
    }

    fn time(&self, name: &str, row: usize) -> Option<Timestamp> {
        let micros = self.0.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
        Some(Timestamp::saturating_from_millis(micros.div_euclid(1000)))
    }

    fn flag(&self, name: &str, row: usize) -> Option<bool> {
        Some(self.0.column_by_name(name)?.as_boolean_opt()?.value(row))
    }

    /// None where an earlier release wrote the file: it had no quarantine.
    fn redrive(&self, row: usize) -> Option<i64> {
        let column = self.0.column_by_name("redrive")?.as_primitive_opt::<Int64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn event(&self, row: usize) -> Option<KeptEvent<'b>> {
        Some(KeptEvent {
            partition: self.int("partition", row)?,
            raw_seq: self.0.column_by_name("raw_seq")?.as_primitive_opt::<Int64Type>()?.value(row),
            index: self.int("index", row)?,
            id: self.text("id", row)?,
            source: self.text("source", row)?,
            kind: self.text("type", row)?,
            subject: self.text("subject", row),
            time: self.time("time", row)?,
            received: self.time("received", row)?,
            late: self.flag("late", row)?,
            backfill: self.flag("backfill", row)?,
            data: self.text("data", row),
            enriched: self.text("enriched", row),
            warnings: self.text("warnings", row),
            redrive: self.redrive(row),
        })
    }

    fn tell(&self, tell: impl FnMut(KeptEvent<'b>)) {
        (0..self.0.num_rows()).filter_map(|row| self.event(row)).for_each(tell);
    }
}
