//! What can go wrong with the metrics store.

/// What can go wrong with the metrics store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("metrics_store: {0}")]
    Config(String),
    /// InfluxDB could not be reached or is busy.
    #[error("InfluxDB is not available: {0}")]
    Unavailable(String),
    /// InfluxDB refused the request.
    #[error("InfluxDB refused the request: {0}")]
    Refused(String),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Config(_) | Self::Refused(_) => false,
            Self::Unavailable(_) => true,
        }
    }
}
