//! Totals of one window in one text, a line for each combination of dimensions
//! and partition: dimensions, partition, position, end and totals, with tabs
//! between them, in the order of dimensions and partitions.
//!
//! Dimensions and totals are JSON, in which neither a tab nor the end of a line
//! stands as such. A line without totals is a tombstone: it says that the cell
//! counts for nothing, and up to where.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::de::DeserializeSeed;
use tidemill_domain::{Partition, Timestamp};
use tidemill_store::Error;
use tidemill_totals::{Totals, TotalsShape};
use xxhash_rust::xxh3::xxh3_64;

use crate::{read_model::CellState, store::sql::time};

const MALFORMED: Error = Error::Malformed("cell");

/// A line, not read to its end.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct CellLine<'l> {
    text: &'l str,
    pub(in crate::store) dimensions: &'l str,
    partition: u16,
    pub(in crate::store) raw_seq: u64,
    pub(in crate::store) end: Timestamp,
    /// None of a tombstone.
    totals: Option<&'l str>,
}

impl<'l> CellLine<'l> {
    fn parse(text: &'l str) -> Result<Self, Error> {
        let mut fields = text.split('\t');
        let mut next = || fields.next().ok_or(MALFORMED);
        let dimensions = next()?;
        let partition = next()?.parse().map_err(|_| MALFORMED)?;
        let raw_seq = next()?.parse().map_err(|_| MALFORMED)?;
        let end = time(next()?.parse().map_err(|_| MALFORMED)?);
        let totals = Some(next()?).filter(|totals| !totals.is_empty());
        Ok(Self { text, dimensions, partition, raw_seq, end, totals })
    }

    fn place(&self) -> (&str, u16) {
        (self.dimensions, self.partition)
    }

    /// Whose totals they are.
    pub(in crate::store) fn partition(&self) -> Partition {
        Partition::new(self.partition)
    }

    /// Its totals; `None` of a tombstone.
    pub(in crate::store) fn totals(&self, shape: &TotalsShape) -> Result<Option<Totals>, Error> {
        let read = |text: &str| {
            let mut json = serde_json::Deserializer::from_str(text);
            let totals = shape.deserialize(&mut json)?;
            json.end().map(|()| totals)
        };
        self.totals.map(read).transpose().map_err(|_| MALFORMED)
    }
}

/// The lines of a text.
pub(in crate::store) fn lines(text: &str) -> impl Iterator<Item = Result<CellLine<'_>, Error>> {
    text.split_terminator('\n').map(CellLine::parse)
}

/// What a text becomes.
pub(super) struct MergedLines {
    pub(super) text: String,
    pub(super) count: usize,
    /// Whether any state reaches further than what was there.
    pub(super) is_changed: bool,
}

/// Adds states, which come in the order of lines, to a text of this shape. What
/// is there and reaches further stays.
pub(super) fn merge<'s>(
    text: &str,
    shape: &TotalsShape,
    states: impl ExactSizeIterator<Item = (&'s (Arc<str>, Partition), &'s CellState)>,
) -> Result<MergedLines, Error> {
    let known: Vec<CellLine<'_>> = lines(text).collect::<Result<_, _>>()?;
    let mut merged = Vec::with_capacity(text.len() + states.len() * 160);
    let mut known = known.into_iter().peekable();
    let (mut count, mut is_changed) = (0, false);
    let mut keep = |merged: &mut Vec<u8>, line: &CellLine<'_>| {
        merged.extend_from_slice(line.text.as_bytes());
        merged.push(b'\n');
        count += 1;
    };
    let mut added = 0;
    for (key @ (dimensions, partition), state) in states {
        let place = (&**dimensions, partition.index());
        while let Some(line) = known.next_if(|line| line.place() < place) {
            keep(&mut merged, &line);
        }
        match known.next_if(|line| line.place() == place) {
            Some(line) if line.raw_seq >= state.raw_seq => keep(&mut merged, &line),
            _ => {
                write(&mut merged, key, state, shape)?;
                added += 1;
                is_changed = true;
            }
        }
    }
    known.for_each(|line| keep(&mut merged, &line));
    let text = String::from_utf8(merged).map_err(|_| MALFORMED)?;
    Ok(MergedLines { text, count: count + added, is_changed })
}

fn write(
    text: &mut Vec<u8>,
    (dimensions, partition): &(Arc<str>, Partition),
    state: &CellState,
    shape: &TotalsShape,
) -> Result<(), Error> {
    text.extend_from_slice(dimensions.as_bytes());
    let numbers = [i64::from(partition.index()), state.raw_seq.cast_signed(), state.end.millis()];
    for number in numbers {
        text.push(b'\t');
        serde_json::to_writer(&mut *text, &number).map_err(|_| MALFORMED)?;
    }
    text.push(b'\t');
    if !state.retracted {
        serde_json::to_writer(&mut *text, &shape.dense(&state.totals)).map_err(|_| MALFORMED)?;
    }
    text.push(b'\n');
    Ok(())
}

/// The row of a window that has cells of these dimensions, of `1 << depth` rows.
pub(super) fn bucket_of(dimensions: &str, depth: u32) -> i64 {
    if depth == 0 {
        return 0;
    }
    (xxh3_64(dimensions.as_bytes()) & ((1 << depth) - 1)).cast_signed()
}

/// Parts a text: each line goes to its row.
pub(super) fn parted(text: &str, depth: u32) -> Result<BTreeMap<i64, String>, Error> {
    let mut parts: BTreeMap<i64, String> = BTreeMap::new();
    for line in lines(text) {
        let line = line?;
        let part = parts.entry(bucket_of(line.dimensions, depth)).or_default();
        part.push_str(line.text);
        part.push('\n');
    }
    Ok(parts)
}

/// A text without the lines of some cells and partitions, and how many lines are left.
pub(super) fn without(text: &str, gone: &BTreeSet<(&str, Partition)>) -> Result<(String, usize), Error> {
    let (mut left, mut count) = (String::with_capacity(text.len()), 0);
    for line in lines(text) {
        let line = line?;
        if !gone.contains(&(line.dimensions, line.partition())) {
            left.push_str(line.text);
            left.push('\n');
            count += 1;
        }
    }
    Ok((left, count))
}
