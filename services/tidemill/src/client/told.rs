//! What a person is told of an answer, and of none.

use std::{
    error::Error,
    io::{self, ErrorKind},
};

use reqwest::StatusCode;
use serde::Deserialize;

use crate::failure::whole;

/// What a person is told of an answer: of a problem, what it says is wrong.
pub(super) fn told(body: &str) -> String {
    #[derive(Deserialize)]
    struct Problem {
        title: String,
        detail: Option<String>,
        #[serde(default)]
        errors: Vec<Place>,
    }
    #[derive(Deserialize)]
    struct Place {
        pointer: String,
        detail: String,
    }
    let Ok(problem) = serde_json::from_str::<Problem>(body) else { return body.chars().take(500).collect() };
    let mut text = problem.title;
    if let Some(detail) = problem.detail {
        text.push_str(&format!("; {detail}"));
    }
    for Place { pointer, detail } in problem.errors {
        text.push_str(&format!("; {} {detail}", pointer.trim_start_matches('/')));
    }
    text
}

/// How to give the key that a command lacks.
pub(super) fn hint(status: StatusCode, body: &str) -> &'static str {
    let needs = |role: &str| body.contains(&format!("may {role}"));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if needs("operate\"") || needs("operate;") => {
            "; give it a key that may operate, by --key or TIDEMILL_OPERATE_KEY"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if needs("write\"") || needs("write;") => {
            "; give it a key that may write, by --write-key or TIDEMILL_WRITE_KEY"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if needs("read\"") || needs("read;") => {
            "; give it a key that may read, by --key, --read-key or TIDEMILL_READ_KEY"
        }
        _ => "",
    }
}

/// Why a request came to no answer, and what to do.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    if is_refused(error) {
        return "connection refused; is the suite running (`tidemill up`), and is this its address?".into();
    }
    // What the error itself says is the address alone.
    error.source().map_or_else(|| error.to_string(), whole)
}

/// Whether nobody listens at the address.
pub(super) fn is_refused(error: &dyn Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{super::ClientError, *};

    #[test]
    fn who_lacks_a_key_is_told_which_and_how() {
        let refused = |status, detail: &str| {
            let body = format!(r#"{{"title":"A valid key is required","detail":"{detail}"}}"#);
            let url = "http://localhost:7080/v1/books".parse().expect("a URL");
            ClientError::Refused { url, status, body }.to_string()
        };
        let told = refused(StatusCode::UNAUTHORIZED, "a key that may operate; send it as");
        assert!(told.ends_with("by --key or TIDEMILL_OPERATE_KEY"), "{told}");
        let told = refused(StatusCode::FORBIDDEN, "the key shop may write, and this needs one that may read");
        assert!(told.ends_with("TIDEMILL_READ_KEY"), "{told}");
        assert!(!refused(StatusCode::NOT_FOUND, "may operate;").contains("--key"));
    }
}
