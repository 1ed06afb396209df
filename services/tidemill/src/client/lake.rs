//! Questions to the lake.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use url::Url;

use super::{ClientError, join, told, with_key};

/// The lake says itself when it gives a question up.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// A client of the lake's API. It asks once: a person waits, and may ask again.
#[derive(Debug, Clone)]
pub struct LakeClient {
    http: reqwest::Client,
    url: Url,
    key: Option<String>,
    timeout: Duration,
}

impl LakeClient {
    /// A client of the lake at this address.
    pub fn new(url: Url, key: Option<String>) -> Self {
        tidemill_service::install_crypto();
        Self { http: reqwest::Client::new(), url, key, timeout: TIMEOUT }
    }

    /// The same client, which gives a question up after so long.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// An answer, whatever its form.
    ///
    /// # Errors
    /// Nobody answers, or the question is refused.
    pub async fn get(&self, path: &str) -> Result<Bytes, ClientError> {
        let url = join(&self.url, path);
        self.send(&url, self.http.get(url.clone())).await
    }

    /// The answer to a body of JSON, whatever its form.
    ///
    /// # Errors
    /// Nobody answers, or the question is refused.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Bytes, ClientError> {
        let url = join(&self.url, path);
        self.send(&url, self.http.post(url.clone()).json(body)).await
    }

    /// Ends something.
    ///
    /// # Errors
    /// Nobody answers, or it is refused.
    pub async fn delete(&self, path: &str) -> Result<Bytes, ClientError> {
        let url = join(&self.url, path);
        self.send(&url, self.http.delete(url.clone())).await
    }

    async fn send(&self, url: &Url, request: reqwest::RequestBuilder) -> Result<Bytes, ClientError> {
        let away = |error: reqwest::Error| ClientError::Unavailable { url: url.clone(), reason: told::cause(&error) };
        let answer = with_key(request, self.key.as_ref()).timeout(self.timeout).send().await.map_err(away)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(away)?;
        if status.is_success() {
            return Ok(body);
        }
        Err(ClientError::Refused { url: url.clone(), status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}
