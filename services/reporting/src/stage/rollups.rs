//! Keeps the roll-ups of window totals: makes those that are due, a little at a
//! time. Answers are right without it, and slower.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use tidemill_store::{Error, answered};
use tokio::time::{sleep, timeout};

use crate::{state::Reporting, store::RollupProgress};

/// How long it waits where nothing is due.
const IDLE: Duration = Duration::from_secs(5);
/// So few marks leave room for others.
const FEW: usize = 8;
/// How much longer it rests than a step took: folds and questions come first.
const AT_REST: u32 = 3;
/// How long a step may read and write.
const DEADLINE: Duration = Duration::from_secs(300);
/// How often it says how far it is.
const TOLD: Duration = Duration::from_secs(60);

/// Goes on for as long as it is asked to. It may end at any await: what was not
/// written is due as before.
pub(super) async fn keep(reporting: &Reporting) -> Infallible {
    let mut told = BacklogTold::default();
    loop {
        let begun = Instant::now();
        let pause = match step(reporting, &mut told).await {
            Ok(true) => (begun.elapsed() * AT_REST).min(IDLE),
            Ok(false) => IDLE,
            Err(error) => {
                tracing::warn!(%error, "totals could not be rolled up; trying again");
                IDLE
            }
        };
        sleep(pause).await;
    }
}

/// Does some of the work; answers whether there was any.
async fn step(reporting: &Reporting, told: &mut BacklogTold) -> Result<bool, Error> {
    let (store, shop) = (&reporting.store, reporting.calendar.zone);
    answered(store.begin_rollups(shop)).await?;
    let made = timeout(DEADLINE, store.make_rollups(shop, reporting.now())).await;
    let made = made.unwrap_or(Err(Error::NoAnswer(DEADLINE)))?;
    // What is due goes first, so that the marks stay few.
    let marked = if made < FEW { answered(store.extend_rollups(shop, reporting.now())).await? } else { None };
    reporting.telemetry.rolled_up(made, answered(store.rollups_waiting()).await?);
    if made < FEW {
        told.tell(marked.as_ref());
    }
    Ok(made > 0 || marked.is_some())
}

/// What was said of how far it is with what was stored before.
#[derive(Default)]
struct BacklogTold {
    last: Option<Instant>,
}

impl BacklogTold {
    fn tell(&mut self, marked: Option<&RollupProgress>) {
        let Some(RollupProgress { metric, version, level, reached }) = marked else {
            if self.last.take().is_some() {
                tracing::info!("all stored totals are rolled up, or marked to be");
            }
            return;
        };
        if self.last.is_none_or(|last| last.elapsed() >= TOLD) {
            let reached = reached.map(tracing::field::display);
            tracing::info!(%metric, %version, %level, down_to = reached, "rolling up stored totals");
            self.last = Some(Instant::now());
        }
    }
}
