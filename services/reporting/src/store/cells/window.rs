//! The rows of one window, the stream's and those of a batch view, merged as they are read.

use sqlx::{Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::Error;
use tidemill_totals::{TotalsShape, furthest};

use super::{
    cell::{KnownShape, StoredCell, text},
    lines::{CellLine, lines},
};
use crate::batch::AnswerSource;

/// The rows of a window.
#[derive(Default)]
pub(super) struct StoredWindow {
    start: Option<Timestamp>,
    rows: Vec<AnyRow>,
    of_batch: Vec<AnyRow>,
}

impl StoredWindow {
    pub(super) const fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// This one; an empty one is in its place then.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Adds a row of this window.
    pub(super) fn push(&mut self, start: Timestamp, row: AnyRow) -> Result<(), Error> {
        self.start = Some(start);
        let is_of_batch = row.try_get::<i64, _>(4)? != 0;
        if is_of_batch {
            self.of_batch.push(row)
        } else {
            self.rows.push(row)
        }
        Ok(())
    }

    /// Calls `visit` with its cells. Of one that both have, with the one that reaches further.
    pub(super) fn visit<E: From<Error>>(
        &self,
        shapes: &mut KnownShape,
        visit: &mut impl FnMut(StoredCell<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(start) = self.start else { return Ok(()) };
        if self.rows.is_empty() || self.of_batch.is_empty() {
            let source = if self.rows.is_empty() { AnswerSource::Batch } else { AnswerSource::Speed };
            for row in self.rows.iter().chain(&self.of_batch) {
                let shape = shapes.read(text(row, 2)?)?;
                for line in lines(text(row, 3)?) {
                    tell(start, &line?, shape, source, visit)?;
                }
            }
            return Ok(());
        }
        let shape = shapes.read(text(&self.rows[0], 2)?)?;
        let served = furthest(reaching(&self.rows)?, reaching(&self.of_batch)?);
        served.values().try_for_each(|served| tell(start, &served.state, shape, served.source.into(), visit))
    }
}

/// A line by its dimensions and partition, with the place that it reaches.
type ReachingLine<'l> = ((&'l str, u16), (u64, CellLine<'l>));

fn reaching(rows: &[AnyRow]) -> Result<Vec<ReachingLine<'_>>, Error> {
    let mut all = Vec::new();
    for row in rows {
        for line in lines(text(row, 3)?) {
            let line = line?;
            all.push(((line.dimensions, line.partition().index()), (line.raw_seq, line)));
        }
    }
    Ok(all)
}

fn tell<E: From<Error>>(
    start: Timestamp,
    line: &CellLine<'_>,
    shape: &TotalsShape,
    source: AnswerSource,
    visit: &mut impl FnMut(StoredCell<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(totals) = line.totals(shape)? else { return Ok(()) };
    visit(StoredCell { start, end: line.end, is_joined: false, dimensions: line.dimensions, totals, source })
}
