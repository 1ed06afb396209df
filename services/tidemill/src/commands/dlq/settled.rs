//! What came of an order to send dead letters again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    api::{Action, path, reason_of},
    ruled::TOLD,
};
use crate::{
    client::{Client, ClientError},
    progress,
    table::plain,
};

/// Between two looks at how far an order has come.
const LOOK: Duration = Duration::from_millis(250);
/// How long accepted events may take to be counted, before they are told of as not
/// counted yet.
const TO_COUNT: Duration = Duration::from_secs(10);

/// How far an order has come.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Settled {
    pub(super) letters: u64,
    requested: u64,
    sent: u64,
    pub(super) accepted: u64,
    pub(super) failed_again: u64,
    lost: u64,
    settled: bool,
    /// Of the accepted letters, those whose events' outcomes are known, and these.
    #[serde(default)]
    known: u64,
    #[serde(default)]
    counted: u64,
    #[serde(default)]
    pub(super) late: u64,
    #[serde(default)]
    duplicate: u64,
}

impl Settled {
    fn on_their_way(&self) -> u64 {
        self.requested + self.sent
    }

    fn unknown(&self) -> u64 {
        self.accepted.saturating_sub(self.known)
    }

    pub(super) fn json(&self, failures: &[FailedRedrive]) -> Value {
        json!({"accepted": self.accepted, "failed_again": self.failed_again, "lost": self.lost,
            "on_their_way": self.on_their_way(), "failures": failures, "counted": self.counted,
            "late": self.late, "duplicate": self.duplicate, "not_counted_yet": self.unknown()})
    }

    /// Tells a person.
    pub(super) fn print(&self, failures: &[FailedRedrive]) {
        say!("accepted: {}", self.accepted);
        if self.accepted > 0 {
            say!("  counted: {}", self.counted);
        }
        if self.duplicate > 0 {
            say!("  duplicates: {} (counted before)", self.duplicate);
        }
        if self.late > 0 {
            say!(
                "  late again: {} (aggregation keeps no totals of their time any more; see windows.retention_days)",
                self.late
            );
        }
        if self.unknown() > 0 {
            say!("  of {} letters the events are not counted yet", self.unknown());
        }
        say!("failed again: {}", self.failed_again);
        for failure in failures {
            say!(
                "{:>10}  as {}  {}: {}",
                failure.letter,
                failure.failed_again_as,
                plain(&failure.code, 30),
                plain(&failure.reason, 200)
            );
        }
        if self.lost > 0 {
            say!("lost: {} (the stream has forgotten their bodies; give a mended one with --body)", self.lost);
        }
        if self.on_their_way() > 0 {
            say!(
                "still on their way: {}; see `tidemill dlq audit`, and whether ingestion is there",
                self.on_their_way()
            );
        }
    }
}

/// Follows an order for `ordered` letters until all of them are settled, at
/// most so long; then a moment longer, until it is known what became of their
/// events.
pub(super) async fn follow(
    client: &Client,
    request: Uuid,
    ordered: u64,
    patience: Duration,
) -> Result<Settled, ClientError> {
    // What was refused for every letter is no order.
    if ordered == 0 {
        return Ok(Settled::default());
    }
    let bar = progress::bar("redriven", ordered);
    let mut deadline = Instant::now() + patience;
    let mut was_settled = false;
    loop {
        let settled: Settled = client.get(&format!("/v1/dead-letters/orders/{request}")).await?;
        bar.set_position(settled.letters - settled.on_their_way());
        if settled.settled && !std::mem::replace(&mut was_settled, settled.settled) {
            deadline = deadline.min(Instant::now() + TO_COUNT);
        }
        if (settled.settled && settled.unknown() == 0) || Instant::now() > deadline {
            bar.finish_and_clear();
            return Ok(settled);
        }
        sleep(LOOK).await;
    }
}

/// A redrive that failed.
#[derive(Debug, Serialize)]
pub(super) struct FailedRedrive {
    letter: u64,
    failed_again_as: u64,
    code: String,
    reason: String,
}

/// The first few redrives of an order that failed, with their reasons.
pub(super) async fn failures(client: &Client, request: Uuid) -> Result<Vec<FailedRedrive>, ClientError> {
    #[derive(Deserialize)]
    struct Audit {
        actions: Vec<Action>,
    }
    let parameters = [("request", request.to_string()), ("state", "failed_again".into()), ("limit", TOLD.to_string())];
    let audit: Audit = client.get(&path("/v1/dead-letters/audit", &parameters)).await?;
    let mut failures = Vec::new();
    for action in audit.actions {
        if let Some(failed_again_as) = action.failed_again_as {
            let (code, reason) = reason_of(client, failed_again_as).await?;
            failures.push(FailedRedrive { letter: action.letter, failed_again_as, code, reason });
        }
    }
    failures.sort_by_key(|failure| failure.letter);
    Ok(failures)
}
