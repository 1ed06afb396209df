//! A client of a running suite: sends events as a patient sender does, and
//! reads the results.

mod answers;
mod load;
mod told;
mod whose;

use std::time::Duration;

use bytes::Bytes;
use reqwest::{StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use tidemill_events::TraceParent;
use tokio::time::{Instant, sleep};
use url::Url;

use told::{cause, hint, told};

pub use answers::{BatchVerdict, Books, HourOutcomes, OneSeries, Outcomes, PointOfSeries, Series, SourceOutcomes};
pub use load::{LiveBytes, Offer};

/// How long a request is tried again before the sender gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same, for a person who waits.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Where reporting listens unless it is told otherwise.
const REPORTING_PORT: u16 = 7080;

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

/// The keys of a suite, as far as it needs any.
#[derive(Clone, Default)]
pub struct Keys {
    /// For ingestion: it may write.
    pub write: Option<String>,
    /// For reporting: it may read, or operate.
    pub read: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = |key: &Option<String>| if key.is_some() { "given" } else { "none" };
        write!(f, "Keys(write {}, read {})", given(&self.write), given(&self.read))
    }
}

impl Keys {
    /// The first key of entries as services read them: `NAME KEY` or KEY, with
    /// commas or a line each.
    fn first(entries: &str) -> Option<String> {
        let entries = entries.split([',', '\n']).map(str::trim).filter(|entry| !entry.starts_with('#'));
        entries.filter_map(|entry| entry.split_whitespace().last()).next().map(str::to_owned)
    }
}

/// A client of a running suite.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    ingestion: Url,
    reporting: Url,
    keys: Keys,
    patience: Duration,
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
        Self { patience, ..self }
    }

    /// The same client, which sends everything as history of this name.
    pub fn with_backfill(self, name: &'static str) -> Self {
        Self { backfill: Some(name), ..self }
    }

    /// A client of reporting alone, for a person who waits: it gives up soon.
    pub fn of_reporting(reporting: Url, key: Option<String>) -> Self {
        let keys = Keys { write: None, read: key };
        Self { patience: SHORT_PATIENCE, ..Self::new(reporting.clone(), reporting, keys) }
    }

    /// The same client with another server to read from.
    pub fn with_reporting(&self, reporting: Url) -> Self {
        Self { reporting, is_reporting_guessed: false, ..self.clone() }
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
        answer.map_err(|error| match error {
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
        self.patiently(&url, || with_key(self.http.post(url.clone()).json(body), self.keys.read.as_ref())).await
    }

    async fn patiently<T: DeserializeOwned>(
        &self,
        url: &Url,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + self.patience;
        let mut wait = Duration::from_millis(100);
        loop {
            let (reason, retry_after) = match once(url, request()).await? {
                RequestOutcome::Answered(answer) => return Ok(answer),
                RequestOutcome::Again { reason, after } => (reason, after),
            };
            if Instant::now() > deadline {
                return Err(ClientError::Unavailable { url: url.clone(), reason });
            }
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
    },
}

/// Sends one request. What no repetition would mend is an error.
async fn once<T: DeserializeOwned>(
    url: &Url,
    request: reqwest::RequestBuilder,
) -> Result<RequestOutcome<T>, ClientError> {
    let answer = match request.timeout(REQUEST_TIMEOUT).send().await {
        Ok(answer) => answer,
        Err(error) => return Ok(RequestOutcome::Again { reason: cause(&error), after: None }),
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
            Ok(RequestOutcome::Again { reason: told(&body), after })
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
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn the_first_key_of_a_file_is_found() {
        for entries in ["# Ours\nshop tm_1\napp tm_2\n", "tm_1", " tm_1, tm_2", "\n\nshop\ttm_1"] {
            assert_eq!(Keys::first(entries).as_deref(), Some("tm_1"), "{entries:?}");
        }
        assert_eq!(Keys::first(" ,\n# none\n"), None);
        let keys = Keys { write: Some("tm_secret".into()), read: None };
        assert_eq!(format!("{keys:?}"), "Keys(write given, read none)");
    }

    /// A reporting that answers once, with these links.
    async fn reporting(links: &'static str) -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.expect("a client");
            let mut request = [0; 4096];
            assert!(client.read(&mut request).await.expect("a request") > 0);
            let body = format!(r#"{{"links": {{{links}}}}}"#);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            client.write_all((head + &body).as_bytes()).await.expect("an answer");
        });
        url
    }

    #[tokio::test]
    async fn a_reporting_of_another_suite_is_not_taken_for_ours() {
        let confirm = async |links, is_strict| {
            let ingestion = "http://localhost:7070".parse().expect("a URL");
            let guessed = Client::of_suite(ingestion, None, &Keys::default()).expect("a client");
            let client = Client { reporting: reporting(links).await, ..guessed };
            client.confirm_reporting(is_strict).await.map_err(|error| error.to_string())
        };
        assert_eq!(confirm(r#""ingestion": "http://127.0.0.1:7070""#, true).await, Ok(()));
        assert_eq!(confirm("", false).await, Ok(()));
        let told = confirm("", true).await.expect_err("nobody knows");
        assert!(told.contains("does not say of which suite") && told.contains("--reporting-url"), "{told}");
        let told = confirm(r#""ingestion": "http://127.0.0.1:9070""#, false).await.expect_err("of another");
        assert!(told.contains("of another suite, that of http://127.0.0.1:9070/"), "{told}");
    }
}
