//! An alert, from when it fires until somebody is told of it.

use tidemill_events::{AlertTransition, TraceParent};

/// An alert to be recorded, published and sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FiredAlert {
    /// Its first transition, which says everything.
    pub(crate) firing: AlertTransition,
    /// The parent of the notification's span.
    pub(crate) parent: Option<TraceParent>,
}

/// What became of an alert's notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notification {
    /// Nobody is to be told.
    Off,
    /// It is to be sent.
    Pending,
    /// It was accepted.
    Sent,
    /// It was refused, and would be again.
    Refused,
    /// It could not be delivered in time.
    Expired,
}

impl Notification {
    /// As it stands in the store, in the API and in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    /// The one that is written like this.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::Pending, Self::Sent, Self::Refused, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}
