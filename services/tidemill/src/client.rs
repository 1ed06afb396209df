//! A client of a running suite: sends events as a patient sender does, and
//! reads the results.

mod answers;
mod error;
mod keys;
mod lake;
mod load;
mod service;
mod told;
mod whose;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use tidemill_events::TraceParent;
use tokio::time::{Instant, sleep};
use url::Url;

use service::Found;
use told::{cause, told};

pub use answers::{BatchVerdict, Books, HourOutcomes, OneSeries, Outcomes, PointOfSeries, Series, SourceOutcomes};
pub use error::ClientError;
pub use keys::Keys;
pub use lake::LakeClient;
pub use load::{LiveBytes, Offer};
pub use service::SuiteService;

/// How long a request is tried again before the sender gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same, for a person who waits.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Where reporting listens unless it is told otherwise.
const REPORTING_PORT: u16 = 7080;

/// Somebody who does not answer yet.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What was called.
    pub url: Url,
    /// The last failure.
    pub reason: String,
    /// How long it is tried in all, as it looks now.
    pub patience: Duration,
}

/// A client of a running suite.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    ingestion: Url,
    reporting: Url,
    keys: Keys,
    patience: Duration,
    /// The same where every connection so far was refused.
    patience_with_refusal: Duration,
    /// What was tried in vain so far; clones share it.
    trouble: Arc<Mutex<Option<Trouble>>>,
    /// The history that everything sent belongs to.
    backfill: Option<&'static str>,
    /// Reporting's address was not named, but taken from ingestion's.
    is_reporting_guessed: bool,
}

impl Client {
    /// A client for a suite at these addresses.
    pub fn new(ingestion: Url, reporting: Url, keys: Keys) -> Self {
        tidemill_service::install_crypto();
        Self {
            http: reqwest::Client::new(),
            ingestion,
            reporting,
            keys,
            patience: PATIENCE,
            patience_with_refusal: PATIENCE,
            trouble: Arc::default(),
            backfill: None,
            is_reporting_guessed: false,
        }
    }

    /// A client for a suite whose ingestion is there. Reporting is at port 7080
    /// of the same host unless it is named, and of several keys of a role the
    /// first is used.
    ///
    /// # Errors
    /// [`ClientError::NoHost`].
    pub fn of_suite(ingestion: Url, reporting: Option<Url>, keys: &Keys) -> Result<Self, ClientError> {
        let is_reporting_guessed = reporting.is_none();
        let reporting = match reporting {
            Some(reporting) => reporting,
            None => {
                let mut beside = ingestion.clone();
                beside.set_port(Some(REPORTING_PORT)).map_err(|()| ClientError::NoHost { url: ingestion.clone() })?;
                beside
            }
        };
        let first = |entries: &Option<String>| entries.as_deref().and_then(Keys::first);
        let keys = Keys { write: first(&keys.write), read: first(&keys.read) };
        Ok(Self { is_reporting_guessed, ..Self::new(ingestion, reporting, keys) })
    }

    /// The same client, which gives a request up after so long.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, patience_with_refusal: patience, ..self }
    }

    /// The same client, which gives a request up after so long if every connection
    /// for it is refused.
    pub fn with_patience_with_refusal(self, patience: Duration) -> Self {
        Self { patience_with_refusal: patience, ..self }
    }

    /// Who does not answer yet, if it waits for somebody.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The same client, which sends everything as history of this name.
    pub fn with_backfill(self, name: &'static str) -> Self {
        Self { backfill: Some(name), ..self }
    }

    /// A client of reporting alone, for a person who waits: it gives up soon.
    pub fn of_reporting(reporting: Url, key: Option<String>) -> Self {
        let keys = Keys { write: None, read: key };
        Self::new(reporting.clone(), reporting, keys).with_patience(SHORT_PATIENCE)
    }

    /// The same client with another server to read from.
    pub fn with_reporting(&self, reporting: Url) -> Self {
        Self { reporting, is_reporting_guessed: false, ..self.clone() }
    }

    /// Makes sure that no other service of a suite is where ingestion should be. What
    /// does not say what it is passes: a proxy may let events through and no more.
    ///
    /// # Errors
    /// [`ClientError::OtherService`].
    pub async fn confirm_ingestion(&self) -> Result<(), ClientError> {
        let (wanted, url) = (SuiteService::Ingestion, self.ingestion.clone());
        match service::found_at(&self.http, &url).await {
            Found::Service(found) if found != wanted.to_string() => {
                Err(ClientError::OtherService { url, wanted, found })
            }
            _ => Ok(()),
        }
    }

    /// An error, or what is behind it: that reporting is not where it was asked.
    async fn explained(&self, error: ClientError) -> ClientError {
        let (wanted, url) = (SuiteService::Reporting, self.reporting.clone());
        let is_strange = match &error {
            ClientError::Refused { status, body, .. } => service::knows_no_such_path(*status, body),
            ClientError::Malformed { .. } => true,
            _ => false,
        };
        if !is_strange {
            return error;
        }
        match service::found_at(&self.http, &url).await {
            Found::Service(found) if found != wanted.to_string() => ClientError::OtherService { url, wanted, found },
            Found::Stranger => {
                ClientError::OtherService { url, wanted, found: "something that is no service of Tidemill".into() }
            }
            Found::Service(_) | Found::Nobody => error,
        }
    }

    /// Makes sure that a reporting which nobody named belongs to the suite of
    /// this ingestion. Where it does not say whose it is, `is_strict` decides.
    ///
    /// # Errors
    /// [`ClientError::OtherSuite`], and those of a request.
    pub async fn confirm_reporting(&self, is_strict: bool) -> Result<(), ClientError> {
        if !self.is_reporting_guessed {
            return Ok(());
        }
        let health: serde_json::Value = self.get("/v1/health").await?;
        let found = health["links"]["ingestion"].as_str().and_then(|link| Url::parse(link).ok());
        if found.as_ref().map_or(!is_strict, |found| whose::is_same(found, &self.ingestion)) {
            return Ok(());
        }
        let told = whose::told(&self.reporting, found.as_ref());
        Err(ClientError::OtherSuite { ingestion: self.ingestion.clone(), told })
    }

    /// Sends NDJSON, again and again while the suite is busy or away; a
    /// repetition is harmless, since events carry their ids. Individual events
    /// may be refused; the whole may not.
    pub async fn send(
        &self,
        lines: Bytes,
        compress: bool,
        trace: Option<TraceParent>,
    ) -> Result<BatchVerdict, ClientError> {
        let url = join(&self.ingestion, "/v1/events");
        let body = if compress { zstd::bulk::compress(&lines, 1).map(Bytes::from).ok() } else { None };
        let encoding = body.is_some().then_some("zstd");
        let body = body.unwrap_or(lines);
        self.patiently(&url, || {
            let mut request =
                self.http.post(url.clone()).header(header::CONTENT_TYPE, "application/x-ndjson").body(body.clone());
            if let Some(encoding) = encoding {
                request = request.header(header::CONTENT_ENCODING, encoding);
            }
            request = with_key(request, self.keys.write.as_ref());
            if let Some(name) = self.backfill {
                request = request.header("tidemill-backfill", name);
            }
            if let Some(trace) = trace {
                request = request.header("traceparent", trace.to_string());
            }
            request
        })
        .await
    }

    /// The books.
    pub async fn books(&self) -> Result<Books, ClientError> {
        self.get("/v1/books").await
    }

    /// The books of one source, however many others there are.
    pub async fn books_of(&self, source: &str) -> Result<Outcomes, ClientError> {
        let name: String = url::form_urlencoded::byte_serialize(source.as_bytes()).collect();
        Ok(self.get::<Books>(&format!("/v1/books?source={name}")).await?.of(source))
    }

    /// Any of reporting's JSON answers.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = join(&self.reporting, path);
        let answer = self.patiently(&url, || with_key(self.http.get(url.clone()), self.keys.read.as_ref())).await;
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => self.explained(error).await,
        };
        Err(match error {
            ClientError::Unavailable { url, reason } if self.is_reporting_guessed => {
                let hint =
                    format!("{reason}; reporting was looked for there, as --reporting-url does not say where it is");
                ClientError::Unavailable { url, reason: hint }
            }
            other => other,
        })
    }

    /// Posts JSON to reporting, and again while it is busy or away: for what
    /// may be repeated.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let url = join(&self.reporting, path);
        let post = || with_key(self.http.post(url.clone()).json(body), self.keys.read.as_ref());
        match self.patiently(&url, post).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.explained(error).await),
        }
    }

    async fn patiently<T: DeserializeOwned>(
        &self,
        url: &Url,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let begun = Instant::now();
        let mut patience = self.patience_with_refusal.min(self.patience);
        let mut wait = Duration::from_millis(100);
        loop {
            let (reason, retry_after) = match once(url, request()).await? {
                RequestOutcome::Answered(answer) => {
                    self.set_trouble(None);
                    return Ok(answer);
                }
                RequestOutcome::Again { reason, after, is_refused } => {
                    // Somebody is there.
                    patience = if is_refused { patience } else { self.patience };
                    (reason, after)
                }
            };
            if begun.elapsed() > patience {
                return Err(ClientError::Unavailable { url: url.clone(), reason });
            }
            self.set_trouble(Some(Trouble { url: url.clone(), reason, patience }));
            sleep(retry_after.unwrap_or(wait).min(Duration::from_secs(5))).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }
}

/// What came of one request.
enum RequestOutcome<T> {
    /// The answer.
    Answered(T),
    /// None that helps: it may be repeated.
    Again {
        /// Why.
        reason: String,
        /// When, if the suite says so.
        after: Option<Duration>,
        /// Whether nobody listens at the address.
        is_refused: bool,
    },
}

/// Sends one request. What no repetition would mend is an error.
async fn once<T: DeserializeOwned>(
    url: &Url,
    request: reqwest::RequestBuilder,
) -> Result<RequestOutcome<T>, ClientError> {
    let answer = match request.timeout(REQUEST_TIMEOUT).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let is_refused = told::is_refused(&error);
            return Ok(RequestOutcome::Again { reason: cause(&error), after: None, is_refused });
        }
    };
    let status = answer.status();
    let after =
        answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let body = answer.text().await.unwrap_or_default();
    let short = || body.chars().take(500).collect::<String>();
    match status {
        // All events of a batch were refused: each has its verdict.
        s if s.is_success() || (s == StatusCode::UNPROCESSABLE_ENTITY && body.contains("\"rejected\"")) => {
            serde_json::from_str(&body)
                .map(RequestOutcome::Answered)
                .map_err(|e| ClientError::Malformed { url: url.clone(), reason: format!("{e}: {}", short()) })
        }
        s if s == StatusCode::TOO_MANY_REQUESTS || s.is_server_error() => {
            Ok(RequestOutcome::Again { reason: told(&body), after, is_refused: false })
        }
        _ => Err(ClientError::Refused { url: url.clone(), status, body }),
    }
}

fn with_key(request: reqwest::RequestBuilder, key: Option<&String>) -> reqwest::RequestBuilder {
    match key {
        Some(key) => request.bearer_auth(key),
        None => request,
    }
}

/// `path` on the server of `base`. The base was read as a URL with a host, so
/// joining an absolute path cannot fail.
fn join(base: &Url, path: &str) -> Url {
    base.join(path).unwrap_or_else(|_| base.clone())
}

#[cfg(test)]
mod tests;
