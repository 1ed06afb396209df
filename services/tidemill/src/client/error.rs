//! Why a suite could not be used.

use reqwest::StatusCode;
use url::Url;

use super::{
    SuiteService,
    told::{hint, told},
};

/// Why the suite could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Reporting's address was not given, and the one that was looked at is not
    /// known to be of the same suite.
    #[error("{told}; say where the reporting of {ingestion} is, by --reporting-url")]
    OtherSuite {
        /// Of the suite that is meant.
        ingestion: Url,
        /// Whose reporting was found.
        told: String,
    },
    /// The address cannot be one of a server.
    #[error("{url} names no host")]
    NoHost {
        /// The address.
        url: Url,
    },
    /// Another service is at the address than the one that is asked.
    #[error(
        "{found} is at {url}, and not {wanted}; say where {wanted} is, by {}",
        wanted.option()
    )]
    OtherService {
        /// What was asked.
        url: Url,
        /// The service that was meant.
        wanted: SuiteService,
        /// What is there.
        found: String,
    },
    /// No answer, or none that helps, for as long as the client had patience.
    #[error("{url} does not answer: {reason}")]
    Unavailable {
        /// What was called.
        url: Url,
        /// The last failure.
        reason: String,
    },
    /// The suite refused the request.
    #[error("{url} answered {status}: {}{}", told(body), hint(*status, body))]
    Refused {
        /// What was called.
        url: Url,
        /// HTTP status.
        status: StatusCode,
        /// The answer's beginning.
        body: String,
    },
    /// The answer is not what it should be.
    #[error("{url} gave an answer that cannot be read: {reason}")]
    Malformed {
        /// What was called.
        url: Url,
        /// Why.
        reason: String,
    },
}
