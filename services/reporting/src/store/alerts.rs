//! Alerts, each as its last transition left it.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_events::AlertTransition;
use tidemill_store::Error;
use uuid::Uuid;

use super::{
    Store,
    sql::{unsigned, upsert},
};
use crate::alerts::AlertRecord;

#[cfg(test)]
pub(super) mod tests;

/// Alerts that a replica is told of at once.
const ALERTS_AT_ONCE: i64 = 500;

/// Takes alerts through transitions, which come with their stream sequences;
/// answers the alerts that changed.
pub(super) async fn apply<'t>(
    connection: &mut AnyConnection,
    transitions: impl Iterator<Item = &'t (u64, AlertTransition)>,
) -> Result<Vec<AlertRecord>, Error> {
    let mut changed: BTreeMap<Uuid, (u64, AlertRecord)> = BTreeMap::new();
    for (sequence, transition) in transitions {
        let stored = match changed.remove(&transition.id) {
            Some((_, alert)) => Some(alert),
            None => sqlx::query("SELECT alert FROM alerts WHERE id = $1")
                .bind(transition.id.to_string())
                .fetch_optional(&mut *connection)
                .await?
                .map(|row| alert(&row, 0))
                .transpose()?,
        };
        changed.insert(transition.id, (*sequence, AlertRecord::after(stored, transition)));
    }
    let mut rows = Vec::with_capacity(changed.len());
    for (id, (sequence, alert)) in &changed {
        rows.push((id, sequence, alert, serde_json::to_string(alert).map_err(|_| Error::Malformed("alert"))?));
    }
    upsert(
        connection,
        "alerts (id, rule, fired_at, alert, sequence)",
        5,
        "(id) DO UPDATE SET fired_at = excluded.fired_at, alert = excluded.alert, sequence = excluded.sequence",
        &rows,
        |statement, (id, sequence, alert, json)| {
            statement
                .bind(id.to_string())
                .bind(alert.rule.clone())
                .bind(alert.fired_at.millis())
                .bind(json.clone())
                .bind(sequence.cast_signed())
        },
    )
    .await?;
    Ok(changed.into_values().map(|(_, alert)| alert).collect())
}

impl Store {
    /// The newest alerts, of one rule or of all.
    pub(crate) async fn alerts(&self, rule: Option<&str>, limit: u16) -> Result<Vec<AlertRecord>, Error> {
        let statement = match rule {
            Some(rule) => sqlx::query("SELECT alert FROM alerts WHERE rule = $2 ORDER BY fired_at DESC, id LIMIT $1")
                .bind(i64::from(limit))
                .bind(rule.to_owned()),
            None => sqlx::query("SELECT alert FROM alerts ORDER BY fired_at DESC, id LIMIT $1").bind(i64::from(limit)),
        };
        let rows = statement.fetch_all(self.database.pool()).await?;
        rows.iter().map(|row| alert(row, 0)).collect()
    }

    /// The first alerts whose last transition comes after a stream sequence,
    /// each with the sequence of that transition.
    pub(crate) async fn alerts_after(&self, sequence: u64) -> Result<Vec<(u64, AlertRecord)>, Error> {
        let rows = sqlx::query("SELECT sequence, alert FROM alerts WHERE sequence > $1 ORDER BY sequence LIMIT $2")
            .bind(sequence.cast_signed())
            .bind(ALERTS_AT_ONCE)
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(|row| Ok((unsigned(row, 0)?, alert(row, 1)?))).collect()
    }
}

fn alert(row: &AnyRow, column: usize) -> Result<AlertRecord, Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|_| Error::Malformed("alert"))
}
