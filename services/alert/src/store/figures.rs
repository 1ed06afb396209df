//! Where rules stand with figures of the lake.

use std::collections::BTreeMap;

use sqlx::{Any, AnyPool, Row, Transaction, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::rows::{json, text, time, time_opt};
use crate::state::{FigureName, FigureStanding};

/// A name as one text, which has no character that a database refuses.
type WrittenName = (String, String, String, Option<(Option<String>, String)>);

pub(super) async fn read(pool: &AnyPool) -> Result<BTreeMap<FigureName, FigureStanding>, Error> {
    let rows = sqlx::query("SELECT figure, measured_at, measured, since FROM figures").fetch_all(pool).await?;
    let standing = |row: &AnyRow| {
        let (rule_version, table, measure, contract_rule): WrittenName = json(row, 0, "figure")?;
        let standing = FigureStanding { measured_at: time(row, 1)?, value: row.try_get(2)?, since: time_opt(row, 3)? };
        Ok((FigureName { rule_version, table, measure, contract_rule }, standing))
    };
    rows.iter().map(standing).collect()
}

pub(super) async fn write(
    tx: &mut Transaction<'_, Any>,
    figures: &BTreeMap<FigureName, FigureStanding>,
) -> Result<(), Error> {
    for (FigureName { rule_version, table, measure, contract_rule }, standing) in figures {
        sqlx::query(
            "INSERT INTO figures (figure, measured_at, measured, since) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (figure) DO UPDATE SET \
             measured_at = excluded.measured_at, measured = excluded.measured, since = excluded.since \
             WHERE figures.measured_at < excluded.measured_at",
        )
        .bind(text(&(rule_version, table, measure, contract_rule), "figure")?)
        .bind(standing.measured_at.millis())
        .bind(standing.value)
        .bind(standing.since.map(Timestamp::millis))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Forgets figures that nobody has measured since, or that no rule looks at any more.
pub(super) async fn prune(pool: &AnyPool, before: Timestamp) -> Result<(), Error> {
    sqlx::query("DELETE FROM figures WHERE measured_at < $1").bind(before.millis()).execute(pool).await?;
    Ok(())
}
