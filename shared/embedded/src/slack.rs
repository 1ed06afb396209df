//! A stand-in for Slack's incoming webhooks, as strict as the real one: it
//! refuses what Slack would refuse, with Slack's words.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// Messages that are kept; earlier ones are forgotten.
const MAX_KEPT: usize = 10_000;

#[derive(Default)]
struct Inner {
    accepted: Vec<(Instant, Value)>,
    traceparents: Vec<String>,
    refused: Vec<String>,
    failures: u32,
}

/// A running endpoint; it ends when dropped.
pub struct SlackStandIn {
    inner: Arc<Mutex<Inner>>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SlackStandIn {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When loopback has no port left.
    #[allow(clippy::panic, reason = "without a port there is nothing to run")]
    pub async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner::default()));
        let app = Router::new().route("/services/{*token}", post(receive)).with_state(inner.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|e| panic!("no port: {e}"));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("no address: {e}"));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Self { inner, address, task }
    }

    /// The webhook's address.
    pub fn webhook_url(&self) -> String {
        format!("http://{}/services/T000/B000/secret", self.address)
    }

    /// The next `n` calls are answered 503, as in an outage.
    pub fn fail_next(&self, n: u32) {
        lock(&self.inner).failures = n;
    }

    /// The messages that were accepted.
    pub fn messages(&self) -> Vec<Value> {
        lock(&self.inner).accepted.iter().map(|(_, message)| message.clone()).collect()
    }

    /// The messages that were accepted, and when.
    pub fn arrivals(&self) -> Vec<(Instant, Value)> {
        lock(&self.inner).accepted.clone()
    }

    /// The trace contexts that came with them.
    pub fn traceparents(&self) -> Vec<String> {
        lock(&self.inner).traceparents.clone()
    }

    /// How many messages were accepted.
    pub fn accepted(&self) -> usize {
        lock(&self.inner).accepted.len()
    }

    /// Why messages were refused; a test expects none.
    pub fn refusals(&self) -> Vec<String> {
        lock(&self.inner).refused.clone()
    }
}

impl Drop for SlackStandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(inner): State<Arc<Mutex<Inner>>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let mut inner = lock(&inner);
    if inner.failures > 0 {
        inner.failures -= 1;
        return (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable");
    }
    match check(&headers, &body) {
        Ok(message) => {
            if inner.accepted.len() == MAX_KEPT {
                inner.accepted.remove(0);
            }
            inner.accepted.push((Instant::now(), message));
            if let Some(parent) = headers.get("traceparent").and_then(|v| v.to_str().ok())
                && inner.traceparents.len() < MAX_KEPT
            {
                inner.traceparents.push(parent.into());
            }
            (StatusCode::OK, "ok")
        }
        Err(why) => {
            if inner.refused.len() < MAX_KEPT {
                inner.refused.push(why);
            }
            (StatusCode::BAD_REQUEST, "invalid_blocks")
        }
    }
}

/// The rules of Slack's Block Kit reference for the blocks that alerts use:
/// at most 50 blocks; a header is plain text of at most 150 characters; a
/// section has text of 1 to 3000 characters or 1 to 10 fields of at most 2000;
/// a context has 1 to 10 elements; a block id is at most 255 characters; and
/// notifications need a `text` fallback.
///
/// One rule is stricter than Slack's. Slack takes markup where alerts mean a
/// text. Here there is none, neither a mention nor a link, since the words of
/// alerts come from events.
fn check(headers: &HeaderMap, body: &[u8]) -> Result<Value, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Err(format!("content type {kind:?}"));
    }
    let message: Value = serde_json::from_slice(body).map_err(|e| format!("invalid_payload: {e}"))?;
    let text = message["text"].as_str().unwrap_or_default();
    if text.is_empty() || text.chars().count() > 40_000 {
        return Err("no_text".into());
    }
    check_escaped(text)?;
    let blocks = message["blocks"].as_array().ok_or("no blocks")?;
    if blocks.is_empty() || blocks.len() > 50 {
        return Err(format!("{} blocks", blocks.len()));
    }
    blocks.iter().try_for_each(check_block)?;
    Ok(message)
}

fn check_block(block: &Value) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{why} in {block}"));
    match block["type"].as_str() {
        Some("header") => check_text(&block["text"], &["plain_text"], 150),
        Some("divider") => Ok(()),
        Some("section") => {
            if !block["text"].is_null() {
                check_text(&block["text"], &["plain_text", "mrkdwn"], 3000)?;
            }
            match block["fields"].as_array() {
                Some(fields) if fields.is_empty() || fields.len() > 10 => fail("1 to 10 fields"),
                Some(fields) => fields.iter().try_for_each(|f| check_text(f, &["plain_text", "mrkdwn"], 2000)),
                None if block["text"].is_null() => fail("neither text nor fields"),
                None => Ok(()),
            }
        }
        Some("context") => match block["elements"].as_array() {
            Some(elements) if !elements.is_empty() && elements.len() <= 10 => {
                elements.iter().try_for_each(|e| check_text(e, &["plain_text", "mrkdwn"], 2000))
            }
            _ => fail("1 to 10 elements"),
        },
        Some("actions") => match block["elements"].as_array() {
            Some(elements) if !elements.is_empty() && elements.len() <= 25 => elements.iter().try_for_each(|e| {
                check_text(&e["text"], &["plain_text"], 75)?;
                match e["url"].as_str() {
                    Some(url) if url.starts_with("http") && url.len() <= 3000 => Ok(()),
                    _ => Err(format!("a button without a url in {e}")),
                }
            }),
            _ => fail("1 to 25 elements"),
        },
        _ => fail("an unknown block type"),
    }
}

fn check_text(text: &Value, kinds: &[&str], limit: usize) -> Result<(), String> {
    let length = text["text"].as_str().map_or(0, |t| t.chars().count());
    let kind = text["type"].as_str().unwrap_or_default();
    if !kinds.contains(&kind) || !(1..=limit).contains(&length) {
        return Err(format!("text object {text}"));
    }
    let said = text["text"].as_str().unwrap_or_default();
    if kind == "mrkdwn" {
        if text["verbatim"] != true {
            return Err(format!("names and addresses would become links in {text}"));
        }
        return check_escaped(said);
    }
    if said.chars().any(acts) { Err(format!("not one plain line: {said:?}")) } else { Ok(()) }
}

/// Markup that is not escaped, and characters that act, are refused.
fn check_escaped(text: &str) -> Result<(), String> {
    let escapes = ["&amp;", "&lt;", "&gt;"];
    let escaped = |at: usize| text.get(at..).is_some_and(|rest| escapes.iter().any(|escape| rest.starts_with(escape)));
    let is_plain = !text.contains(['<', '>'])
        && text.match_indices('&').all(|(at, _)| escaped(at))
        && !text.chars().any(|c| c != '\n' && acts(c));
    if is_plain { Ok(()) } else { Err(format!("not escaped: {text:?}")) }
}

/// Control characters, and those that turn the direction of text.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn checked(text: &str, block: &Value) -> Result<Value, String> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        check(&headers, json!({ "text": text, "blocks": [block] }).to_string().as_bytes())
    }

    fn section(text: &str) -> Value {
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
    }

    #[test]
    fn markup_is_refused_and_its_escapes_are_taken() {
        checked("a &amp; b", &section("*price*\n&lt;!channel&gt; &amp; co")).expect("taken");
        let links = json!({ "type": "section", "text": { "type": "mrkdwn", "text": "http://x" } });
        checked("a", &links).expect_err("it would become a link");
        for wrong in ["<!channel>", "<@U1>", "<http://x|y>", "a & b", "&amp", "\u{202e}x", "\u{1b}[1m"] {
            checked("a", &section(wrong)).expect_err(wrong);
            checked(wrong, &section("a")).expect_err(wrong);
        }
        let header = |text: &str| json!({ "type": "header", "text": { "type": "plain_text", "text": text } });
        checked("a", &header("<b> & co")).expect("a plain text has no markup");
        checked("a", &header("two\nlines")).expect_err("not one line");
    }
}
