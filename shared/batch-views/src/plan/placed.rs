//! Which windows a row belongs to.

use tidemill_definitions::Window;

use super::MetricPlan;
use crate::SqlDialect;

impl MetricPlan {
    /// Named queries, of which the last, `placed`, has each row once for each of its
    /// windows.
    pub(super) fn placed(&self, dialect: SqlDialect) -> Vec<(&'static str, String)> {
        let name = |name| dialect.name(name);
        let (rows, time, start) = (name("rows"), name("time"), name("window_start"));
        match self.metric.window {
            Window::Tumbling { size_millis } => {
                let begin = dialect.window_start(&time, size_millis);
                vec![("placed", format!("SELECT *, {begin} AS {start} FROM {rows}"))]
            }
            Window::Sliding { size_millis, step_millis } => {
                let step = name("step");
                // The last window that holds the time starts at the step before it.
                let most = size_millis.div_euclid(step_millis) + i64::from(size_millis % step_millis != 0);
                let steps = format!("SELECT *, {} AS {step} FROM {rows}", dialect.each_below(&most.to_string()));
                let last = dialect.window_start(&time, step_millis);
                let begin = dialect.later(&last, &format!("-{step_millis} * {step}"));
                let started = format!("SELECT *, {begin} AS {start} FROM {}", name("steps"));
                let end = dialect.later(&start, &size_millis.to_string());
                let held = format!("SELECT * FROM {} WHERE {time} < {end}", name("started"));
                vec![("steps", steps), ("started", started), ("placed", held)]
            }
            Window::Session { gap_millis } => self.sessions(dialect, gap_millis),
        }
    }

    /// A session begins where the row before it is a gap or more away.
    fn sessions(&self, dialect: SqlDialect, gap_millis: i64) -> Vec<(&'static str, String)> {
        let name = |name| dialect.name(name);
        let (rows, time, first, session) = (name("rows"), name("time"), name("is_first"), name("session"));
        let over = format!("PARTITION BY {} ORDER BY {time}", self.session_key(dialect));
        let end = dialect.later(&format!("lag({time}) OVER ({over})"), &gap_millis.to_string());
        let marked = format!("SELECT *, CASE WHEN {time} < {end} THEN 0 ELSE 1 END AS {first} FROM {rows}");
        let numbered = format!(
            "SELECT *, sum({first}) OVER ({over} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {session} \
             FROM {}",
            name("marked")
        );
        vec![("marked", marked), ("placed", numbered)]
    }
}
