//! Which service is at an address.

use std::{fmt, time::Duration};

use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

/// How long a service may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// The names of all of them, in what they say of themselves, begin like that.
const SUITE: &str = "Tidemill ";

/// A service that commands ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuiteService {
    /// It takes events in.
    Ingestion,
    /// It answers questions.
    Reporting,
}

impl SuiteService {
    /// The option that says where it is.
    pub(super) const fn option(self) -> &'static str {
        match self {
            Self::Ingestion => "--ingestion-url",
            Self::Reporting => "--reporting-url",
        }
    }
}

impl fmt::Display for SuiteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingestion => "ingestion",
            Self::Reporting => "reporting",
        })
    }
}

/// Who is at an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A service of a suite, by its name.
    Service(String),
    /// Something that answers, and does not say that it is one.
    Stranger,
    /// Nobody who answers.
    Nobody,
}

/// Who is at an address, by what they say of themselves in their OpenAPI document.
pub(super) async fn found_at(http: &reqwest::Client, base: &Url) -> Found {
    #[derive(Deserialize)]
    struct Described {
        info: Info,
    }
    #[derive(Deserialize)]
    struct Info {
        title: String,
    }
    let Ok(url) = base.join("/openapi.json") else { return Found::Nobody };
    let Ok(answer) = http.get(url).timeout(PATIENCE).send().await else { return Found::Nobody };
    let Ok(body) = answer.bytes().await else { return Found::Nobody };
    let described: Option<Described> = serde_json::from_slice(&body).ok();
    let name = described.as_ref().and_then(|described| described.info.title.strip_prefix(SUITE));
    // It is shown, whatever it says.
    name.map_or(Found::Stranger, |name| Found::Service(name.chars().take(40).collect()))
}

/// Whether an answer says that the server has no such route, and not that it lacks
/// what the route was asked for.
pub(super) fn knows_no_such_path(status: StatusCode, body: &str) -> bool {
    #[derive(Deserialize)]
    struct Coded {
        code: String,
    }
    let code = serde_json::from_str::<Coded>(body).map(|problem| problem.code);
    match status {
        // Another server than ours gives no code.
        StatusCode::NOT_FOUND => code.map_or(true, |code| code == "not_found"),
        StatusCode::METHOD_NOT_ALLOWED => true,
        _ => false,
    }
}
