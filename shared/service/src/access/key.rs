//! A key: its name and its hash. The key itself is not kept.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::Role;

/// A shorter key can be guessed.
pub const LEAST_BYTES: usize = 16;
/// More than anybody needs. A longer key is a file that was given by mistake.
const MOST_BYTES: usize = 512;
/// Characters of a name: it goes into logs, metrics and the audit.
const LONGEST_NAME: usize = 64;
/// What stands before a hash in place of a key.
const HASHED: &str = "sha256:";

/// The SHA-256 of a key. Keys are long and random, so it takes no slower hash
/// to keep them from being guessed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of a key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn same_as(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }

    /// The first digits: enough to tell keys apart in a log, too little to
    /// learn one.
    fn fingerprint(&self) -> String {
        self.0[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// As an entry gives it: `sha256:` and 64 digits.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASHED)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

/// What is wrong with an entry. It never quotes the entry, which may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It has more than two parts.
    #[error("must be NAME KEY, or KEY alone")]
    Parts,
    /// The name cannot stand in a log.
    #[error("has a name that is not 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`")]
    Name,
    /// The key is too short.
    #[error("has a key of less than {LEAST_BYTES} bytes")]
    Short,
    /// The key is too long.
    #[error("has a key of more than {MOST_BYTES} bytes")]
    Long,
    /// The key cannot be sent in a header.
    #[error("has a key with other characters than letters, digits and signs of ASCII without the comma")]
    Characters,
    /// The text in the place of a hash is not one.
    #[error("has no 64 hexadecimal digits after `{HASHED}`")]
    Hash,
}

/// One entry of a list of keys, before it has a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyEntry {
    pub(super) name: String,
    pub(super) hash: Hash,
}

impl KeyEntry {
    /// Reads `NAME KEY` or `KEY`, where KEY may be `sha256:<hex>`.
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        let mut words = text.split_whitespace();
        let (name, key) = match (words.next(), words.next(), words.next()) {
            (None, ..) => return Err(KeyError::Empty),
            (Some(key), None, _) => (None, key),
            (Some(name), Some(key), None) => (Some(name), key),
            (Some(_), Some(_), Some(_)) => return Err(KeyError::Parts),
        };
        let hash = match key.strip_prefix(HASHED) {
            Some(hex) => Hash::parse(hex).ok_or(KeyError::Hash)?,
            None => Hash::of(checked(key)?),
        };
        match name {
            Some(name) if !is_name(name) => Err(KeyError::Name),
            Some(name) => Ok(Self { name: name.into(), hash }),
            None => Ok(Self { name: hash.fingerprint(), hash }),
        }
    }
}

fn checked(key: &str) -> Result<&str, KeyError> {
    match key.len() {
        ..LEAST_BYTES => Err(KeyError::Short),
        LEAST_BYTES..=MOST_BYTES if key.bytes().all(|b| b.is_ascii_graphic() && b != b',') => Ok(key),
        LEAST_BYTES..=MOST_BYTES => Err(KeyError::Characters),
        _ => Err(KeyError::Long),
    }
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A key that opens something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedKey {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) hash: Hash,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256("abc"), FIPS 180-2's example.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn an_entry_is_a_name_and_a_key_or_its_hash() {
        let named = KeyEntry::parse("shop-1 0123456789abcdef").expect("right");
        assert_eq!((named.name.as_str(), named.hash), ("shop-1", Hash::of("0123456789abcdef")));
        let hashed = KeyEntry::parse(&format!("  shop\t{}  ", Hash::of("0123456789abcdef"))).expect("right");
        assert_eq!(hashed.hash, named.hash);
        let bare = KeyEntry::parse(ABC).expect("right");
        assert_eq!((bare.name.as_str(), bare.hash), ("ba7816bf", Hash::of("abc")));
        assert_eq!(bare.hash.to_string(), ABC);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_key() {
        for (text, error) in [
            ("", KeyError::Empty),
            (" \t", KeyError::Empty),
            ("a b c", KeyError::Parts),
            ("0123456789abcde", KeyError::Short),
            ("shop secret", KeyError::Short),
            ("sh/op 0123456789abcdef", KeyError::Name),
            ("shop 0123456789abcdé", KeyError::Characters),
            ("shop sha256:ba7816bf", KeyError::Hash),
        ] {
            assert_eq!(KeyEntry::parse(text), Err(error), "{text:?}");
            assert!(!error.to_string().contains("secret"));
        }
        let digit = ABC.replace("ba78", "b+78");
        assert_eq!(KeyEntry::parse(&digit), Err(KeyError::Hash));
        assert_eq!(KeyEntry::parse(&"k".repeat(MOST_BYTES + 1)), Err(KeyError::Long));
        assert_eq!(KeyEntry::parse(&format!("{} 0123456789abcdef", "n".repeat(65))), Err(KeyError::Name));
    }
}
