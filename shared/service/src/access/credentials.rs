//! What a request brings to say who it is.

use axum::http::{HeaderMap, Uri, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;

use super::{Role, session};

/// The parameter of an address that holds a key.
pub(super) const PARAMETER: &str = "write_key";

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
        match has_key(headers) {
            true => key(headers).map_or(Self::None, Self::Key),
            false => session::presented(headers).map_or(Self::None, Self::Session),
        }
    }

    /// The same for a route that is written to. If no header has a key, a key
    /// in the address counts: a page's beacon can set no header. Addresses end
    /// up in the logs of proxies. So this is only for keys that everybody may
    /// see, and no other route looks there.
    pub(super) fn of_writer(headers: &HeaderMap, uri: &Uri) -> Self {
        match in_address(uri) {
            Some(found) if !has_key(headers) => found,
            _ => Self::of(headers),
        }
    }
}

/// Whether a request brings a key before its body, be it one that can be read or not.
pub(super) fn brings_key(headers: &HeaderMap, uri: &Uri, needs: Role) -> bool {
    has_key(headers) || (needs == Role::Write && in_address(uri).is_some())
}

fn has_key(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key("x-write-key")
}

/// The key in an address. If there are two, nobody knows which is meant.
fn in_address(uri: &Uri) -> Option<Credentials> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let mut keys = pairs.filter(|(name, _)| *name == PARAMETER).map(|(_, value)| value);
    let key = percent_decode_str(keys.next()?).decode_utf8();
    Some(match (key, keys.next()) {
        (Ok(key), None) => Credentials::Key(key.into_owned()),
        _ => Credentials::None,
    })
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
    fn a_writers_key_may_stand_in_the_address() {
        let of = |uri: &str, headers: &[(&'static str, &str)]| {
            let header = |(name, value): &(&'static str, &str)| {
                (header::HeaderName::from_static(name), value.parse().expect("a value"))
            };
            Credentials::of_writer(&headers.iter().map(header).collect(), &uri.parse().expect("an address"))
        };
        let key = |text: &str| Credentials::Key(text.into());
        assert_eq!(of("/v1/events?write_key=first", &[]), key("first"));
        assert_eq!(of("/v1/events?x=1&write_key=a%2Bb+c", &[]), key("a+b+c"));
        assert_eq!(of("/v1/events?write_key=first", &[("x-write-key", "second")]), key("second"));
        // The address does not make up for a wrong key, and order does not
        // choose between two keys.
        assert_eq!(of("/v1/events?write_key=first", &[("authorization", "nonsense")]), Credentials::None);
        assert_eq!(of("/v1/events?write_key=first&write_key=first", &[]), Credentials::None);
        // A session of another service on the same host comes along with a beacon.
        let cookie = ("cookie", "tidemill_session=v");
        assert_eq!(of("/v1/events?write_key=first", &[cookie]), key("first"));
        assert_eq!(of("/v1/events?key=first", &[cookie]), Credentials::Session("v".into()));
        assert_eq!(of("/v1/events", &[]), Credentials::None);
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for value in ["Digest first", "first", "Basic !", "Basic Zmlyc3Q="] {
            assert_eq!(of("authorization", value), Credentials::None, "{value}");
        }
        // A cookie does not make up for a wrong key.
        let both = [("authorization", "nonsense"), ("cookie", "tidemill_session=v")];
        let both = both.map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        assert_eq!(Credentials::of(&HeaderMap::from_iter(both)), Credentials::None);
    }
}
