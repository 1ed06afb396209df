//! What a request brings to say who it is.

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::session;

/// What a request brings to say who it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A key.
    Key(String),
    /// What the page's cookie holds.
    Session(String),
    /// Nothing, or nothing that can be read.
    None,
}

impl Credentials {
    /// The key from `Authorization: Bearer`, from `Authorization: Basic` (as
    /// the user name, the way Segment's libraries send it) or from
    /// `X-Write-Key`; without one, the page's cookie.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(header::AUTHORIZATION) || headers.contains_key("x-write-key") {
            return key(headers).map_or(Self::None, Self::Key);
        }
        session::presented(headers).map_or(Self::None, Self::Session)
    }
}

fn key(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(authorization) = text(header::AUTHORIZATION) else {
        return headers.get("x-write-key")?.to_str().ok().map(str::to_owned);
    };
    let (scheme, credentials) = authorization.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(credentials.into())
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
        decoded.split_once(':').map(|(user, _)| user.to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &str) -> Credentials {
        Credentials::of(&HeaderMap::from_iter([(name.parse().expect("a name"), value.parse().expect("a value"))]))
    }

    #[test]
    fn a_key_is_found_wherever_it_is_sent() {
        let key = |text: &str| Credentials::Key(text.into());
        assert_eq!(of("authorization", "Bearer second"), key("second"));
        assert_eq!(of("authorization", "bearer  first"), key("first"));
        assert_eq!(of("x-write-key", "second"), key("second"));
        // base64("second:") and base64("second:ignored")
        assert_eq!(of("authorization", "Basic c2Vjb25kOg=="), key("second"));
        assert_eq!(of("authorization", "Basic c2Vjb25kOmlnbm9yZWQ="), key("second"));
        assert_eq!(of("cookie", "a=b; tidemill_session=v"), Credentials::Session("v".into()));
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for value in ["Digest first", "first", "Basic !", "Basic Zmlyc3Q="] {
            assert_eq!(of("authorization", value), Credentials::None, "{value}");
        }
        // A wrong key is not made up for by a cookie.
        let both = [("authorization", "nonsense"), ("cookie", "tidemill_session=v")];
        let both = both.map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        assert_eq!(Credentials::of(&HeaderMap::from_iter(both)), Credentials::None);
    }
}
