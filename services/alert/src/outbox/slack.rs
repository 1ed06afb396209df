//! Slack's incoming webhooks: messages in Block Kit, and what its answers mean.
//!
//! Limits are those of <https://docs.slack.dev/reference/block-kit/blocks>; the
//! escapes those of "Formatting text for app surfaces".

use std::{fmt, time::Duration};

use reqwest::{Client, StatusCode, Url, header, redirect};
use serde_json::{Value, json};
use tidemill_events::TraceParent;
use tidemill_service::{StartError, acts, install_crypto};

use crate::{
    alert::FiredAlert,
    config::{AlertLinksConfig, SlackConfig},
    rules::figure,
};

const HEADER_LIMIT: usize = 150;
const SECTION_LIMIT: usize = 3000;
const FIELD_LIMIT: usize = 2000;
const FALLBACK_LIMIT: usize = 3000;
const MAX_FIELDS: usize = 10;
/// Alerts that a summary names; the rest it counts.
const NAMED_IN_SUMMARY: usize = 10;
/// The longest wait that an answer can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PostFailure {
    /// It may arrive later: Slack is away, busy or rate-limiting.
    Transient {
        /// What happened, without the webhook's address.
        reason: String,
        /// How long Slack asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// Slack will never take it.
    Refused(String),
}

/// An incoming webhook.
#[derive(Clone)]
pub(crate) struct Webhook {
    client: Client,
    url: Url,
}

impl fmt::Debug for Webhook {
    /// Without the path: who knows it can post.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.host()).finish_non_exhaustive()
    }
}

impl Webhook {
    /// The one that the configuration names, if any.
    pub(crate) fn new(config: &SlackConfig) -> Result<Option<Self>, StartError> {
        let Some(address) = config.webhook() else { return Ok(None) };
        let url = Url::parse(address).map_err(|e| StartError::new(format!("slack.webhook_url: {e}")))?;
        install_crypto();
        let client = Client::builder()
            .timeout(config.timeout())
            .connect_timeout(config.timeout())
            .redirect(redirect::Policy::none())
            .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| StartError::new(format!("slack: {}", e.without_url())))?;
        Ok(Some(Self { client, url }))
    }

    /// Where it is.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Posts a message, once; answers the HTTP status, also of a failure.
    pub(super) async fn post(
        &self,
        message: &Value,
        trace: Option<TraceParent>,
    ) -> (Option<u16>, Result<(), PostFailure>) {
        let mut request = self.client.post(self.url.clone()).json(message);
        if let Some(trace) = trace {
            request = request.header("traceparent", trace.to_string());
        }
        match request.send().await {
            Ok(response) => (Some(response.status().as_u16()), outcome_of(response).await),
            Err(error) => {
                let reason = source_of(&error.without_url());
                (None, Err(PostFailure::Transient { reason, retry_after: None }))
            }
        }
    }
}

/// The innermost cause: it says "connection refused" where the others say
/// "error sending request".
fn source_of(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), source_of)
}

async fn outcome_of(response: reqwest::Response) -> Result<(), PostFailure> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    // Slack says in a word what it does not like (`invalid_blocks`).
    let word: String = response.text().await.unwrap_or_default().chars().take(200).collect();
    let reason = format!("{status}: {word}");
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(PostFailure::Transient { reason, retry_after })
        }
        status if status.is_client_error() => Err(PostFailure::Refused(reason)),
        _ => Err(PostFailure::Transient { reason, retry_after }),
    }
}

/// A message about one alert.
pub(super) fn message(alert: &FiredAlert, links: &AlertLinksConfig) -> Value {
    let firing = &alert.firing;
    let title = format!("{} {}", symbol(&firing.severity), firing.title);
    let dimensions = firing.dimensions.iter().map(|(name, value)| (name, value.clone()));
    let figures = firing.values.iter().map(|(name, value)| (name, figure(value)));
    let fields: Vec<Value> = dimensions
        .chain(figures)
        .take(MAX_FIELDS)
        .map(|(name, value)| mrkdwn(&format!("*{}*\n", escape(name, 200)), &one_line(&value), FIELD_LIMIT))
        .collect();
    let mut blocks = vec![plain_header(&title), section(&firing.summary)];
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    blocks.push(context(&format!(
        "{} · rule {} · version {} · {}",
        firing.severity, firing.rule, firing.rule_version, firing.event_time
    )));
    blocks.extend(buttons(alert, links));
    json!({ "text": escape(&format!("{title}: {}", firing.summary), FALLBACK_LIMIT), "blocks": blocks })
}

/// One message about alerts of one rule that are too many to tell one by one.
pub(super) fn summary(alerts: &[FiredAlert], links: &AlertLinksConfig) -> Value {
    let (rule, severity) = alerts.first().map_or(("", ""), |alert| (&alert.firing.rule, &alert.firing.severity));
    let title = format!("{} {rule}: {} more alerts", symbol(severity), alerts.len());
    let mut lines: Vec<String> = alerts
        .iter()
        .take(NAMED_IN_SUMMARY)
        .map(|alert| format!("• {} ({})", cut(&alert.firing.title, 200), alert.firing.event_time))
        .collect();
    if alerts.len() > NAMED_IN_SUMMARY {
        lines.push(format!("and {} others", alerts.len() - NAMED_IN_SUMMARY));
    }
    let note = "More alerts than this rule may send in a minute: these are told together. All are recorded.";
    let mut blocks = vec![plain_header(&title), section(&lines.join("\n")), context(note)];
    blocks.extend(actions(links.dashboard.as_deref().map(|url| button("Dashboard", url)).into_iter().collect()));
    json!({ "text": escape(&title, FALLBACK_LIMIT), "blocks": blocks })
}

fn symbol(severity: &str) -> &'static str {
    match severity {
        "critical" => "\u{1f6a8}",
        "warning" => "\u{26a0}\u{fe0f}",
        _ => "\u{2139}\u{fe0f}",
    }
}

fn plain_header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": cut(text, HEADER_LIMIT), "emoji": false } })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": mrkdwn("", text, SECTION_LIMIT) })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [mrkdwn("", text, FIELD_LIMIT)] })
}

fn buttons(alert: &FiredAlert, links: &AlertLinksConfig) -> Option<Value> {
    let address = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
    // A trace that nobody recorded cannot be looked at.
    let trace = alert.firing.trace.filter(|trace| trace.is_sampled()).zip(address(&links.jaeger));
    let trace = trace.map(|(trace, jaeger)| {
        button("Trace", &format!("{}/trace/{}", jaeger.trim_end_matches('/'), trace.trace_id_hex()))
    });
    let dashboard = address(&links.dashboard).map(|url| button("Dashboard", &url));
    // Figures of the lake have both.
    let table = alert.firing.dimensions.get("table").filter(|_| alert.firing.dimensions.contains_key("measure"));
    let lake = table.zip(address(&links.lake)).and_then(|(table, lake)| {
        let figures = format!("{}/v1/quality", lake.trim_end_matches('/'));
        Some(button("Lake", Url::parse_with_params(&figures, [("table", table)]).ok()?.as_str()))
    });
    actions(trace.into_iter().chain(dashboard).chain(lake).collect())
}

fn actions(buttons: Vec<Value>) -> Option<Value> {
    (!buttons.is_empty()).then(|| json!({ "type": "actions", "elements": buttons }))
}

fn button(text: &str, url: &str) -> Value {
    json!({ "type": "button", "text": { "type": "plain_text", "text": text }, "url": url })
}

/// `prefix` is mrkdwn already; `text` comes from outside.
fn mrkdwn(prefix: &str, text: &str, limit: usize) -> Value {
    let text = format!("{prefix}{}", escape(text, limit - prefix.chars().count()));
    // Verbatim: names, channels and addresses in it are not made into links.
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

/// A text without control characters: a dimension's value can neither begin a
/// line that looks like ours nor turn one around.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if acts(c) { ' ' } else { c }).collect()
}

/// A text in which nothing means anything to Slack, of at most `limit`
/// characters; an escape is never cut in two, and a blank text becomes a dash.
/// Lines stay.
fn escape(text: &str, limit: usize) -> String {
    let is_blank = text.chars().all(|c| c.is_whitespace() || acts(c));
    let text = if is_blank { "–" } else { text };
    let mut escaped = String::with_capacity(text.len());
    let mut length = 0;
    for character in text.chars() {
        let plain = [character].iter().collect::<String>();
        let piece = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ if character != '\n' && acts(character) => " ",
            _ => &plain,
        };
        // One is left for the ellipsis.
        if length + piece.len().min(5) + 1 > limit {
            escaped.push('…');
            break;
        }
        escaped.push_str(piece);
        length += piece.chars().count();
    }
    escaped
}

/// A text of one line and of at most `limit` characters.
fn cut(text: &str, limit: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= limit {
        return text;
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
