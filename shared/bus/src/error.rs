//! What can go wrong between a service and NATS.

use tidemill_domain::{Code, Outage};
use tidemill_events::DecodeError;

/// An error of the bus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration names no usable server or partition count.
    #[error("nats configuration: {0}")]
    Config(String),
    /// The server cannot be reached.
    #[error("NATS is not reachable: {0}")]
    Connect(String),
    /// A stream, bucket or consumer could not be made.
    #[error("cannot set up {what}: {reason}")]
    Topology {
        /// What was to be made.
        what: String,
        /// What the server said.
        reason: String,
    },
    /// A publish was not acknowledged.
    #[error("publish to {subject} was not acknowledged: {reason}")]
    Publish {
        /// Where to.
        subject: String,
        /// What the server or client said.
        reason: String,
    },
    /// The subject does not end where the publisher has left it.
    #[error("{subject} was written to by another publisher, or lost its end")]
    Conflict {
        /// Where to.
        subject: String,
    },
    /// The stream has reached its size limit.
    #[error("the stream behind {subject} is full")]
    Full {
        /// Where to.
        subject: String,
    },
    /// The server takes no message of this size, or with such large headers.
    #[error("a message to {subject} is larger than the server takes: {reason}")]
    TooLarge {
        /// Where to.
        subject: String,
        /// What the server or client said.
        reason: String,
    },
    /// A consumer could not be read.
    #[error("consumer {name}: {reason}")]
    Consume {
        /// The consumer.
        name: String,
        /// What the server or client said.
        reason: String,
    },
    /// An acknowledgement was not confirmed.
    #[error("acknowledgement was not confirmed: {0}")]
    Ack(String),
    /// A stored message could not be fetched.
    #[error("cannot read stream {stream}: {reason}")]
    Read {
        /// The stream.
        stream: &'static str,
        /// What the server said.
        reason: String,
    },
    /// A stored message could not be deleted.
    #[error("cannot delete from stream {stream}: {reason}")]
    Delete {
        /// The stream.
        stream: &'static str,
        /// What the server said.
        reason: String,
    },
    /// The log is another one than that which was read: what it has up to the place that is
    /// done would be taken for done.
    #[error("foreign_log: {stream} {reason}; it is another log than that which was read")]
    ForeignLog {
        /// The stream.
        stream: &'static str,
        /// What shows it.
        reason: String,
    },
    /// The log was made for another number of partitions: some would be left alone, and a
    /// customer's events would go to others than before.
    #[error(
        "partitions_differ: nats.partitions is {configured}, and the log {log} partitions; give every service the \
         number of the log"
    )]
    PartitionsDiffer {
        /// The setting.
        configured: u16,
        /// The number of the log, and how it is known.
        log: String,
    },
    /// A message is not what its type says.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A message could not be written.
    #[error("cannot encode a message: {0}")]
    Encode(#[from] serde_json::Error),
}

impl Error {
    /// Stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Decode(error) => error.code(),
            Self::ForeignLog { .. } => Code::ForeignLog,
            Self::PartitionsDiffer { .. } => Code::PartitionsDiffer,
            _ => Code::Bus,
        }
    }

    /// Whether the same call may succeed later. A message that cannot be
    /// decoded or encoded stays so. In all other cases a server is away, busy
    /// or full; or somebody has to put the right log back.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::PartitionsDiffer { .. }
            | Self::Decode(_)
            | Self::Encode(_)
            | Self::TooLarge { .. } => false,
            Self::Connect(_)
            | Self::Topology { .. }
            | Self::Publish { .. }
            | Self::Conflict { .. }
            | Self::Full { .. }
            | Self::Consume { .. }
            | Self::Ack(_)
            | Self::Read { .. }
            | Self::Delete { .. }
            | Self::ForeignLog { .. } => true,
        }
    }
}

impl Outage for Error {
    fn is_outage(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Publish { .. } | Self::Ack(_) | Self::Read { .. } | Self::Delete { .. } => true,
            Self::Config(_)
            | Self::Topology { .. }
            | Self::Conflict { .. }
            | Self::Full { .. }
            | Self::TooLarge { .. }
            | Self::Consume { .. }
            | Self::ForeignLog { .. }
            | Self::PartitionsDiffer { .. }
            | Self::Decode(_)
            | Self::Encode(_) => false,
        }
    }
}
