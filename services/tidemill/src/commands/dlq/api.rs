//! Dead letters as reporting's API tells of them.

use serde::Deserialize;
use tidemill_domain::{Clock, SystemClock, Timestamp};

use crate::{
    arguments::DlqFilter,
    client::{Client, ClientError},
};

/// A dead letter, as far as a table shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Letter {
    pub(super) sequence: u64,
    pub(super) service: String,
    pub(super) code: String,
    pub(super) reason: String,
    pub(super) pointer: Option<String>,
    pub(super) source: Option<String>,
    pub(super) event_id: Option<String>,
    pub(super) failed_at: String,
    #[serde(default = "one")]
    pub(super) count: u64,
    #[serde(default = "yes")]
    pub(super) kept: bool,
    pub(super) trace_id: Option<String>,
    pub(super) state: String,
    pub(super) redriven_from: Option<u64>,
    pub(super) raw_sequence: Option<u64>,
    pub(super) failed_again_as: Option<u64>,
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) body_encoding: String,
    #[serde(default)]
    pub(super) history: Vec<Action>,
}

const fn one() -> u64 {
    1
}

const fn yes() -> bool {
    true
}

impl Letter {
    /// How many events it stands for.
    pub(super) fn events(&self) -> String {
        if self.kept { self.count.to_string() } else { format!("{}, not kept", self.count) }
    }
}

/// What was ordered for one, and what came of it.
#[derive(Debug, Deserialize)]
pub(super) struct Action {
    pub(super) number: u64,
    pub(super) letter: u64,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) at: String,
    pub(super) mended: bool,
    pub(super) raw_sequence: Option<u64>,
    pub(super) failed_again_as: Option<u64>,
}

/// A filter's points in time, as the API reads them.
pub(super) fn moments(filter: &DlqFilter) -> [Option<Timestamp>; 2] {
    let now = SystemClock.now();
    [filter.since, filter.until].map(|when| when.map(|when| when.at(now)))
}

/// A filter as parameters of a URL.
pub(super) fn parameters(filter: &DlqFilter) -> Vec<(&'static str, String)> {
    let [since, until] = moments(filter).map(|moment| moment.map(|moment| moment.to_string()));
    let DlqFilter { service, code, source, state, .. } = filter.clone();
    let all = [
        ("service", service),
        ("code", code),
        ("source", source),
        ("since", since),
        ("until", until),
        ("state", state),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

pub(super) fn path(base: &str, parameters: &[(&str, String)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    if query.is_empty() { base.into() } else { format!("{base}?{query}") }
}

/// The reason for which a letter is dead.
pub(super) async fn reason_of(client: &Client, letter: u64) -> Result<(String, String), ClientError> {
    let letter: Letter = client.get(&format!("/v1/dead-letters/{letter}")).await?;
    Ok((letter.code, letter.reason))
}
