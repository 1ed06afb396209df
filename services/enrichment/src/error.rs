//! What can go wrong, and what is done about it.

use axum::http::StatusCode;
use tidemill_definitions::DefinitionError;
use tidemill_domain::{Code, Outage, Partition, Timestamp};
use tidemill_events::DecodeError;
use tidemill_service::{CeilingReached, FieldError, Problem};
use tidemill_stage::{Disposition, Failure};

use crate::reference::RecordKind;

/// An error of the service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    /// The floor in the store is not where this process left it.
    #[error("partition {0} was taken on by another instance")]
    Superseded(Partition),
    /// The last message in `ENRICHED` is of another release, or is no batch at all.
    #[error("the last message of partition {partition} in ENRICHED cannot be read: {error}")]
    UnreadableEnd { partition: Partition, error: DecodeError },
    /// A line of a batch is no event.
    #[error("the line is not an event: {0}")]
    Event(String),
    /// A file that defines something is wrong.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// A reference record breaks a rule.
    #[error("{pointer}: {detail}")]
    Record { pointer: String, detail: String },
    /// A change that some replica might learn of too late.
    #[error("{}", too_early(*.earliest, *.last_rate))]
    TooEarly {
        earliest: Timestamp,
        /// Of a rate: when the last one of its currency begins.
        last_rate: Option<Timestamp>,
    },
    /// Too many lines are no events.
    #[error(transparent)]
    Ceiling(#[from] CeilingReached),
    /// The body is larger than allowed.
    #[error("the body is too large")]
    TooLarge,
    /// The body has another content type than it must have.
    #[error("the content type must be {expected}")]
    MediaType { expected: &'static str },
    /// A request holds more records than one may.
    #[error("the request holds more than {limit} records")]
    TooMany { limit: usize },
    /// The body did not arrive.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// Others are being worked on.
    #[error("as many requests as fit are being worked on")]
    Busy,
    /// A parameter of the address is wrong.
    #[error("{0}")]
    Parameter(String),
    /// The body cannot be read.
    #[error("the body is malformed: {0}")]
    Body(String),
    /// Nothing is known of it.
    #[error("no {kind} has this id")]
    Unknown { kind: RecordKind },
}

fn too_early(earliest: Timestamp, last_rate: Option<Timestamp>) -> String {
    match last_rate {
        None => format!("valid_from must not be before {earliest}: what was is never changed"),
        Some(last) => format!("valid_from must be after {last}, when the last rate begins: what was is never changed"),
    }
}

impl Error {
    /// Something is wrong with a file.
    pub(crate) fn definition(file: &str, reason: String) -> Self {
        Self::Definition(DefinitionError::new(file, None, reason))
    }

    /// What a client is told.
    pub(crate) fn problem(&self) -> Problem {
        let problem = |status| Problem::new(status, self.code()).detail(self.to_string());
        match self {
            Self::Record { pointer, detail } => problem(StatusCode::UNPROCESSABLE_ENTITY)
                .errors(vec![FieldError { pointer: pointer.clone(), detail: detail.clone() }]),
            Self::TooEarly { .. } => problem(StatusCode::UNPROCESSABLE_ENTITY)
                .errors(vec![FieldError { pointer: "/valid_from".into(), detail: self.to_string() }]),
            Self::TooLarge => problem(StatusCode::PAYLOAD_TOO_LARGE),
            Self::MediaType { .. } => problem(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::TooMany { .. } => problem(StatusCode::PAYLOAD_TOO_LARGE),
            Self::TooSlow => problem(StatusCode::REQUEST_TIMEOUT),
            Self::Busy => problem(StatusCode::SERVICE_UNAVAILABLE).retry_after(5),
            Self::Parameter(_) => problem(StatusCode::BAD_REQUEST),
            Self::Body(_) => problem(StatusCode::BAD_REQUEST),
            Self::Unknown { .. } => problem(StatusCode::NOT_FOUND),
            Self::Store(error) if error.is_transient() => Problem::unavailable("the store does not answer"),
            Self::Store(_)
            | Self::Bus(_)
            | Self::Superseded(_)
            | Self::Ceiling(_)
            | Self::UnreadableEnd { .. }
            | Self::Event(_)
            | Self::Definition(_) => {
                tracing::error!(error = %self, code = self.code().as_str(), "a request failed");
                Problem::internal()
            }
        }
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Bus(error) => error.code(),
            Self::Store(_) => Code::Store,
            Self::Superseded(_) => Code::Superseded,
            Self::UnreadableEnd { .. } => Code::UnreadableEnd,
            Self::Event(_) => Code::MalformedEvent,
            Self::Definition(_) => Code::Definition,
            Self::Record { .. } => Code::InvalidRecord,
            Self::TooEarly { .. } => Code::TooEarly,
            Self::Ceiling(_) => Code::DeadLetterCeiling,
            Self::TooLarge => Code::BodyTooLarge,
            Self::MediaType { .. } => Code::UnsupportedMediaType,
            Self::TooMany { .. } => Code::TooManyRecords,
            Self::TooSlow => Code::BodyTimeout,
            Self::Busy => Code::Busy,
            Self::Parameter(_) => Code::InvalidParameter,
            Self::Body(_) => Code::MalformedBody,
            Self::Unknown { .. } => Code::NotFound,
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::Bus(tidemill_bus::Error::Decode(_)) | Self::Event(_) => Disposition::DeadLetter,
            Self::Bus(error) if error.is_transient() => Disposition::Retry,
            Self::Store(error) if error.is_transient() => Disposition::Retry,
            // The partition stands, and is named, until a release that can read it is there.
            Self::UnreadableEnd { .. } => Disposition::Retry,
            // It is of this one batch; others go on.
            Self::Bus(tidemill_bus::Error::TooLarge { .. }) => Disposition::Halt,
            Self::Superseded(_) => Disposition::Retry,
            Self::Ceiling(_) => Disposition::Halt,
            Self::Bus(_)
            | Self::Store(_)
            | Self::Definition(_)
            | Self::Record { .. }
            | Self::TooEarly { .. }
            | Self::TooLarge
            | Self::MediaType { .. }
            | Self::TooMany { .. }
            | Self::TooSlow
            | Self::Busy
            | Self::Parameter(_)
            | Self::Body(_)
            | Self::Unknown { .. } => Disposition::Fail,
        }
    }
}

impl Outage for Error {
    fn is_outage(&self) -> bool {
        match self {
            Self::Bus(error) => error.is_outage(),
            Self::Store(error) => error.is_transient(),
            _ => false,
        }
    }
}
