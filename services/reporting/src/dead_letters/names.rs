//! The words for where a letter stands, and for what is done with it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[cfg(test)]
mod tests;

/// Where a dead letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = State)]
pub(crate) enum LetterState {
    /// Nobody has done anything about it.
    #[default]
    Dead,
    /// Its event is on its way back to ingestion.
    Redriving,
    /// Its event is in the log.
    Accepted,
    /// Its event has failed once more, as another letter.
    FailedAgain,
    /// It is given up for good.
    Discarded,
}

/// What can be done with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Kind)]
pub enum RequestKind {
    /// Send its event again.
    Redrive,
    /// Give it up for good.
    Discard,
}

/// What is written down of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    /// Its event was sent again.
    Redrive,
    /// It was given up for good.
    Discard,
    /// It was shown with what is personal in it.
    Unmask,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Progress)]
pub(crate) enum ActionProgress {
    /// It is written down.
    Requested,
    /// It is on its way to ingestion.
    Sent,
    /// The event is in the log.
    Accepted,
    /// The event has failed once more.
    FailedAgain,
    /// The letter is discarded.
    Done,
    /// The letter's body was gone before it could be sent.
    Lost,
}

macro_rules! names {
    ($type:ident, $what:literal: $($variant:ident = $name:literal),+) => {
        impl $type {
            /// As in JSON and in the store.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($name => Ok(Self::$variant),)+ _ => Err($what) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

names!(LetterState, "must be dead, redriving, accepted, failed_again or discarded":
    Dead = "dead", Redriving = "redriving", Accepted = "accepted", FailedAgain = "failed_again",
    Discarded = "discarded");
names!(RequestKind, "must be redrive or discard": Redrive = "redrive", Discard = "discard");
names!(Act, "must be redrive, discard or unmask": Redrive = "redrive", Discard = "discard", Unmask = "unmask");
names!(ActionProgress, "must be requested, sent, accepted, failed_again, done or lost":
    Requested = "requested", Sent = "sent", Accepted = "accepted", FailedAgain = "failed_again", Done = "done",
    Lost = "lost");
