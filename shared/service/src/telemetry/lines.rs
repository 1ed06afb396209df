//! What leaves the process as a line of the log.
//!
//! Fields hold what was sent from outside, and errors of libraries hold
//! addresses. So each event is one line whatever is in it, nothing in it acts on
//! a terminal, and no address keeps its credentials.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

use tracing::{Level, Metadata};

use crate::printable::acts;

/// Below this level libraries tell of what they send, passwords too.
const LIBRARIES: Level = Level::INFO;

/// Whether an event may be written. A library's `debug` and `trace` may not,
/// whatever the filter says: async-nats tells the password there. sqlx tells
/// which parameters of a URL it leaves out, and what they hold.
pub(super) fn may_be_told(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target.starts_with("tidemill") || (*metadata.level() <= LIBRARIES && !target.starts_with("sqlx_postgres::options"))
}

/// A writer of whole events.
pub(super) struct Lines<W> {
    pub(super) out: W,
    /// Whether they are JSON; else they are text.
    pub(super) json: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = without_credentials(text.strip_suffix('\n').unwrap_or(&text));
        self.out.write_all(format!("{}\n", one_line(&line, self.json)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn one_line(text: &str, json: bool) -> Cow<'_, str> {
    if !text.contains(acts) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match (acts(c), json) {
            (false, _) => line.write_char(c),
            (true, false) => write!(line, "{}", c.escape_default()),
            // In JSON these stand only in strings, and have an escape of their
            // own.
            (true, true) => write!(line, "\\u{:04x}", u32::from(c)),
        };
    }
    line.into()
}

/// `scheme://user:password@host` as `scheme://***@host`.
fn without_credentials(text: &str) -> Cow<'_, str> {
    let mut told = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://").map(|at| at + "://".len()) {
        let (scheme, after) = rest.split_at(at);
        let authority = after.find(|c: char| c.is_whitespace() || "/?#\"'`<>\\".contains(c)).unwrap_or(after.len());
        let credentials = after.get(..authority).and_then(|authority| authority.rfind('@'));
        told.push_str(scheme);
        if credentials.is_some() {
            told.push_str("***");
        }
        rest = after.get(credentials.unwrap_or(0)..).unwrap_or_default();
    }
    if told.is_empty() {
        return text.into();
    }
    told.push_str(rest);
    told.into()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::telemetry::lines_layer;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, log: impl FnOnce()) -> String {
        use tracing_subscriber::layer::SubscriberExt;
        let page = Page::default();
        let writer = page.clone();
        let filter = tracing_subscriber::EnvFilter::new("trace");
        let layer = lines_layer(json, filter, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = page.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let evil = "x\n2026-01-01 ERROR forged\r\u{1b}[31m\u{9b}2J\u{202e}\u{2028}";
        for json in [false, true] {
            let text = logged(json, || {
                let _span = tracing::info_span!("request", path = %evil).entered();
                tracing::warn!(display = %evil, debug = ?evil, plain = evil, "message {evil}");
            });
            assert_eq!(text.lines().count(), 1, "{text}");
            let line = text.strip_suffix('\n').expect("it ends");
            assert!(!line.contains(acts), "{line:?}");
            assert!(line.contains("forged") && line.contains("display"), "nothing is lost: {line}");
            if json {
                let value: serde_json::Value = serde_json::from_str(line).expect("still JSON");
                assert_eq!(value["display"], evil);
            }
        }
    }

    #[test]
    fn no_address_keeps_its_credentials() {
        for (text, told) in [
            ("nats://app:pa:ss@nats:4222, nats://b@c", "nats://***@nats:4222, nats://***@c"),
            ("postgres://u:p@ss@host/db?x=y@z", "postgres://***@host/db?x=y@z"),
            ("at http://host/a@b and \"http://u:p@h\"", "at http://host/a@b and \"http://***@h\""),
            ("none: a@b", "none: a@b"),
        ] {
            assert_eq!(without_credentials(text), told);
        }
        let text = logged(false, || tracing::error!(url = "nats://u:hunter2@h", "cannot reach nats://u:hunter2@h"));
        assert!(!text.contains("hunter2") && text.contains("***@h"), "{text}");
    }

    #[test]
    fn libraries_say_nothing_of_what_they_send() {
        let text = logged(false, || {
            tracing::trace!(target: "async_nats::connection", pass = "hunter2", "write operation: CONNECT");
            tracing::warn!(target: "sqlx_postgres::options::parse", value = "hunter2", "ignoring");
            tracing::info!(target: "async_nats", "connected");
            tracing::trace!("our own");
        });
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("connected") && text.contains("our own"), "{text}");
    }
}
