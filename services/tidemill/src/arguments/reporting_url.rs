//! Where reporting is, for commands that are told first where ingestion is.

use std::env::{self, VarError};

use url::Url;

/// The variable that says it.
const VARIABLE: &str = "TIDEMILL_URL";

/// `TIDEMILL_URL` is no address.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE}: {text:?} is no address: {reason}")]
pub(crate) struct ReportingUrlError {
    text: String,
    reason: String,
}

/// Reporting's address: the one that is given, or that of the environment. Not by
/// clap, for which a variable that is set would ask for `--ingestion-url` too, also
/// where a command starts a suite of its own.
pub(crate) fn reporting_url(given: Option<&Url>) -> Result<Option<Url>, ReportingUrlError> {
    match given {
        Some(url) => Ok(Some(url.clone())),
        None => named(env::var(VARIABLE)),
    }
}

/// An empty one says nothing.
fn named(variable: Result<String, VarError>) -> Result<Option<Url>, ReportingUrlError> {
    let failed = |text: String, reason: String| ReportingUrlError { text, reason };
    match variable {
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(text)) => Err(failed(text.to_string_lossy().into_owned(), "not UTF-8".into())),
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|e: url::ParseError| failed(text, e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_names_an_address_or_nothing() {
        let told = |text: &str| named(Ok(text.into())).map(|url| url.map(String::from)).map_err(|e| e.to_string());
        assert_eq!(told("http://localhost:7080"), Ok(Some("http://localhost:7080/".into())));
        assert_eq!(told(""), Ok(None));
        assert!(named(Err(VarError::NotPresent)).is_ok_and(|url| url.is_none()));
        let error = told("localhost/x").expect_err("has no scheme");
        assert!(error.starts_with("TIDEMILL_URL: \"localhost/x\" is no address"), "{error}");
    }
}
