//! A unit of work, from its take-over to its end.

use std::{fmt::Display, time::Duration};

use tidemill_domain::Backoff;
use tidemill_service::Conditions;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{Disposition, Failure};

/// What a service does with a unit.
pub trait Work: Send {
    /// What can go wrong.
    type Error: Failure;

    /// How long a unit may take for its step in hand when it is given back. A
    /// dependency that is away must not hold the unit: its next owner goes on
    /// from the last checkpoint.
    const PARTING: Duration = Duration::from_millis(1500);

    /// The same of this unit, where one may have longer than others.
    fn parting(&self) -> Duration {
        Self::PARTING
    }

    /// Opens the unit from its store and works on it until it is to be given
    /// back. After an error that may pass it is called again. So it must read
    /// anew everything in memory that the error leaves in doubt.
    fn work(&mut self, progress: &mut Progressing<'_>) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What follows from an error of this unit.
    fn disposition(&self, error: &Self::Error) -> Disposition {
        error.disposition()
    }

    /// Whether an error is a reason for this instance not to be ready.
    fn is_condition(&self, _: &Self::Error) -> bool {
        true
    }

    /// Takes note of an error, before anything follows from it.
    fn failed(&mut self, error: &Self::Error);
}

/// How a unit says that it goes on.
pub struct Progressing<'a> {
    backoff: &'a mut Backoff,
    clear: &'a (dyn Fn() + Send + Sync),
}

impl Progressing<'_> {
    /// Whether the unit has failed, and has not been seen to work since.
    pub fn is_failing(&self) -> bool {
        self.backoff.is_waiting()
    }

    /// The unit is open. After a failure that does not yet show that it works:
    /// what it failed at comes first.
    pub fn opened(&mut self) {
        if !self.is_failing() {
            (self.clear)();
        }
    }

    /// A step is done: earlier failures are over.
    pub fn goes_on(&mut self) {
        self.backoff.succeeded();
        (self.clear)();
    }
}

/// Does a unit's work until `stop`, so for as long as this replica owns the
/// unit. Returns only an error that is to end the service.
pub async fn supervise<U: Ord + Display + Clone + Send + Sync, W: Work>(
    mut work: W,
    unit: U,
    stop: &CancellationToken,
    conditions: &Conditions<U>,
) -> Result<(), W::Error> {
    let mut backoff = Backoff::new();
    let clear = || conditions.clear(&unit);
    let ended = loop {
        let longest = work.parting();
        let parting = async {
            stop.cancelled().await;
            sleep(longest).await;
        };
        let mut progress = Progressing { backoff: &mut backoff, clear: &clear };
        let done = tokio::select! {
            done = work.work(&mut progress) => done,
            () = parting => break Ok(()),
        };
        let Err(error) = done else { break Ok(()) };
        let disposition = work.disposition(&error);
        match disposition {
            Disposition::End => break Ok(()),
            Disposition::Fail => {
                work.failed(&error);
                break Err(error);
            }
            // The unit's next owner goes on from its last checkpoint.
            _ if stop.is_cancelled() => break Ok(()),
            Disposition::Retry | Disposition::DeadLetter | Disposition::Halt => {
                work.failed(&error);
                if work.is_condition(&error) {
                    conditions.set(unit.clone(), error.to_string());
                }
            }
        }
        if disposition == Disposition::Halt {
            stop.cancelled().await;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            () = sleep(backoff.failed()) => {}
        }
    };
    conditions.clear(&unit);
    ended
}
