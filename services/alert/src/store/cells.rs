//! The totals of each partition, for the windows that rules need.

use std::collections::BTreeMap;

use sqlx::{Any, AnyPool, Row, Transaction, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::{Error, SqlValues, insert_rows};

use super::rows::{json, partition, signed, text, time, trace_opt, unsigned};
use crate::state::{CellName, CellTotals};

const CELLS: &str =
    "cells (metric, version, start_ms, dimensions, partition_no, end_ms, raw_seq, totals, exemplar, retracted)";
const UPDATE: &str = "ON CONFLICT (metric, version, start_ms, dimensions, partition_no) DO UPDATE SET \
     end_ms = excluded.end_ms, raw_seq = excluded.raw_seq, totals = excluded.totals, exemplar = excluded.exemplar, \
     retracted = excluded.retracted WHERE excluded.raw_seq > cells.raw_seq";

pub(super) async fn read(pool: &AnyPool) -> Result<Vec<(CellName, CellTotals)>, Error> {
    let cells = "SELECT metric, version, start_ms, dimensions, partition_no, end_ms, raw_seq, totals, exemplar, \
         retracted FROM cells";
    let rows = sqlx::query(cells).fetch_all(pool).await?;
    let cell = |row: &AnyRow| {
        let name = CellName {
            metric: row.try_get(0)?,
            version: row.try_get(1)?,
            start: time(row, 2)?,
            dimensions: json(row, 3, "dimensions")?,
            partition: partition(row, 4)?,
        };
        let totals = CellTotals {
            end: time(row, 5)?,
            raw_seq: unsigned(row, 6)?,
            totals: json(row, 7, "totals")?,
            exemplar: trace_opt(row, 8)?,
            retracted: row.try_get::<i64, _>(9)? != 0,
        };
        Ok((name, totals))
    };
    rows.iter().map(cell).collect()
}

/// The furthest totals stay.
pub(super) async fn write(tx: &mut Transaction<'_, Any>, cells: &BTreeMap<CellName, CellTotals>) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(cells.len());
    for (name, cell) in cells {
        let row = SqlValues::new()
            .bind(&name.metric)
            .bind(&name.version)
            .bind(name.start.millis())
            .bind(text(&name.dimensions, "dimensions")?)
            .bind(i64::from(name.partition.index()))
            .bind(cell.end.millis())
            .bind(signed(cell.raw_seq))
            .bind(text(&cell.totals, "totals")?)
            .bind(cell.exemplar.map(|exemplar| exemplar.to_string()))
            .bind(i64::from(cell.retracted));
        rows.push(row);
    }
    insert_rows(tx, CELLS, UPDATE, rows).await?;
    Ok(())
}

/// Forgets a metric's windows before `before`.
pub(super) async fn forget(
    tx: &mut Transaction<'_, Any>,
    metric: &str,
    version: &str,
    before: Timestamp,
) -> Result<(), Error> {
    sqlx::query("DELETE FROM cells WHERE metric = $1 AND version = $2 AND start_ms < $3")
        .bind(metric)
        .bind(version)
        .bind(before.millis())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
