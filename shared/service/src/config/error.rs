//! What is wrong with a configuration, told without its secrets.

use std::{fmt, io};

use figment::error::Kind;

use super::Secrets;

/// The configuration could not be read or is wrong.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn new(error: figment::Error, secrets: &Secrets) -> Self {
        let told = error.into_iter().map(|mut error| {
            error.kind = match error.kind {
                Kind::Message(text) if error.path.is_empty() => Kind::Message(without_excerpt(&text)),
                kind if secrets.touch(&error.path) => without_value(kind),
                kind => kind,
            };
            error.to_string()
        });
        Self(told.collect::<Vec<_>>().join("; "))
    }

    /// The error does not name the file. If somebody gave the secret itself in
    /// place of the name, it would be in the log.
    pub(super) fn file(variable: &str, error: &io::Error) -> Self {
        Self(format!("the file that {variable} names cannot be read: {error}"))
    }

    pub(super) fn twice(one: &str, other: &str) -> Self {
        Self(format!("{one} and {other} give the same setting"))
    }
}

/// An error of TOML's syntax shows the line that it is in.
fn without_excerpt(text: &str) -> String {
    text.lines().filter(|line| !line.contains('|')).collect::<Vec<_>>().join(": ")
}

/// What was expected, and nothing of what was found.
fn without_value(kind: Kind) -> Kind {
    let hidden = |expected: &dyn fmt::Display| Kind::Message(format!("wrong value (not shown), expected {expected}"));
    match kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => hidden(&expected),
        Kind::UnknownVariant(_, known) => hidden(&known.join(" or ")),
        Kind::Message(_)
        | Kind::ISizeOutOfRange(_)
        | Kind::USizeOutOfRange(_)
        | Kind::Unsupported(_)
        | Kind::UnsupportedKey(..) => hidden(&"another"),
        named
        @ (Kind::InvalidLength(..) | Kind::UnknownField(..) | Kind::MissingField(_) | Kind::DuplicateField(_)) => named,
    }
}
