//! Which version of a metric is served, and who changed that.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use crate::{
    catalogue::Pointers,
    generations::{GenerationAct, GenerationOrder, OrderedChange, ServedChange},
    store::{
        Store,
        sql::{time, unsigned},
    },
};

/// Changes that are told at once.
const TOLD: i64 = 500;

impl Store {
    /// Which versions are served that are not the live ones, all at one moment.
    pub(crate) async fn pointers(&self) -> Result<Pointers, Error> {
        pointers(&mut *self.database.pool().acquire().await?).await
    }

    /// Puts metrics on these versions, all at one moment; answers what has changed. Nothing
    /// of a generation that was retired meanwhile.
    pub(crate) async fn cut_over(
        &self,
        order: &GenerationOrder,
        versions: &BTreeMap<String, String>,
    ) -> Result<Option<Vec<ServedChange>>, Error> {
        let mut tx = self.database.begin().await?;
        lock(&mut tx).await?;
        if retired(&mut tx).await?.contains(&order.generation) {
            return Ok(None);
        }
        let served = pointers(&mut tx).await?;
        let mut changes = Vec::new();
        for (metric, version) in versions {
            let before = served.get(metric).cloned().unwrap_or_default();
            if before != *version {
                changes.push(ServedChange { metric: metric.clone(), before, after: version.clone() });
            }
        }
        write(&mut tx, order, &changes).await?;
        if let Some(until) = order.warm_until() {
            let replaced = changes.iter().filter_map(|change| change.before.split_once('@'));
            for name in replaced.map(|(_, name)| name).collect::<BTreeSet<_>>() {
                retire_at(&mut tx, name, Some(until)).await?;
            }
        }
        keep_served(&mut tx).await?;
        tx.commit().await?;
        Ok(Some(changes))
    }

    /// Puts metrics that are on a generation back on what was served before: these, or all.
    /// Where that was retired, they are put on the live totals.
    pub(crate) async fn roll_back(
        &self,
        order: &GenerationOrder,
        versions: &BTreeMap<String, String>,
    ) -> Result<Vec<ServedChange>, Error> {
        let mut tx = self.database.begin().await?;
        lock(&mut tx).await?;
        let (served, retired) = (pointers(&mut tx).await?, retired(&mut tx).await?);
        let is_gone = |version: &String| version.split_once('@').is_some_and(|(_, of)| retired.contains(of));
        let mut changes = Vec::new();
        for (metric, version) in versions.iter().filter(|(metric, version)| served.get(*metric) == Some(*version)) {
            let sql = "SELECT before FROM generation_changes WHERE metric = $1 AND after = $2 AND kind = 'cutover'
                       ORDER BY number DESC LIMIT 1";
            let row = sqlx::query(sql).bind(metric.clone()).bind(version.clone()).fetch_optional(&mut *tx).await?;
            let before: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
            let after = before.filter(|version| !is_gone(version)).unwrap_or_default();
            changes.push(ServedChange { metric: metric.clone(), before: version.clone(), after });
        }
        write(&mut tx, order, &changes).await?;
        keep_served(&mut tx).await?;
        tx.commit().await?;
        Ok(changes)
    }

    /// What was changed, the newest first.
    pub(crate) async fn generation_changes(&self) -> Result<Vec<OrderedChange>, Error> {
        let sql = "SELECT number, kind, generation, metric, before, after, ordered_by, key_id, reason, ordered_at
                   FROM generation_changes ORDER BY number DESC LIMIT $1";
        let rows = sqlx::query(sql).bind(TOLD).fetch_all(self.database.pool()).await?;
        let read = |row: &AnyRow| {
            Ok(OrderedChange {
                number: unsigned(row, 0)?,
                act: GenerationAct::read(row.try_get(1)?).ok_or(Error::Malformed("kind"))?,
                generation: row.try_get(2)?,
                change: ServedChange { metric: row.try_get(3)?, before: row.try_get(4)?, after: row.try_get(5)? },
                by: row.try_get(6)?,
                key: row.try_get(7)?,
                reason: row.try_get(8)?,
                at: time(row.try_get(9)?),
            })
        };
        rows.iter().map(read).collect()
    }
}

/// Two orders come one behind the other: a row of this table belongs to the transaction.
pub(super) async fn lock(connection: &mut AnyConnection) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO positions (name, sequence) VALUES ('served', 0)
         ON CONFLICT (name) DO UPDATE SET sequence = positions.sequence",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The names of the generations that were retired.
pub(super) async fn retired(connection: &mut AnyConnection) -> Result<BTreeSet<String>, Error> {
    let rows = sqlx::query("SELECT name FROM generations WHERE retired_at IS NOT NULL").fetch_all(connection).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(super) async fn pointers(connection: &mut AnyConnection) -> Result<Pointers, Error> {
    let rows = sqlx::query("SELECT metric, version FROM served_versions").fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// No generation that answers something is to be retired.
async fn keep_served(connection: &mut AnyConnection) -> Result<(), Error> {
    let served = pointers(connection).await?;
    let names = served.values().filter_map(|version| version.split_once('@')).map(|(_, name)| name);
    for name in names.collect::<BTreeSet<_>>() {
        retire_at(connection, name, None).await?;
    }
    Ok(())
}

/// Says when a generation is to be retired, if it is.
pub(super) async fn retire_at(connection: &mut AnyConnection, name: &str, at: Option<Timestamp>) -> Result<(), Error> {
    let query = sqlx::query("UPDATE generations SET retire_at = $1 WHERE name = $2").bind(at.map(Timestamp::millis));
    query.bind(name.to_owned()).execute(connection).await?;
    Ok(())
}

async fn write(connection: &mut AnyConnection, order: &GenerationOrder, changes: &[ServedChange]) -> Result<(), Error> {
    for change in changes {
        let ServedChange { metric, after, .. } = change;
        let statement = match after.is_empty() {
            true => sqlx::query("DELETE FROM served_versions WHERE metric = $1").bind(metric.clone()),
            false => sqlx::query(
                "INSERT INTO served_versions (metric, version) VALUES ($1, $2)
                 ON CONFLICT (metric) DO UPDATE SET version = excluded.version",
            )
            .bind(metric.clone())
            .bind(after.clone()),
        };
        statement.execute(&mut *connection).await?;
        note(connection, order, change).await?;
    }
    Ok(())
}

/// Writes down what was done.
pub(super) async fn note(
    connection: &mut AnyConnection,
    order: &GenerationOrder,
    change: &ServedChange,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO generation_changes
         (kind, generation, metric, before, after, ordered_by, key_id, reason, ordered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(order.act.as_str())
    .bind(order.generation.clone())
    .bind(change.metric.clone())
    .bind(change.before.clone())
    .bind(change.after.clone())
    .bind(order.by.clone())
    .bind(order.key.clone())
    .bind(order.reason.clone())
    .bind(order.at.millis())
    .execute(connection)
    .await?;
    Ok(())
}
