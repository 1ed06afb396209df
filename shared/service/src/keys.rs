//! Keys: who may write.

use std::fmt;

use axum::http::{HeaderMap, StatusCode, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::Problem;

/// The keys that may write, as a setting: a list, or a text with commas. Only
/// their hashes are kept, and they are never written anywhere.
#[derive(Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "Vec<String>", extend("writeOnly" = true))]
pub struct ApiKeys(Vec<[u8; 32]>);

/// A key that may write, or whoever asks where no keys are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// Its place among the keys; 0 where there are none.
    pub index: usize,
    fingerprint: Option<[u8; 4]>,
}

/// The first digits of the key's hash: enough to tell keys apart in a log, too
/// little to learn one.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fingerprint {
            Some(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            None => f.write_str("anybody"),
        }
    }
}

/// Tells in an API's description the ways in which a key may be given.
#[derive(Debug)]
pub struct KeySchemes;

impl utoipa::Modify for KeySchemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
        let components = openapi.components.get_or_insert_default();
        let key = ApiKeyValue::new("X-Write-Key");
        components.add_security_scheme("write_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme("basic", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

impl<S: AsRef<str>> FromIterator<S> for ApiKeys {
    fn from_iter<I: IntoIterator<Item = S>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| hash(key.as_ref().trim())).collect())
    }
}

impl<'de> Deserialize<'de> for ApiKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            List(Vec<String>),
            Text(String),
        }
        let keys = match Given::deserialize(deserializer)? {
            Given::List(keys) => keys,
            Given::Text(text) => text.split(',').map(str::to_owned).collect(),
        };
        Ok(keys.iter().map(|key| key.trim()).filter(|key| !key.is_empty()).collect())
    }
}

impl ApiKeys {
    /// Whether anybody may write.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// How many callers can be told apart.
    pub fn callers(&self) -> usize {
        self.0.len().max(1)
    }

    /// Who asks: by the key from `Authorization: Bearer`, from
    /// `Authorization: Basic` (as the user name, the way Segment's libraries
    /// send it) or from `X-Write-Key`. All keys are compared, so that the time
    /// taken tells nothing of them. An error is a 401.
    pub fn check(&self, headers: &HeaderMap) -> Result<KeyId, Box<Problem>> {
        if self.is_open() {
            return Ok(KeyId { index: 0, fingerprint: None });
        }
        let given = hash(&presented(headers).ok_or_else(unauthorized)?);
        let (mut found, mut place) = (Choice::from(0), 0_u32);
        for (known, index) in self.0.iter().zip(0..) {
            let same = known.ct_eq(&given);
            place.conditional_assign(&index, same);
            found |= same;
        }
        let key = KeyId { index: place as usize, fingerprint: given.first_chunk().copied() };
        bool::from(found).then_some(key).ok_or_else(unauthorized)
    }
}

fn unauthorized() -> Box<Problem> {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid key is required");
    Box::new(problem.detail("send it as `Authorization: Bearer KEY`, `X-Write-Key: KEY` or as the user name of Basic"))
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn presented(headers: &HeaderMap) -> Option<String> {
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

    fn ask(keys: &ApiKeys, name: &'static str, value: &str) -> Option<usize> {
        let headers = HeaderMap::from_iter([(name.parse().expect("a name"), value.parse().expect("a value"))]);
        keys.check(&headers).ok().map(|key| key.index)
    }

    #[test]
    fn a_key_is_found_wherever_it_is_sent() {
        let keys = ApiKeys::from_iter(["first", "second"]);
        assert_eq!(ask(&keys, "authorization", "Bearer second"), Some(1));
        assert_eq!(ask(&keys, "authorization", "bearer  first"), Some(0));
        assert_eq!(ask(&keys, "x-write-key", "second"), Some(1));
        // base64("second:") and base64("second:ignored")
        assert_eq!(ask(&keys, "authorization", "Basic c2Vjb25kOg=="), Some(1));
        assert_eq!(ask(&keys, "authorization", "Basic c2Vjb25kOmlnbm9yZWQ="), Some(1));
    }

    #[test]
    fn anything_else_is_refused() {
        let keys = ApiKeys::from_iter(["first"]);
        assert_eq!(keys.check(&HeaderMap::new()).expect_err("refused").status, 401);
        for value in ["Bearer firs", "Bearer first2", "Bearer ", "Digest first", "first", "Basic !", "Basic Zmlyc3Q="] {
            assert_eq!(ask(&keys, "authorization", value), None, "{value}");
        }
    }

    #[test]
    fn a_log_shows_a_fingerprint() {
        let keys = ApiKeys::from_iter(["abc"]);
        let headers = HeaderMap::from_iter([("x-write-key".parse().expect("a name"), "abc".parse().expect("a value"))]);
        // SHA-256("abc"), FIPS 180-2's example.
        assert_eq!(keys.check(&headers).expect("known").to_string(), "ba7816bf");
        assert_eq!(ApiKeys::default().check(&headers).expect("open").to_string(), "anybody");
        assert_eq!(format!("{keys:?}"), "ApiKeys(1)");
    }

    #[test]
    fn a_setting_is_a_list_or_a_text_and_no_key_is_empty() {
        let read = |json: &str| serde_json::from_str::<ApiKeys>(json).expect(json);
        assert_eq!(read(r#"["a", " b", ""]"#), ApiKeys::from_iter(["a", "b"]));
        assert_eq!(read(r#""a, b,,""#), ApiKeys::from_iter(["a", "b"]));
        assert!(read("[]").is_open() && read(r#""""#).is_open());
    }
}
