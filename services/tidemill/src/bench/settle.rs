//! Waits until every event is accounted for.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::{error::BenchError, writing::SOURCE};
use crate::{
    client::{Client, Outcomes},
    progress,
};

const POLL: Duration = Duration::from_millis(100);

/// Waits until `sent` more events than `before` have an outcome; answers what
/// became of them.
pub(super) async fn settle(
    client: &Client,
    before: &Outcomes,
    sent: u64,
    patience: Duration,
) -> Result<Outcomes, BenchError> {
    let bar = progress::bar("counting", sent);
    let (mut best, mut since) = (0, Instant::now());
    loop {
        let books = since_then(before, &client.books_of(SOURCE).await?);
        let done = books.counted + books.late + books.duplicate + books.dead_lettered;
        bar.set_position(done.min(sent));
        if books.received >= sent && books.in_flight == 0 {
            bar.finish();
            return Ok(books);
        }
        if done > best {
            (best, since) = (done, Instant::now());
        }
        if since.elapsed() > patience {
            return Err(BenchError::Unbalanced { books: json!(books).to_string(), patience });
        }
        sleep(POLL).await;
    }
}

fn since_then(before: &Outcomes, now: &Outcomes) -> Outcomes {
    Outcomes {
        received: now.received.saturating_sub(before.received),
        accepted: now.accepted.saturating_sub(before.accepted),
        rejected: now.rejected.saturating_sub(before.rejected),
        counted: now.counted.saturating_sub(before.counted),
        late: now.late.saturating_sub(before.late),
        duplicate: now.duplicate.saturating_sub(before.duplicate),
        repeated: now.repeated.saturating_sub(before.repeated),
        dead_lettered: now.dead_lettered.saturating_sub(before.dead_lettered),
        in_flight: now.in_flight,
    }
}
