//! What a page keeps in place of a key.
//!
//! The cookie says which key logged in and until when. It is sealed with the
//! hash of that key: every replica can check it, and none has to remember it. A
//! key that goes takes its sessions with it. The cookie reads and no more, so
//! no other page can use it to change anything.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tidemill_domain::Timestamp;

use super::{key::NamedKey, keyring::Keyring};

const COOKIE: &str = "tidemill_session";
/// A working day.
const SECONDS: i64 = 12 * 3600;
/// Comes before the text that is sealed, so that no other use of a hash makes a
/// session.
const PURPOSE: &[u8] = b"tidemill session 1\0";

/// A page's leave to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session(String);

impl Session {
    pub(super) fn of(key: &NamedKey, now: Timestamp) -> Self {
        let until = now.millis().div_euclid(1000) + SECONDS;
        Self(format!("{until}.{}.{}", key.name, seal(key, until)))
    }
}

/// Who a cookie's value speaks for, and until when.
pub(super) fn holder(value: &str, keys: &Keyring, now: Timestamp) -> Option<(Arc<NamedKey>, Timestamp)> {
    let (until, rest) = value.split_once('.')?;
    let (name, sealed) = rest.rsplit_once('.')?;
    let until: i64 = until.parse().ok()?;
    let ends = Timestamp::saturating_from_millis(until.saturating_mul(1000));
    let key = keys.named(name).find(|key| is_sealed(key, until, sealed))?;
    (now < ends).then(|| (key.clone(), ends))
}

fn mac(key: &NamedKey, until: i64) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.hash.bytes()).ok()?;
    mac.update(PURPOSE);
    mac.update(&until.to_be_bytes());
    mac.update(key.name.as_bytes());
    Some(mac)
}

fn seal(key: &NamedKey, until: i64) -> String {
    let sealed = mac(key, until).map(|mac| mac.finalize().into_bytes());
    sealed.into_iter().flatten().map(|byte| format!("{byte:02x}")).collect()
}

/// In constant time.
fn is_sealed(key: &NamedKey, until: i64, sealed: &str) -> bool {
    let digits = |at| sealed.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes: Option<Vec<u8>> = (0..sealed.len()).step_by(2).map(digits).collect();
    bytes.zip(mac(key, until)).is_some_and(|(bytes, mac)| mac.verify_slice(&bytes).is_ok())
}

/// The cookie of a request.
pub(super) fn presented(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// A `Set-Cookie` that gives a session; with `None` it takes the session away.
/// No script sees the cookie, and no page of another site can have it sent
/// along. `secure` keeps it from being sent in the clear.
pub fn cookie(session: Option<&Session>, secure: bool) -> String {
    let (value, age) = session.map_or(("", 0), |session| (session.0.as_str(), SECONDS));
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Role, key::KeyEntry};

    fn ring(entries: &[&str]) -> Keyring {
        Keyring::new(entries.iter().map(|text| (Role::Read, KeyEntry::parse(text).expect(text))))
            .expect("they go together")
    }

    fn login(keys: &Keyring, name: &str) -> String {
        Session::of(keys.named(name).next().expect(name), Timestamp::EPOCH).0
    }

    #[test]
    fn a_session_speaks_for_its_key_until_its_end() {
        let keys = ring(&["wall.1 key-of-the-wall-1", "anna key-of-anna-is-it"]);
        let value = login(&keys, "wall.1");
        let at = |seconds: i64| holder(&value, &keys, Timestamp::saturating_from_millis(seconds * 1000));
        let (key, until) = at(SECONDS - 1).expect("in time");
        assert_eq!((key.name.as_str(), until.millis()), ("wall.1", SECONDS * 1000));
        assert_eq!(at(SECONDS), None);
        let other = ring(&["wall.1 key-of-the-wall-2"]);
        assert_eq!(holder(&value, &other, Timestamp::EPOCH), None, "another key of the same name");
    }

    #[test]
    fn nobody_makes_one_up() {
        let keys = ring(&["wall key-of-the-wall-1", "anna key-of-anna-is-it"]);
        let value = login(&keys, "wall");
        let sealed = value.rsplit_once('.').expect("three parts").1;
        let longer = value.replacen("43200", "99999999", 1);
        let anna = value.replacen("wall", "anna", 1);
        for forged in [
            longer,
            anna,
            format!("43200.wall.{}", "0".repeat(64)),
            "43200.wall.".into(),
            "43200.wall".into(),
            format!("43200.wall.{}", &sealed[..62]),
            format!("43200.wall.{sealed}00"),
            format!("43200.wall.{sealed}é"),
            String::new(),
            "..".into(),
        ] {
            assert_eq!(holder(&forged, &keys, Timestamp::EPOCH), None, "{forged}");
        }
    }

    #[test]
    fn a_cookie_is_for_this_site_and_no_script() {
        let session = Session("value".into());
        assert_eq!(
            cookie(Some(&session), true),
            "tidemill_session=value; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(cookie(None, false), "tidemill_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    }
}
