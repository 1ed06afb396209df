//! Who is asking.

use std::fmt;

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::{config::Keys, error::Error};

/// The keys that may send. Only their hashes are kept.
pub(crate) struct Auth(Vec<[u8; 32]>);

/// A key that may send, or whoever asks where no keys are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its place among the keys; 0 where there are none.
    pub(crate) index: usize,
    fingerprint: Option<[u8; 4]>,
}

/// The first digits of the key's hash: enough to tell keys apart in a log,
/// too little to learn one.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fingerprint {
            Some(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            None => f.write_str("anybody"),
        }
    }
}

impl Auth {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.iter().map(hash).collect())
    }

    /// Whether anybody may send.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// How many callers can be told apart.
    pub(crate) fn callers(&self) -> usize {
        self.0.len().max(1)
    }

    /// The key from `Authorization: Bearer`, from `Authorization: Basic` (as
    /// the user name, the way Segment's libraries send it) or from
    /// `X-Write-Key`. All keys are compared, so that the time taken tells
    /// nothing of them.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        if self.is_open() {
            return Ok(Caller { index: 0, fingerprint: None });
        }
        let given = hash(&presented_key(headers).ok_or(Error::Unauthorized)?);
        let (mut found, mut place) = (Choice::from(0), 0_u32);
        for (known, index) in self.0.iter().zip(0..) {
            let same = known.ct_eq(&given);
            place.conditional_assign(&index, same);
            found |= same;
        }
        let caller = Caller { index: place as usize, fingerprint: given.first_chunk().copied() };
        bool::from(found).then_some(caller).ok_or(Error::Unauthorized)
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn presented_key(headers: &HeaderMap) -> Option<String> {
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

    fn ask(auth: &Auth, name: &'static str, value: &str) -> Result<usize, Error> {
        let headers = HeaderMap::from_iter([(name.parse().expect("a name"), value.parse().expect("a value"))]);
        auth.authenticate(&headers).map(|caller| caller.index)
    }

    #[test]
    fn a_key_is_found_wherever_it_is_sent() {
        let auth = Auth::new(&Keys::from_iter(["first", "second"]));
        assert_eq!(ask(&auth, "authorization", "Bearer second"), Ok(1));
        assert_eq!(ask(&auth, "authorization", "bearer  first"), Ok(0));
        assert_eq!(ask(&auth, "x-write-key", "second"), Ok(1));
        // base64("second:") and base64("second:ignored")
        assert_eq!(ask(&auth, "authorization", "Basic c2Vjb25kOg=="), Ok(1));
        assert_eq!(ask(&auth, "authorization", "Basic c2Vjb25kOmlnbm9yZWQ="), Ok(1));
    }

    #[test]
    fn anything_else_is_refused() {
        let auth = Auth::new(&Keys::from_iter(["first"]));
        assert_eq!(auth.authenticate(&HeaderMap::new()), Err(Error::Unauthorized));
        for value in ["Bearer firs", "Bearer first2", "Bearer ", "Digest first", "first", "Basic !", "Basic Zmlyc3Q="] {
            assert_eq!(ask(&auth, "authorization", value), Err(Error::Unauthorized), "{value}");
        }
    }

    #[test]
    fn a_log_shows_a_fingerprint() {
        let auth = Auth::new(&Keys::from_iter(["abc"]));
        let headers = HeaderMap::from_iter([("x-write-key".parse().expect("a name"), "abc".parse().expect("a value"))]);
        // SHA-256("abc"), FIPS 180-2's example.
        assert_eq!(auth.authenticate(&headers).expect("known").to_string(), "ba7816bf");
        assert_eq!(Auth::new(&Keys::default()).authenticate(&headers).expect("open").to_string(), "anybody");
    }
}
