//! What can go wrong, and what then happens.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tidemill_domain::{Code, Outage};
use tidemill_events::StreamName;
use tidemill_service::{CeilingReached, FieldError, Problem, clients::ClientKey};
use tidemill_stage::{Disposition, Failure};
use tidemill_totals::MergeError;
use uuid::Uuid;

/// An error of reporting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The read model's database.
    #[error(transparent)]
    Store(#[from] tidemill_store::Error),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] tidemill_bus::Error),
    /// Stored totals of one version have different shapes.
    #[error("metric {metric}, version {version}: {source}")]
    Merge {
        /// The metric.
        metric: String,
        /// Its version.
        version: String,
        /// What the totals say.
        source: MergeError,
    },
    /// No metric has this name.
    #[error("there is no metric {metric:?}")]
    UnknownMetric {
        /// What was asked for.
        metric: String,
        /// What else is wrong with the question.
        errors: Vec<FieldError>,
    },
    /// The metric has no such version.
    #[error("metric {metric} has no version {version:?}; it has {known}")]
    UnknownVersion {
        /// The metric.
        metric: String,
        /// What was asked for.
        version: String,
        /// What there is.
        known: String,
        /// What else is wrong with the question.
        errors: Vec<FieldError>,
    },
    /// Parameters of a request are wrong.
    #[error("parameters are wrong")]
    Parameters(Vec<FieldError>),
    /// An answer would be larger than one answer may be.
    #[error("the answer would hold more than {limit} {what}")]
    TooMuch {
        /// Points or cells.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// Windows that overlap cannot be added up.
    #[error("the windows of metric {0} overlap: their totals would count events more than once")]
    Overlapping(String),
    /// A range that no whole windows make up: an answer would be one to another
    /// question.
    #[error("{detail}")]
    Unaligned {
        /// Which windows there are, and which range is the nearest.
        detail: String,
        /// The bounds that lie within a window.
        errors: Vec<FieldError>,
    },
    /// All places on the live stream are taken.
    #[error("{0} clients are on the stream already")]
    TooManyClients(u16),
    /// One client has its share of the places on the live stream.
    #[error("{0} is on the stream as often as one address may be")]
    TooManyOfOne(ClientKey),
    /// Too many requests read the store at once.
    #[error("too many requests are being answered")]
    Busy,
    /// A message of a stream is not in the read model and was not handed out:
    /// another replica has it, or the database was lost.
    #[error("message {sequence} of {stream} is missing; reading the stream again")]
    Missing {
        /// The stream.
        stream: StreamName,
        /// The message's sequence.
        sequence: u64,
    },
    /// Too many messages of a stream cannot be read.
    #[error(transparent)]
    Ceiling(#[from] CeilingReached),
    /// An address tries to log in too often; seconds until it may again.
    #[error("too many logins from this address")]
    TooManyLogins(u64),
    /// The body of a request is wrong.
    #[error("the request is not as it should be")]
    Request(Vec<FieldError>),
    /// The body of a request is no JSON.
    #[error("the body must be application/json")]
    MediaType,
    /// The body of a request is too large.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// There is no such dead letter.
    #[error("there is no dead letter {0}, or it is forgotten")]
    UnknownDeadLetter(u64),
    /// There is no such generation.
    #[error("there is no generation {0:?}")]
    UnknownGeneration(String),
    /// A generation that answers questions cannot be retired.
    #[error("generation {generation} answers {}: roll it back before it is retired", metrics.join(", "))]
    GenerationServed {
        /// The generation.
        generation: String,
        /// The metrics that it answers.
        metrics: Vec<String>,
    },
    /// A generation has not counted as far as the live totals.
    #[error(
        "generation {generation} has not counted what the live totals have: partition {partition} is at {at} of {of}"
    )]
    GenerationBehind {
        /// The generation.
        generation: String,
        /// A partition.
        partition: tidemill_domain::Partition,
        /// The `RAW` sequence that it has reached.
        at: u64,
        /// That of the live totals.
        of: u64,
    },
    /// No letter has an order of this name.
    #[error("there is no order {0}, or it was refused for every letter")]
    UnknownOrder(Uuid),
}

impl Error {
    /// With what else is wrong with a question that nothing can be found for.
    #[must_use]
    pub(crate) fn beside(mut self, found: Vec<FieldError>) -> Self {
        if let Self::UnknownMetric { errors, .. } | Self::UnknownVersion { errors, .. } = &mut self {
            *errors = found;
        }
        self
    }

    /// Whether the database will never hold what it was given.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_refusal())
    }

    /// Whether the same question can be answered at another resolution.
    pub(crate) fn is_of_resolution(&self) -> bool {
        matches!(self, Self::TooMuch { what: "points", .. } | Self::Unaligned { .. })
    }

    /// What a client is told.
    pub fn problem(&self) -> Problem {
        let problem = |status| Problem::new(status, self.code()).detail(self.to_string());
        match self {
            Self::Store(error) if error.is_transient() => Problem::unavailable("the read model is away"),
            Self::Bus(error) if error.is_transient() => Problem::unavailable("the message log is away"),
            Self::Store(_) | Self::Bus(_) | Self::Merge { .. } | Self::Missing { .. } | Self::Ceiling(_) => {
                Problem::internal()
            }
            Self::TooManyLogins(seconds) => problem(StatusCode::TOO_MANY_REQUESTS).retry_after(*seconds),
            Self::Request(errors) => problem(StatusCode::UNPROCESSABLE_ENTITY).errors(errors.clone()),
            Self::MediaType => problem(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::TooLarge(_) => problem(StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnknownDeadLetter(_) | Self::UnknownOrder(_) | Self::UnknownGeneration(_) => {
                problem(StatusCode::NOT_FOUND)
            }
            Self::GenerationServed { .. } | Self::GenerationBehind { .. } => problem(StatusCode::CONFLICT),
            Self::UnknownMetric { errors, .. } | Self::UnknownVersion { errors, .. } => {
                problem(StatusCode::NOT_FOUND).errors(errors.clone())
            }
            Self::Parameters(errors) => Problem::new(StatusCode::BAD_REQUEST, self.code()).errors(errors.clone()),
            Self::TooMuch { .. } => problem(StatusCode::UNPROCESSABLE_ENTITY).detail(format!(
                "{self}: bring `from` and `to` closer together, group by fewer dimensions, or ask for a coarser \
                 `resolution` or a metric with longer windows"
            )),
            Self::Overlapping(_) => problem(StatusCode::UNPROCESSABLE_ENTITY),
            Self::Unaligned { errors, .. } => problem(StatusCode::UNPROCESSABLE_ENTITY).errors(errors.clone()),
            Self::TooManyClients(_) => problem(StatusCode::SERVICE_UNAVAILABLE).retry_after(5),
            Self::TooManyOfOne(_) => problem(StatusCode::TOO_MANY_REQUESTS).retry_after(5),
            Self::Busy => problem(StatusCode::SERVICE_UNAVAILABLE).retry_after(1),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = self.problem();
        if problem.status >= 500 {
            tracing::warn!(code = self.code().as_str(), error = %self, "a request could not be answered");
        }
        problem.into_response()
    }
}

impl Outage for Error {
    fn is_outage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Bus(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Store(error) if error.is_refusal() => Code::StoreRefused,
            Self::Store(_) => Code::Store,
            Self::Bus(error) => error.code(),
            Self::Merge { .. } => Code::MixedTotals,
            Self::UnknownMetric { .. } => Code::UnknownMetric,
            Self::UnknownVersion { .. } => Code::UnknownVersion,
            Self::Parameters(_) => Code::InvalidParameter,
            Self::TooMuch { .. } => Code::TooManyPoints,
            Self::Overlapping(_) => Code::Overlapping,
            Self::Unaligned { .. } => Code::Unaligned,
            Self::TooManyClients(_) => Code::TooManyClients,
            Self::TooManyOfOne(_) => Code::TooManyOfOneAddress,
            Self::Busy => Code::Busy,
            Self::Missing { .. } => Code::MissingMessage,
            Self::Ceiling(_) => Code::DeadLetterCeiling,
            Self::TooManyLogins(_) => Code::TooManyLogins,
            Self::Request(_) => Code::InvalidRequest,
            Self::MediaType => Code::UnsupportedMediaType,
            Self::TooLarge(_) => Code::BodyTooLarge,
            Self::UnknownDeadLetter(_) => Code::UnknownDeadLetter,
            Self::UnknownOrder(_) => Code::UnknownOrder,
            Self::UnknownGeneration(_) => Code::UnknownGeneration,
            Self::GenerationServed { .. } => Code::GenerationServed,
            Self::GenerationBehind { .. } => Code::GenerationBehind,
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::Store(error) if error.is_transient() => Disposition::Retry,
            Self::Bus(tidemill_bus::Error::Decode(_)) => Disposition::DeadLetter,
            Self::Bus(error) if error.is_transient() => Disposition::Retry,
            Self::Missing { .. } => Disposition::Retry,
            Self::Ceiling(_) => Disposition::Halt,
            Self::Store(_)
            | Self::Bus(_)
            | Self::Merge { .. }
            | Self::UnknownMetric { .. }
            | Self::UnknownVersion { .. }
            | Self::Parameters(_)
            | Self::TooMuch { .. }
            | Self::Overlapping(_)
            | Self::Unaligned { .. }
            | Self::TooManyClients(_)
            | Self::TooManyOfOne(_)
            | Self::Busy
            | Self::TooManyLogins(_)
            | Self::Request(_)
            | Self::MediaType
            | Self::TooLarge(_)
            | Self::UnknownDeadLetter(_)
            | Self::UnknownOrder(_)
            | Self::UnknownGeneration(_)
            | Self::GenerationServed { .. }
            | Self::GenerationBehind { .. } => Disposition::Fail,
        }
    }
}
