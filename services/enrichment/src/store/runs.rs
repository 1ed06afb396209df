//! Sealed batches: runs, and the blocks of their keys.

use std::sync::LazyLock;

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::{Error as StoreError, SqlValues, insert_rows};

use super::{Store, signed, unsigned};
use crate::duplicates::{
    BatchSpan, FilterWidth, KeyBlock, KeyFilter, Lane, Run, RunBlocks, RunChange, SealedKeys, SealedRun,
};

/// Blocks of 4 KiB that are copied at once, to be written.
const BLOCKS_AT_ONCE: usize = 256;
/// Blocks that are read by one statement: few lengths, so that a connection keeps them.
const COLUMNS: [usize; 3] = [4, 16, 64];

impl Store {
    /// What is sealed of a partition.
    pub(crate) async fn sealed(&self, partition: Partition) -> Result<SealedKeys, StoreError> {
        let next: Option<i64> = sqlx::query_scalar("SELECT run_blocks FROM floors WHERE partition = $1")
            .bind(i64::from(partition.index()))
            .fetch_optional(self.database.pool())
            .await?;
        let next_block = next.map_or(Ok(0), unsigned)?;
        Ok(SealedKeys { segments: self.segments(partition).await?, runs: self.runs(partition).await?, next_block })
    }

    /// The runs of a partition. Each is read by itself: its filter may take megabytes.
    async fn runs(&self, partition: Partition) -> Result<Vec<Run>, StoreError> {
        let names = sqlx::query_scalar("SELECT run FROM seen_runs WHERE partition = $1 ORDER BY run");
        let names: Vec<i64> = names.bind(i64::from(partition.index())).fetch_all(self.database.pool()).await?;
        let mut runs = Vec::with_capacity(names.len());
        for name in names {
            let row = sqlx::query(
                "SELECT run, lane, first_seq, last_seq, first_clock, last_clock, keys, fences, filter \
                 FROM seen_runs WHERE partition = $1 AND run = $2",
            );
            let row = row.bind(i64::from(partition.index())).bind(name).fetch_optional(self.database.pool()).await?;
            runs.extend(row.map(|row| run(&row)).transpose()?);
        }
        Ok(runs)
    }

    /// Those of the blocks that are there, by their numbers.
    pub(crate) async fn run_blocks(
        &self,
        partition: Partition,
        numbers: &[u64],
    ) -> Result<Vec<(u64, KeyBlock)>, StoreError> {
        let mut connection = self.database.pool().acquire().await?;
        let (mut found, mut rest) = (Vec::with_capacity(numbers.len()), numbers);
        while !rest.is_empty() {
            let (columns, text) = statement(rest.len());
            let (some, others) = rest.split_at(columns.min(rest.len()));
            let mut query = sqlx::query(text).bind(i64::from(partition.index()));
            for number in some.iter().copied().map(signed).map(Some).chain(std::iter::repeat(None)).take(columns) {
                query = query.bind(number);
            }
            let row = query.fetch_one(&mut *connection).await?;
            for (column, number) in some.iter().enumerate() {
                if let Some(bytes) = row.try_get::<Option<Vec<u8>>, _>(column)? {
                    found.push((*number, KeyBlock::from_bytes(bytes).ok_or(StoreError::Malformed("entries"))?));
                }
            }
            rest = others;
        }
        Ok(found)
    }
}

/// Reads so many blocks at least, or a part of them. They are columns of one row: with
/// SQLite each row goes from one thread to another by itself, which costs more than
/// reading its block.
fn statement(blocks: usize) -> (usize, &'static str) {
    static TEXTS: LazyLock<[(usize, String); 3]> = LazyLock::new(|| {
        COLUMNS.map(|columns| {
            let block =
                |n: usize| format!("(SELECT entries FROM seen_run_blocks WHERE partition = $1 AND block = ${})", n + 2);
            (columns, format!("SELECT {}", (0..columns).map(block).collect::<Vec<_>>().join(", ")))
        })
    });
    let [few, some, many] = &*TEXTS;
    let (columns, text) = if blocks > some.0 {
        many
    } else if blocks > few.0 {
        some
    } else {
        few
    };
    (*columns, text)
}

fn run(row: &AnyRow) -> Result<Run, StoreError> {
    let clock = |column| row.try_get(column).map(Timestamp::saturating_from_millis);
    let lane: Option<i64> = row.try_get(1)?;
    let lane_of = |number: i64| u8::try_from(number).ok().and_then(Lane::new).ok_or(StoreError::Malformed("lane"));
    let lane = lane.map(lane_of).transpose()?;
    let fences: Vec<u8> = row.try_get(7)?;
    let (fences, []) = fences.as_chunks::<4>() else { return Err(StoreError::Malformed("fences")) };
    let filter = KeyFilter::from_bytes(&row.try_get::<Vec<u8>, _>(8)?, FilterWidth::of(lane));
    Ok(Run {
        span: BatchSpan {
            first: unsigned(row.try_get(2)?)?,
            last: unsigned(row.try_get(3)?)?,
            first_clock: clock(4)?,
            last_clock: clock(5)?,
        },
        lane,
        keys: unsigned(row.try_get(6)?)?,
        blocks: RunBlocks {
            first: unsigned(row.try_get(0)?)?,
            fences: fences.iter().map(|fence| u32::from_le_bytes(*fence)).collect(),
        },
        filter: filter.ok_or(StoreError::Malformed("filter"))?,
    })
}

/// Writes what became of runs, and with it which batches have their keys there: the
/// rows of these keep their marks.
pub(super) async fn change(
    connection: &mut AnyConnection,
    partition: Partition,
    change: &RunChange,
) -> Result<(), StoreError> {
    let index = i64::from(partition.index());
    for run in &change.removed {
        remove(connection, index, run.blocks.first, run.blocks.end()).await?;
    }
    for sealed in &change.added {
        insert(connection, index, sealed).await?;
    }
    let numbers = sqlx::query("UPDATE floors SET run_blocks = $2 WHERE partition = $1");
    numbers.bind(index).bind(signed(change.next_block)).execute(&mut *connection).await?;
    let Some(span) = change.sealed else { return Ok(()) };
    forget_keys(connection, index, span).await
}

/// Leaves of batches what is not in runs. Written anew: a row that shrinks leaves its
/// page of SQLite empty.
async fn forget_keys(connection: &mut AnyConnection, partition: i64, span: BatchSpan) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "DELETE FROM seen_batches WHERE partition = $1 AND raw_seq BETWEEN $2 AND $3 \
         RETURNING raw_seq, log_clock, marks, repeated",
    );
    let rows = rows.bind(partition).bind(signed(span.first)).bind(signed(span.last));
    let mut left = Vec::new();
    for row in rows.fetch_all(&mut *connection).await? {
        let values = SqlValues::new().bind(partition).bind(row.try_get::<i64, _>(0)?).bind(row.try_get::<i64, _>(1)?);
        let (marks, repeated): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.try_get(2)?, row.try_get(3)?);
        left.push(values.bind(Vec::<u8>::new()).bind(marks).bind(repeated));
    }
    let into = "seen_batches (partition, raw_seq, log_clock, keys, marks, repeated)";
    insert_rows(connection, into, "", left).await?;
    Ok(())
}

async fn insert(connection: &mut AnyConnection, partition: i64, sealed: &SealedRun) -> Result<(), StoreError> {
    let Run { span, lane, keys, blocks, filter } = &*sealed.run;
    let row = SqlValues::new()
        .bind(partition)
        .bind(signed(blocks.first))
        .bind(lane.map(|lane| i64::from(lane.number())))
        .bind(signed(span.first))
        .bind(signed(span.last))
        .bind(span.first_clock.millis())
        .bind(span.last_clock.millis())
        .bind(signed(*keys))
        .bind(blocks.fences.iter().flat_map(|fence| fence.to_le_bytes()).collect::<Vec<u8>>())
        .bind(filter.to_bytes());
    let into = "seen_runs (partition, run, lane, first_seq, last_seq, first_clock, last_clock, keys, fences, filter)";
    insert_rows(connection, into, "", [row]).await?;
    let row = |(number, block): (u64, &KeyBlock)| {
        SqlValues::new().bind(partition).bind(signed(number)).bind(block.as_bytes())
    };
    for (first, some) in (blocks.first..).step_by(BLOCKS_AT_ONCE).zip(sealed.blocks.chunks(BLOCKS_AT_ONCE)) {
        let rows = (first..).zip(some).map(row);
        insert_rows(connection, "seen_run_blocks (partition, block, entries)", "", rows).await?;
    }
    Ok(())
}

async fn remove(connection: &mut AnyConnection, partition: i64, run: u64, end: u64) -> Result<(), StoreError> {
    let blocks = sqlx::query("DELETE FROM seen_run_blocks WHERE partition = $1 AND block >= $2 AND block < $3");
    blocks.bind(partition).bind(signed(run)).bind(signed(end)).execute(&mut *connection).await?;
    let row = sqlx::query("DELETE FROM seen_runs WHERE partition = $1 AND run = $2");
    row.bind(partition).bind(signed(run)).execute(&mut *connection).await?;
    Ok(())
}

/// Deletes the runs of batches below a sequence.
pub(super) async fn prune(connection: &mut AnyConnection, partition: Partition, below: u64) -> Result<(), StoreError> {
    let partition = i64::from(partition.index());
    let runs = sqlx::query("SELECT run, fences FROM seen_runs WHERE partition = $1 AND last_seq < $2");
    for row in runs.bind(partition).bind(signed(below)).fetch_all(&mut *connection).await? {
        let (run, fences): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let run = unsigned(run)?;
        remove(connection, partition, run, run + (fences.len() / 4) as u64).await?;
    }
    Ok(())
}
