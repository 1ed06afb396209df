//! Which roll-ups are right.

use std::collections::BTreeSet;

use sqlx::{AnyConnection, Row};
use tidemill_domain::Timestamp;
use tidemill_store::Error;

use super::{
    level::{HOUR, HOURS, RollupLevel},
    steps::MARKED,
};
use crate::{calendar::Zone, store::sql::time, unit::StreamUnit};

/// Longer than any day.
const DAY_AND_MORE: i64 = 48 * HOUR;

/// What is rolled up of a version, in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RollupStanding {
    /// Hours from here on are right, but for those that are stale.
    pub(super) hours_from: Timestamp,
    /// Hours whose roll-up is not what their cells are, by their first instants.
    pub(super) stale_hours: BTreeSet<Timestamp>,
    /// `None` where there are no days of the shop's zone.
    pub(super) days: Option<DayStanding>,
}

/// What is rolled up by day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DayStanding {
    /// Whose days they are.
    pub(super) zone: Zone,
    /// Days from here on are right, but for those that are stale, and for those
    /// with an hour that is not right.
    pub(super) from: Timestamp,
    /// By their first instants.
    pub(super) stale: BTreeSet<Timestamp>,
}

/// Reads it for the windows that start between `from` and `to`; `None` where
/// nothing is rolled up. It is true for the snapshot that it is read in.
pub(super) async fn standing(
    connection: &mut AnyConnection,
    (metric, version): (&str, &str),
    shop: Zone,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<RollupStanding>, Error> {
    if !is_marked(connection).await? {
        return Ok(None);
    }
    let day = RollupLevel::Day(shop).name();
    let frontiers = sqlx::query(
        "SELECT level, below FROM rollup_frontiers WHERE metric = $1 AND version = $2 AND (level = $3 OR level = $4)",
    );
    let frontiers = frontiers.bind(metric.to_owned()).bind(version.to_owned()).bind(HOURS).bind(day.clone());
    let (mut hours_from, mut days_from) = (None, None);
    for row in frontiers.fetch_all(&mut *connection).await? {
        let begins = time(row.try_get(1)?);
        *(if row.try_get::<&str, _>(0)? == HOURS { &mut hours_from } else { &mut days_from }) = Some(begins);
    }
    let Some(hours_from) = hours_from else { return Ok(None) };
    let of = (metric, version);
    let stale_hours =
        stale(connection, HOURS, of, from.plus_millis(-DAY_AND_MORE), to.plus_millis(DAY_AND_MORE)).await?;
    let days = match days_from {
        None => None,
        Some(from_day) => {
            let stale = stale(connection, &day, of, from.plus_millis(-DAY_AND_MORE), to).await?;
            Some(DayStanding { zone: shop, from: from_day, stale })
        }
    };
    Ok(Some(RollupStanding { hours_from, stale_hours, days }))
}

/// Whether every fold up to the last has marked what it touched. A release that
/// knows no marks makes none.
pub(super) async fn is_marked(connection: &mut AnyConnection) -> Result<bool, Error> {
    let both = sqlx::query(
        "SELECT (SELECT sequence FROM positions WHERE name = $1), (SELECT number FROM rollup_state WHERE name = $2)",
    );
    let row = both.bind(StreamUnit::Metrics.name()).bind(MARKED).fetch_one(connection).await?;
    let (folded, marked): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(folded.is_some() && folded == marked)
}

/// The marked spans of a level that start between `from` and `to`.
async fn stale(
    connection: &mut AnyConnection,
    level: &str,
    (metric, version): (&str, &str),
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeSet<Timestamp>, Error> {
    let marks = sqlx::query(
        "SELECT span_start FROM rollup_marks WHERE level = $1 AND metric = $2 AND version = $3
         AND span_start >= $4 AND span_start < $5",
    );
    let marks = marks.bind(level.to_owned()).bind(metric.to_owned()).bind(version.to_owned());
    let rows = marks.bind(from.millis()).bind(to.millis()).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(time(row.try_get(0)?))).collect()
}
