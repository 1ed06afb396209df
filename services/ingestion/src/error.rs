//! Why a request, or one event of it, is not taken in.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tidemill_domain::Code;
use tidemill_events::StreamName;
use tidemill_service::{FieldError, Problem, access::Denied};

/// The longest text from outside that goes into an answer, a header or a log.
const MAX_TEXT: usize = 400;
/// Seconds in which later stages have caught up a little.
const BACKLOG_RETRY: u64 = 2;

/// A refusal. Its [`code`](Self::code) is in the problem's type, in the dead
/// letter and in the metric's label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// No key is in its body, or none that may send.
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("pages of {0} may not send events")]
    ForbiddenOrigin(String),

    #[error("{0}")]
    UnsupportedMediaType(String),
    #[error("content encoding {0} is not one of gzip, zstd, lz4")]
    UnsupportedEncoding(String),
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the body inflates to more than {limit} bytes")]
    InflatedTooLarge { limit: usize },
    #[error("the request holds more than {limit} events")]
    TooManyEvents { limit: usize },
    #[error("the body did not arrive within {seconds} s")]
    BodyTimeout { seconds: u64 },
    #[error("the body does not inflate: {0}")]
    MalformedEncoding(String),
    #[error("{0}")]
    MalformedBody(String),
    #[error("header {header}: {detail}")]
    MalformedHeader { header: &'static str, detail: String },

    #[error("{detail}")]
    MalformedJson { pointer: String, detail: String },
    #[error("a key occurs twice in one object")]
    DuplicateKey { pointer: String },
    #[error("a text holds U+0000, which no text may")]
    NullCharacter { pointer: String },
    #[error("arrays and objects are nested too deeply")]
    TooDeep { pointer: String },
    #[error("the number has more digits than a reader keeps; send it as a string")]
    ImpreciseNumber { pointer: String },
    #[error("the event is larger than {limit} bytes")]
    EventTooLarge { limit: usize },
    #[error("the event's attributes are not as CloudEvents has them: {}", first(.0))]
    InvalidEvent(Vec<FieldError>),
    #[error("the source {0} is one of the suite's own, which no event that is sent may claim")]
    ReservedSource(String),
    #[error("no schema is registered for the event type {0}")]
    UnknownType(String),
    #[error("the event's data is not as its schema has it: {}", first(.0))]
    SchemaViolation(Vec<FieldError>),

    #[error("the key has used up its events for now")]
    RateLimited { retry_after: u64 },
    #[error("too many requests of this address had no valid key")]
    TooManyStrangers { retry_after: u64 },
    #[error("{stream} waits for its readers: later stages are behind")]
    Backlog { stream: StreamName },
    #[error("as many requests as fit are being worked on")]
    Busy,
    #[error("the log could not be written")]
    LogUnavailable,
    #[error("the stream of dead letters is full")]
    DeadLettersFull,
    #[error("a fault of ours")]
    Internal,
}

impl Error {
    /// A wrong attribute or member of an event.
    pub(crate) fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::InvalidEvent(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// The stable code.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Denied(denied) => denied.code(),
            Self::ForbiddenOrigin(_) => Code::ForbiddenOrigin,
            Self::UnsupportedMediaType(_) => Code::UnsupportedMediaType,
            Self::UnsupportedEncoding(_) => Code::UnsupportedEncoding,
            Self::BodyTooLarge { .. } => Code::BodyTooLarge,
            Self::InflatedTooLarge { .. } => Code::InflatedTooLarge,
            Self::TooManyEvents { .. } => Code::TooManyEvents,
            Self::BodyTimeout { .. } => Code::BodyTimeout,
            Self::MalformedEncoding(_) => Code::MalformedEncoding,
            Self::MalformedBody(_) => Code::MalformedBody,
            Self::MalformedHeader { .. } => Code::MalformedHeader,
            Self::MalformedJson { .. } => Code::MalformedJson,
            Self::DuplicateKey { .. } => Code::DuplicateKey,
            Self::NullCharacter { .. } => Code::NullCharacter,
            Self::TooDeep { .. } => Code::TooDeep,
            Self::ImpreciseNumber { .. } => Code::ImpreciseNumber,
            Self::EventTooLarge { .. } => Code::EventTooLarge,
            Self::InvalidEvent(_) => Code::InvalidEvent,
            Self::ReservedSource(_) => Code::ReservedSource,
            Self::UnknownType(_) => Code::UnknownType,
            Self::SchemaViolation(_) => Code::SchemaViolation,
            Self::RateLimited { .. } | Self::TooManyStrangers { .. } => Code::RateLimited,
            Self::Backlog { .. } => Code::Backlog,
            Self::Busy => Code::Busy,
            Self::LogUnavailable => Code::LogUnavailable,
            Self::DeadLettersFull => Code::DeadLettersFull,
            Self::Internal => Code::Internal,
        }
    }

    /// JSON Pointer to what is wrong, where it is one place.
    pub(crate) fn pointer(&self) -> Option<&str> {
        match self {
            Self::MalformedJson { pointer, .. }
            | Self::DuplicateKey { pointer }
            | Self::NullCharacter { pointer }
            | Self::TooDeep { pointer }
            | Self::ImpreciseNumber { pointer } => Some(pointer),
            Self::ReservedSource(_) => Some("/source"),
            Self::InvalidEvent(errors) | Self::SchemaViolation(errors) => errors.first().map(|e| e.pointer.as_str()),
            Self::Denied(_)
            | Self::ForbiddenOrigin(_)
            | Self::UnsupportedMediaType(_)
            | Self::UnsupportedEncoding(_)
            | Self::BodyTooLarge { .. }
            | Self::InflatedTooLarge { .. }
            | Self::TooManyEvents { .. }
            | Self::BodyTimeout { .. }
            | Self::MalformedEncoding(_)
            | Self::MalformedBody(_)
            | Self::MalformedHeader { .. }
            | Self::EventTooLarge { .. }
            | Self::UnknownType(_)
            | Self::RateLimited { .. }
            | Self::TooManyStrangers { .. }
            | Self::Backlog { .. }
            | Self::Busy
            | Self::LogUnavailable
            | Self::DeadLettersFull
            | Self::Internal => None,
        }
    }

    /// About how many bytes its list of wrong places takes.
    pub(crate) fn fields_len(&self) -> usize {
        let (Self::InvalidEvent(errors) | Self::SchemaViolation(errors)) = self else { return 0 };
        errors.iter().map(|e| size_of::<FieldError>() + e.pointer.len() + e.detail.len()).sum()
    }

    /// The same error, its place below `prefix`.
    pub(crate) fn within(mut self, prefix: &str) -> Self {
        if let Self::MalformedJson { pointer, .. }
        | Self::DuplicateKey { pointer }
        | Self::NullCharacter { pointer }
        | Self::TooDeep { pointer }
        | Self::ImpreciseNumber { pointer } = &mut self
        {
            pointer.insert_str(0, prefix);
        }
        self
    }

    /// The same error about an event, each of its places under another name.
    pub(crate) fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        if let Self::InvalidEvent(errors) | Self::SchemaViolation(errors) = &mut self {
            errors.iter_mut().for_each(|error| error.pointer = rename(&error.pointer));
        }
        self
    }

    /// What the client is told.
    pub(crate) fn problem(&self) -> Problem {
        use StatusCode as S;
        let status = match self {
            Self::Denied(denied) => return denied.problem(),
            Self::ForbiddenOrigin(_) => S::FORBIDDEN,
            Self::UnsupportedMediaType(_) => S::UNSUPPORTED_MEDIA_TYPE,
            Self::UnsupportedEncoding(_) => S::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => S::PAYLOAD_TOO_LARGE,
            Self::InflatedTooLarge { .. } => S::PAYLOAD_TOO_LARGE,
            Self::TooManyEvents { .. } => S::PAYLOAD_TOO_LARGE,
            Self::EventTooLarge { .. } => S::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout { .. } => S::REQUEST_TIMEOUT,
            Self::MalformedEncoding(_) => S::BAD_REQUEST,
            Self::MalformedBody(_) => S::BAD_REQUEST,
            Self::MalformedHeader { .. } => S::BAD_REQUEST,
            Self::MalformedJson { .. } => S::BAD_REQUEST,
            Self::DuplicateKey { .. } => S::BAD_REQUEST,
            Self::NullCharacter { .. } => S::BAD_REQUEST,
            Self::TooDeep { .. } => S::BAD_REQUEST,
            Self::ImpreciseNumber { .. } => S::BAD_REQUEST,
            Self::InvalidEvent(_) => S::UNPROCESSABLE_ENTITY,
            Self::ReservedSource(_) => S::UNPROCESSABLE_ENTITY,
            Self::UnknownType(_) => S::UNPROCESSABLE_ENTITY,
            Self::SchemaViolation(_) => S::UNPROCESSABLE_ENTITY,
            Self::RateLimited { .. } | Self::TooManyStrangers { .. } | Self::Backlog { .. } => S::TOO_MANY_REQUESTS,
            Self::Busy => S::SERVICE_UNAVAILABLE,
            Self::LogUnavailable => S::SERVICE_UNAVAILABLE,
            Self::DeadLettersFull => S::SERVICE_UNAVAILABLE,
            Self::Internal => S::INTERNAL_SERVER_ERROR,
        };
        let problem = Problem::new(status, self.code()).detail(self.to_string());
        let problem = match self.retry_after() {
            Some(seconds) => problem.retry_after(seconds),
            None => problem,
        };
        match (self, self.pointer()) {
            (Self::InvalidEvent(errors) | Self::SchemaViolation(errors), _) => problem.errors(errors.clone()),
            (_, Some(pointer)) => {
                problem.errors(vec![FieldError { pointer: pointer.into(), detail: self.to_string() }])
            }
            (_, None) => problem,
        }
    }

    /// Seconds after which the same request may succeed.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after } | Self::TooManyStrangers { retry_after } => Some(*retry_after),
            Self::Busy => Some(1),
            Self::Backlog { .. } => Some(BACKLOG_RETRY),
            Self::LogUnavailable | Self::DeadLettersFull => Some(2),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Denied(denied) = self {
            return denied.into_response();
        }
        let mut response = self.problem().into_response();
        if let Self::UnsupportedEncoding(_) = self {
            let known = HeaderValue::from_static("gzip, zstd, lz4");
            response.headers_mut().insert(header::ACCEPT_ENCODING, known);
        }
        response
    }
}

/// A text from outside, cut to a length that answers and headers can carry.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

fn first(errors: &[FieldError]) -> String {
    errors.first().map(|e| format!("{} {}", e.pointer, e.detail)).unwrap_or_default()
}
