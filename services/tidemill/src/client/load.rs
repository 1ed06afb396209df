//! What a load generator needs beside a patient sender: each request once, and
//! the live stream.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use reqwest::header;
use url::Url;

use super::{BatchVerdict, Client, ClientError, RequestOutcome, join, once, told::cause, with_key};

/// What came of a request that was sent once.
#[derive(Debug, Clone)]
pub enum Offer {
    /// The suite took it in.
    Taken(BatchVerdict),
    /// The suite is busy or away: it may be sent again.
    Busy {
        /// Why.
        reason: String,
        /// When, if the suite says so.
        after: Option<Duration>,
    },
}

/// The live stream, in the pieces that come.
pub type LiveBytes = BoxStream<'static, Result<Bytes, ClientError>>;

impl Client {
    /// Where it sends to.
    pub fn ingestion(&self) -> &Url {
        &self.ingestion
    }

    /// Sends NDJSON once, and says what came of it.
    ///
    /// # Errors
    /// Those that no repetition mends.
    pub async fn offer(&self, lines: Bytes) -> Result<Offer, ClientError> {
        let url = join(&self.ingestion, "/v1/events");
        let request = self.http.post(url.clone()).header(header::CONTENT_TYPE, "application/x-ndjson").body(lines);
        Ok(match once(&url, with_key(request, self.keys.write.as_ref())).await? {
            RequestOutcome::Answered(verdict) => Offer::Taken(verdict),
            RequestOutcome::Again { reason, after, .. } => Offer::Busy { reason, after },
        })
    }

    /// The bytes of the live stream (server-sent events), as they come.
    ///
    /// # Errors
    /// When the stream cannot be had, or ends by a failure.
    pub async fn live(&self) -> Result<LiveBytes, ClientError> {
        let url = join(&self.reporting, "/v1/stream");
        let lost = {
            let url = url.clone();
            move |error: reqwest::Error| ClientError::Unavailable { url: url.clone(), reason: cause(&error) }
        };
        let request = self.http.get(url.clone()).header(header::ACCEPT, "text/event-stream");
        let answer = with_key(request, self.keys.read.as_ref()).send().await.map_err(&lost)?;
        let status = answer.status();
        if !status.is_success() {
            let body = answer.text().await.unwrap_or_default();
            return Err(ClientError::Refused { url, status, body });
        }
        Ok(answer.bytes_stream().map(move |chunk| chunk.map_err(&lost)).boxed())
    }
}
