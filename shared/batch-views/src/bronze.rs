//! The log as bronze has it: batches that `RAW` has forgotten.
//!
//! A sequence of `RAW` is one of one partition, so a part of the log is whole where bronze has each of its
//! sequences, whoever's they are. A batch has all of its lines, since a commit has whole batches. So what is told
//! of a partition lacks nothing, or it is told where something is missing.

use std::{collections::BTreeMap, sync::Arc};

use deltalake::{
    DeltaTable,
    arrow::{
        array::{Array, AsArray, RecordBatch},
        compute::cast,
        datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType},
    },
    datafusion::prelude::SessionContext,
};
use futures::TryStreamExt as _;
use tidemill_domain::{Code, Partition, Timestamp};
use tidemill_lake_tables::{AppId, tables::BronzeEvent};

use crate::{SqlDialect, SqlEngine, SqlError};

const EVENTS: &str = "bronze/events";
const REJECTED: &str = "bronze/rejected";
/// Missing parts that are told at most: the last ones.
const MOST_MISSING: usize = 20;

/// Which batches are asked for.
#[derive(Debug, Clone, Copy)]
pub struct BronzeQuestion {
    /// Of this partition.
    pub partition: Partition,
    /// Behind this sequence of `RAW`.
    pub behind: u64,
    /// So many sequences at most, of all partitions.
    pub sequences: u64,
    /// No further batch once their lines have so many bytes.
    pub bytes: usize,
}

/// Batches of a partition, one behind the other.
#[derive(Debug, Default)]
pub struct BronzePage {
    /// All that the partition has up to this sequence is here, or was before.
    pub reaches: u64,
    /// In the order of the log.
    pub batches: Vec<BronzeBatch>,
    /// How far each partition is written.
    pub written: BTreeMap<Partition, u64>,
}

/// A batch of the log.
#[derive(Debug, PartialEq, Eq)]
pub struct BronzeBatch {
    /// Its sequence in `RAW`.
    pub raw_seq: u64,
    /// When ingestion took it in.
    pub ingested_at: Timestamp,
    /// Its lines by source; those that are no event have none.
    pub sources: BTreeMap<String, u32>,
    /// Its lines, each with a line feed.
    pub lines: Vec<u8>,
}

/// Where a part of the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BronzeFrom {
    /// With this sequence.
    Sequence(u64),
    /// With the first batch that was taken in then or later.
    Time(Timestamp),
}

/// What bronze has of a part of the log.
#[derive(Debug, PartialEq, Eq)]
pub struct BronzeExtent {
    /// The sequence that the part begins with.
    pub first: u64,
    /// When the batch before it was taken in, or else the first that is there.
    pub begins_at: Option<Timestamp>,
    /// Batches of it.
    pub batches: u64,
    /// Their lines.
    pub events: u64,
    /// Sequences that are not there, the last ones first: from, and up to.
    pub missing: Vec<(u64, u64)>,
    /// How far each partition is written.
    pub written: BTreeMap<Partition, u64>,
}

impl SqlEngine {
    /// Batches of a partition, as far as nothing is missing.
    ///
    /// # Errors
    /// The store is away, the table cannot be read, or others take all of the time.
    pub async fn bronze_page(
        self: &Arc<Self>,
        partitions: Vec<Partition>,
        question: BronzeQuestion,
    ) -> Result<BronzePage, SqlError> {
        let engine = Arc::clone(self);
        self.limited(async move {
            let answer = async {
                let Some(log) = BronzeLog::open(&engine, &partitions).await? else {
                    return Ok(BronzePage { reaches: question.behind, ..BronzePage::default() });
                };
                log.page(question).await
            };
            answer.await.map_err(|error: SqlError| error.of_tables(&[EVENTS.into()]))
        })
        .await
    }

    /// What there is of the log from a place up to the batch `before`.
    ///
    /// # Errors
    /// The store is away, the table cannot be read, or others take all of the time.
    pub async fn bronze_extent(
        self: &Arc<Self>,
        partitions: Vec<Partition>,
        from: BronzeFrom,
        before: u64,
    ) -> Result<BronzeExtent, SqlError> {
        let engine = Arc::clone(self);
        self.limited(async move {
            let answer = async {
                let Some(log) = BronzeLog::open(&engine, &partitions).await? else {
                    return Ok(BronzeExtent::none(from, before));
                };
                log.extent(from, before).await
            };
            answer.await.map_err(|error: SqlError| error.of_tables(&[EVENTS.into()]))
        })
        .await
    }
}

impl BronzeExtent {
    /// Where there is no table.
    fn none(from: BronzeFrom, before: u64) -> Self {
        let first = match from {
            BronzeFrom::Sequence(sequence) => sequence,
            BronzeFrom::Time(_) => 1,
        };
        let missing = if first < before { vec![(first, before - 1)] } else { Vec::new() };
        Self { first, begins_at: None, batches: 0, events: 0, missing, written: BTreeMap::new() }
    }
}

/// One version of bronze.
struct BronzeLog {
    context: SessionContext,
    has_rejected: bool,
    written: BTreeMap<Partition, u64>,
}

impl BronzeLog {
    async fn open(engine: &SqlEngine, partitions: &[Partition]) -> Result<Option<Self>, SqlError> {
        let context = engine.context();
        let tables = engine.opened(&context, &[EVENTS, REJECTED]).await?;
        let Some(events) = tables.get(EVENTS) else { return Ok(None) };
        let written = written(events, partitions).await?;
        Ok(Some(Self { context, has_rejected: tables.contains_key(REJECTED), written }))
    }

    /// The sequences behind one and up to another that are accounted for: batches, and messages of the log that
    /// are none, which enrichment has set aside as a whole.
    fn sequences(&self, behind: u64, to: u64) -> String {
        let within = |column: &str| format!("\"{column}\" > {behind} AND \"{column}\" <= {to}");
        let batches = format!("SELECT \"raw_seq\" FROM bronze.events WHERE {}", within("raw_seq"));
        if !self.has_rejected {
            return format!("SELECT DISTINCT \"raw_seq\" FROM ({batches})");
        }
        format!(
            "{batches} UNION SELECT \"stream_seq\" AS \"raw_seq\" FROM bronze.rejected WHERE \"stream\" = 'RAW' AND \
             \"code\" IN ('{}', '{}') AND {}",
            Code::MalformedMessage,
            Code::UnsupportedVersion,
            within("stream_seq"),
        )
    }

    async fn page(self, question: BronzeQuestion) -> Result<BronzePage, SqlError> {
        let BronzeQuestion { partition, behind, sequences, bytes } = question;
        let reaches = self.whole_to(behind, behind.saturating_add(sequences).min(MAX_SEQUENCE)).await?;
        let mut taken = TakenBatches { batches: Vec::new(), bytes: 0, most: bytes };
        let sql = format!(
            "SELECT \"raw_seq\", \"index\", \"ingested_at\", \"source\", \"event\" FROM bronze.events \
             WHERE \"partition\" = {partition} AND \"raw_seq\" > {behind} AND \"raw_seq\" <= {reaches} \
             ORDER BY \"raw_seq\", \"index\""
        );
        let mut stream = self.context.sql(&sql).await?.execute_stream().await?;
        while let Some(rows) = stream.try_next().await? {
            if let Some(next) = taken.take(&rows)? {
                return Ok(BronzePage { reaches: next - 1, batches: taken.batches, written: self.written });
            }
        }
        Ok(BronzePage { reaches, batches: taken.batches, written: self.written })
    }

    /// The last sequence up to which each one behind `behind` is accounted for.
    async fn whole_to(&self, behind: u64, to: u64) -> Result<u64, SqlError> {
        let sql = format!("SELECT \"raw_seq\" FROM ({}) ORDER BY 1", self.sequences(behind, to));
        let mut stream = self.context.sql(&sql).await?.execute_stream().await?;
        let mut reaches = behind;
        while let Some(rows) = stream.try_next().await? {
            for sequence in numbers(&rows, 0)? {
                if sequence != reaches + 1 {
                    return Ok(reaches);
                }
                reaches = sequence;
            }
        }
        Ok(reaches)
    }

    async fn extent(self, from: BronzeFrom, before: u64) -> Result<BronzeExtent, SqlError> {
        let first = match from {
            BronzeFrom::Sequence(sequence) => sequence.min(before),
            BronzeFrom::Time(time) => {
                let time = SqlDialect::DataFusion.time(time);
                let sql = format!(
                    "SELECT min(\"raw_seq\") FROM bronze.events WHERE \"ingested_at\" >= {time} AND \"raw_seq\" < {before}"
                );
                self.one(&sql).await?.map_or(before, i64::cast_unsigned)
            }
        };
        let behind = first.saturating_sub(1);
        let here = format!("\"raw_seq\" >= {first} AND \"raw_seq\" < {before}");
        let counted = |what: &str| format!("SELECT {what} FROM bronze.events WHERE {here}");
        let batches = self.one(&counted("count(DISTINCT \"raw_seq\")")).await?.unwrap_or_default().cast_unsigned();
        let events = self.one(&counted("count(*)")).await?.unwrap_or_default().cast_unsigned();
        let mut missing = self.missing(behind, before).await?;
        // Of a time, what came before the first one says that it is the first.
        if matches!(from, BronzeFrom::Time(_)) && behind > 0 && self.whole_to(behind - 1, behind).await? < behind {
            missing.push((behind, behind));
        }
        let sql = format!(
            "SELECT CAST(\"ingested_at\" AS BIGINT) FROM bronze.events WHERE \"raw_seq\" >= {} ORDER BY \"raw_seq\" LIMIT 1",
            behind.max(1)
        );
        let begins_at = self.one(&sql).await?.map(|micros| Timestamp::saturating_from_millis(micros.div_euclid(1000)));
        Ok(BronzeExtent { first, begins_at, batches, events, missing, written: self.written })
    }

    /// The parts between two sequences that are not there, the last ones first.
    async fn missing(&self, behind: u64, before: u64) -> Result<Vec<(u64, u64)>, SqlError> {
        if before <= behind + 1 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "WITH \"known\" AS ({}), \"steps\" AS (\
             SELECT \"raw_seq\" AS \"next\", lag(\"raw_seq\", 1, CAST({behind} AS BIGINT)) OVER (ORDER BY \"raw_seq\") AS \"last\" \
             FROM \"known\" \
             UNION ALL SELECT CAST({before} AS BIGINT), coalesce(max(\"raw_seq\"), CAST({behind} AS BIGINT)) FROM \"known\") \
             SELECT \"last\" + 1, \"next\" - 1 FROM \"steps\" WHERE \"next\" > \"last\" + 1 ORDER BY 1 DESC LIMIT {MOST_MISSING}",
            self.sequences(behind, before - 1),
        );
        let mut missing = Vec::new();
        for rows in self.context.sql(&sql).await?.collect().await? {
            missing.extend(numbers(&rows, 0)?.zip(numbers(&rows, 1)?));
        }
        Ok(missing)
    }

    /// The one number that a question has.
    async fn one(&self, sql: &str) -> Result<Option<i64>, SqlError> {
        let rows = self.context.sql(sql).await?.collect().await?;
        let Some(rows) = rows.iter().find(|rows| rows.num_rows() > 0) else { return Ok(None) };
        let column = cast(rows.column(0), &DataType::Int64)?;
        let column = column.as_primitive::<Int64Type>();
        Ok(column.is_valid(0).then(|| column.value(0)))
    }
}

/// The last sequence that a table can have.
const MAX_SEQUENCE: u64 = i64::MAX.cast_unsigned();

/// How far each partition is in the table, as its commits say.
async fn written(table: &DeltaTable, partitions: &[Partition]) -> Result<BTreeMap<Partition, u64>, SqlError> {
    let (state, log_store) = (table.snapshot()?, table.log_store());
    let mut all = BTreeMap::new();
    for partition in partitions {
        let app = AppId::of(&BronzeEvent::TABLE, *partition);
        let version = state.transaction_version(log_store.as_ref(), app.as_str()).await?;
        all.extend(version.map(|version| (*partition, version.cast_unsigned())));
    }
    Ok(all)
}

/// A column of sequences.
fn numbers(rows: &RecordBatch, column: usize) -> Result<impl Iterator<Item = u64>, SqlError> {
    let column = cast(rows.column(column), &DataType::Int64)?;
    let numbers: Vec<u64> = column.as_primitive::<Int64Type>().values().iter().map(|n| n.cast_unsigned()).collect();
    Ok(numbers.into_iter())
}

/// Rows in the order of the log, put together to batches.
struct TakenBatches {
    batches: Vec<BronzeBatch>,
    bytes: usize,
    most: usize,
}

impl TakenBatches {
    /// Takes rows; answers the sequence of the first batch that there is no room for.
    fn take(&mut self, rows: &RecordBatch) -> Result<Option<u64>, SqlError> {
        let sequences = rows.column(0).as_primitive::<Int64Type>();
        let places = rows.column(1).as_primitive::<Int32Type>();
        let times = rows.column(2).as_primitive::<TimestampMicrosecondType>();
        let [sources, events] = [3, 4].map(|column| cast(rows.column(column), &DataType::Utf8));
        let (sources, events) = (sources?, events?);
        let (sources, events) = (sources.as_string::<i32>(), events.as_string::<i32>());
        for row in 0..rows.num_rows() {
            let raw_seq = sequences.value(row).cast_unsigned();
            if self.batches.last().is_none_or(|batch| batch.raw_seq != raw_seq) {
                if self.bytes >= self.most {
                    return Ok(Some(raw_seq));
                }
                let ingested_at = Timestamp::saturating_from_millis(times.value(row).div_euclid(1000));
                let (sources, lines) = (BTreeMap::new(), Vec::new());
                self.batches.push(BronzeBatch { raw_seq, ingested_at, sources, lines });
            }
            if let Some(batch) = self.batches.last_mut() {
                let before = batch.sources.values().sum::<u32>();
                if u32::try_from(places.value(row)) != Ok(before) {
                    let what = format!("line {before} of batch {raw_seq} is not there, or there twice");
                    return Err(SqlError::Damaged { table: "bronze.events".into(), what });
                }
                let line = events.value(row);
                self.bytes += line.len() + 1;
                *batch.sources.entry(sources.value(row).to_owned()).or_default() += 1;
                batch.lines.extend_from_slice(line.as_bytes());
                batch.lines.push(b'\n');
            }
        }
        Ok(None)
    }
}
