//! What a service gets to see of ownership.

use std::{collections::BTreeSet, fmt, time::Duration};

use tidemill_service::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A unit of work. Its text is part of a key in NATS: letters, digits and `-`.
pub trait Unit: Copy + Ord + fmt::Display + Send + Sync + 'static {}

impl<U: Copy + Ord + fmt::Display + Send + Sync + 'static> Unit for U {}

/// A unit that this replica owns, for as long as [`stop`](Lease::stop) is not
/// cancelled.
#[derive(Debug, Clone)]
pub struct Lease<U> {
    pub(crate) unit: U,
    pub(crate) stop: CancellationToken,
    pub(crate) deadline: Duration,
    pub(crate) context: Context,
}

impl<U: Unit> Lease<U> {
    /// The unit.
    pub fn unit(&self) -> U {
        self.unit
    }

    /// Cancelled when the unit is to be given back, when it was lost and when
    /// the service stops: finish the step in hand, then return.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// How long the step in hand may take once the unit is to be given back: longer where it was
    /// abandoned before.
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether, by this process's clock, no other replica can have it yet.
    pub fn is_held(&self) -> bool {
        self.context.is_believed_alive()
    }
}

/// The units that this replica owns now; clones share it.
#[derive(Debug, Clone)]
pub struct Owned<U>(pub(crate) watch::Receiver<BTreeSet<U>>);

impl<U: Unit> Owned<U> {
    /// All of them.
    pub fn units(&self) -> Vec<U> {
        self.0.borrow().iter().copied().collect()
    }

    /// Whether this unit is among them.
    pub fn contains(&self, unit: U) -> bool {
        self.0.borrow().contains(&unit)
    }
}
