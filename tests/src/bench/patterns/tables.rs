//! Waiting until gold has everything.

use std::time::Instant;

use tokio::time::sleep;

use super::{super::suite::Suite, POLL, SETTLED, answers};
use crate::{error::Error, service::Service};

/// When gold was computed last.
const GOLD_TIME: &str = "tidemill_lake_gold_time_seconds";

/// Waits until gold has counted so many events.
pub(super) async fn have(suite: &Suite, events: u64) -> Result<(), Error> {
    let (begun, mut last, mut computed) = (Instant::now(), String::new(), 0.0);
    while begun.elapsed() < SETTLED {
        // A question has a process of its own, which would be in what is measured.
        let time = suite.gauge(Service::Lake, GOLD_TIME).await?;
        if time > computed {
            computed = time;
            match answers::lines_of_gold(suite).await {
                Ok(lines) if lines >= events => return Ok(()),
                Ok(lines) => last = format!("{lines} of {events} lines"),
                // The table comes with the first computation that has rows for it.
                Err(error) => last = error.to_string(),
            }
        }
        sleep(POLL).await;
    }
    Err(Error::Deadline { what: "gold has all events".into(), deadline: SETTLED, last })
}
