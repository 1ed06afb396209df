//! What the steps of making roll-ups share.

use sqlx::{AnyConnection, AssertSqlSafe};
use tidemill_store::Error;

use super::level::HOURS;
use crate::store::sql::unsigned;

/// Up to which stream sequence folds have marked what they touched.
pub(super) const MARKED: &str = "marked";
/// How many steps there were.
const STEP: &str = "step";

/// Which levels are those of other days than these: `$1`, beside hours: `$2`. A
/// comparison with `<>` would read everything.
pub(super) const FORMER: &str = "(level < $1 OR (level > $1 AND level < $2) OR level > $2)";

/// Begins a step, and answers its number. Steps follow one another, whichever
/// replica takes them: the row belongs to this transaction from here on.
///
/// Days are those of one zone. Who makes hours marks the days of his own zone
/// alone, so there must be no others that anybody takes for right.
pub(super) async fn begin(connection: &mut AnyConnection, day: &str) -> Result<u64, Error> {
    let step = sqlx::query(
        "INSERT INTO rollup_state (name, number) VALUES ($1, 1)
         ON CONFLICT (name) DO UPDATE SET number = rollup_state.number + 1 RETURNING number",
    );
    let number = unsigned(&step.bind(STEP).fetch_one(&mut *connection).await?, 0)?;
    for table in ["rollup_frontiers", "rollup_marks"] {
        let former = AssertSqlSafe(format!("DELETE FROM {table} WHERE {FORMER}"));
        sqlx::query(former).bind(day.to_owned()).bind(HOURS).execute(&mut *connection).await?;
    }
    Ok(number)
}
