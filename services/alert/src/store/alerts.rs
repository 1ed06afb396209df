//! Alerts, and what became of them.

use sqlx::{Any, Row, Transaction, any::AnyRow};
use tidemill_domain::Timestamp;
use tidemill_events::{AlertState, AlertTransition};
use tidemill_store::Error;
use uuid::Uuid;

use super::{
    Store, figures,
    rows::{json, text, time_opt, trace_opt},
};
use crate::alert::{FiredAlert, Notification};

/// An alert, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) alert: FiredAlert,
    pub(crate) notification: Notification,
    /// When the notification was settled.
    pub(crate) settled_at: Option<Timestamp>,
    /// Why nobody was told, where that failed.
    pub(crate) reason: Option<String>,
}

impl Store {
    /// Transitions that do not stand in ALERTS yet, oldest first.
    pub(crate) async fn unpublished(&self, limit: i64) -> Result<Vec<AlertTransition>, Error> {
        let rows = sqlx::query(
            "SELECT firing, published, settled_at FROM alerts \
             WHERE published = 0 OR (published = 1 AND notification = 'sent') ORDER BY fired_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        let transition = |row: &AnyRow| {
            let firing: AlertTransition = json(row, 0, "alert")?;
            match (row.try_get::<i64, _>(1)?, time_opt(row, 2)?) {
                (0, _) => Ok(firing),
                (_, Some(at)) => Ok(AlertTransition { state: AlertState::Notified, at, ..firing }),
                (_, None) => Err(Error::Malformed("notification")),
            }
        };
        rows.iter().map(transition).collect()
    }

    /// Takes note that a transition stands in ALERTS.
    pub(crate) async fn published(&self, transition: &AlertTransition) -> Result<(), Error> {
        let count: i64 = match transition.state {
            AlertState::Firing => 1,
            AlertState::Notified => 2,
        };
        sqlx::query("UPDATE alerts SET published = $1 WHERE id = $2 AND published < $1")
            .bind(count)
            .bind(transition.id.to_string())
            .execute(self.database.writer())
            .await?;
        Ok(())
    }

    /// The rules with alerts that somebody is to be told of.
    pub(crate) async fn unsent_rules(&self) -> Result<Vec<String>, Error> {
        let rows = sqlx::query("SELECT DISTINCT rule FROM alerts WHERE notification = 'pending' ORDER BY rule")
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Alerts of a rule that somebody is to be told of, oldest first.
    pub(crate) async fn unsent(&self, rule: &str, limit: i64) -> Result<Vec<FiredAlert>, Error> {
        let rows = sqlx::query(
            "SELECT firing, parent FROM alerts WHERE notification = 'pending' AND rule = $1 ORDER BY fired_at, id LIMIT $2",
        )
        .bind(rule)
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(fired).collect()
    }

    /// Takes note of what became of the notification of these alerts.
    pub(crate) async fn settle(
        &self,
        alerts: &[Uuid],
        outcome: Notification,
        at: Timestamp,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let mut tx = self.database.begin().await?;
        for id in alerts {
            sqlx::query(
                "UPDATE alerts SET notification = $1, settled_at = $2, reason = $3 WHERE id = $4 AND notification = 'pending'",
            )
            .bind(outcome.as_str())
            .bind(at.millis())
            .bind(reason)
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await.map_err(Error::from)
    }

    /// The newest alerts, of one rule where it is given.
    pub(crate) async fn newest(&self, rule: Option<&str>, limit: i64) -> Result<Vec<Recorded>, Error> {
        let query = match rule {
            Some(rule) => sqlx::query(
                "SELECT firing, parent, notification, settled_at, reason FROM alerts \
                 WHERE rule = $2 ORDER BY fired_at DESC, id LIMIT $1",
            )
            .bind(limit)
            .bind(rule),
            None => sqlx::query(
                "SELECT firing, parent, notification, settled_at, reason FROM alerts \
                 ORDER BY fired_at DESC, id LIMIT $1",
            )
            .bind(limit),
        };
        let rows = query.fetch_all(self.pool()).await?;
        let recorded = |row: &AnyRow| {
            Ok(Recorded {
                alert: fired(row)?,
                notification: Notification::parse(row.try_get(2)?).ok_or(Error::Malformed("notification"))?,
                settled_at: time_opt(row, 3)?,
                reason: row.try_get(4)?,
            })
        };
        rows.iter().map(recorded).collect()
    }

    /// Forgets alerts that fired before `before`, whatever became of them, and figures that
    /// were not measured since; answers how many alerts.
    pub(crate) async fn prune(&self, before: Timestamp) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM alerts WHERE fired_at < $1")
            .bind(before.millis())
            .execute(self.database.writer())
            .await?;
        figures::prune(self.database.writer(), before).await?;
        Ok(done.rows_affected())
    }
}

/// An alert in the first two columns.
fn fired(row: &AnyRow) -> Result<FiredAlert, Error> {
    Ok(FiredAlert { firing: json(row, 0, "alert")?, parent: trace_opt(row, 1)? })
}

/// Records alerts once each; answers which are new.
pub(super) async fn write(
    tx: &mut Transaction<'_, Any>,
    alerts: &[FiredAlert],
    notification: Notification,
) -> Result<Vec<Uuid>, Error> {
    let mut fresh = Vec::new();
    for alert in alerts {
        let inserted = sqlx::query(
            "INSERT INTO alerts (id, rule, fired_at, firing, parent, notification) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(alert.firing.id.to_string())
        .bind(&alert.firing.rule)
        .bind(alert.firing.at.millis())
        .bind(text(&alert.firing, "alert")?)
        .bind(alert.parent.map(|parent| parent.to_string()))
        .bind(notification.as_str())
        .execute(&mut **tx)
        .await?;
        if inserted.rows_affected() > 0 {
            fresh.push(alert.firing.id);
        }
    }
    Ok(fresh)
}
