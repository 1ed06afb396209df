//! What the routes share.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tidemill_domain::{Currency, SharedClock, Timestamp};

use super::turns::BulkTurns;
use crate::{
    error::Error,
    reference::{Record, RecordFields, RecordVerdict, Reference},
    store::Store,
};

/// Bytes of one record as it is written: far more than a valid one takes.
pub(super) const RECORD_BYTES: usize = 64 << 10;

/// What the routes work on.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) reference: Arc<Reference>,
    pub(crate) clock: SharedClock,
    pub(crate) lead_millis: i64,
    /// The base currency.
    pub(crate) base: Currency,
    pub(crate) turns: BulkTurns,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}

impl Api {
    /// From when a change may be valid that is made now.
    pub(crate) fn earliest(&self) -> Timestamp {
        self.clock.now().plus_millis(self.lead_millis)
    }

    pub(crate) async fn accept(&self, records: &[Record], earliest: Timestamp) -> Result<Vec<RecordVerdict>, Error> {
        let verdicts = self.store.accept(records, earliest).await?;
        // Other replicas look within a second; this one need not wait.
        if let Err(error) = self.reference.refresh().await {
            tracing::debug!(%error, "the change will be seen at the next look");
        }
        Ok(verdicts)
    }
}

pub(super) fn body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Error> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
        _ => Error::Body(rejection.body_text()),
    })
}

pub(super) fn fields(json: &[u8]) -> Result<RecordFields, Error> {
    serde_json::from_slice(json).map_err(|e| Error::Body(e.to_string()))
}
