//! Section `auth`.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{Role, key::KeyEntry};

/// Section `auth`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Whether everybody may do everything. Without it a service needs keys.
    pub open: bool,
    /// Keys that send events: a list, or one text with commas. Each is `NAME
    /// KEY`, or a KEY alone, which is then named by its fingerprint. Give them
    /// by environment, or in `folder`.
    pub write: Entries,
    /// Keys that read numbers, likewise.
    pub read: Entries,
    /// Keys that read, and handle dead letters and reference data, likewise.
    pub operate: Entries,
    /// Folder with the files `write`, `read` and `operate`, as far as there are
    /// keys of that role: an entry a line, and lines that begin with `#`. It is
    /// read again when it changes. KEY may be `sha256:` and the hash of a key
    /// in hexadecimal digits, which `tidemill keys` makes.
    pub folder: Option<PathBuf>,
    /// The setting from before there were roles.
    #[schemars(skip)]
    keys: Gone,
}

impl AuthConfig {
    /// Open to everybody.
    pub fn everybody() -> Self {
        Self { open: true, ..Self::default() }
    }

    /// The keys that the settings themselves give.
    pub(super) fn entries(&self) -> Result<Vec<(Role, KeyEntry)>, String> {
        if self.keys.0 {
            return Err(GONE.into());
        }
        let mut all = Vec::new();
        for (role, Entries { entries, wrong }) in self.by_role() {
            if let Some(wrong) = wrong {
                return Err(format!("auth.{role}: {wrong}"));
            }
            all.extend(entries.iter().map(|entry| (role, entry.clone())));
        }
        Ok(all)
    }

    fn by_role(&self) -> [(Role, &Entries); 3] {
        [(Role::Write, &self.write), (Role::Read, &self.read), (Role::Operate, &self.operate)]
    }

    /// Whether any key is given, or a folder that may hold some.
    pub(super) fn has_keys(&self) -> bool {
        self.keys.0
            || self.folder.is_some()
            || self.by_role().into_iter().any(|(_, entries)| *entries != Entries::default())
    }
}

/// Whether a setting is given that no longer exists. The start then says what
/// to give instead. The reader of settings cannot say it: it hides all that is
/// said of a secret.
#[derive(Debug, Clone, Default)]
struct Gone(bool);

const GONE: &str = "auth.keys is no more, since a key has a role now: give it as auth.write (sends events), auth.read \
                    (reads numbers) or auth.operate (dead letters and reference data), or in files of these names in \
                    auth.folder";

impl<'de> Deserialize<'de> for Gone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// Keys as settings give them. Only their hashes are kept. What is wrong with
/// one is told when they are used, and never by quoting it: a reader of settings
/// hides all that it could say of a secret.
#[derive(Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "Vec<String>", extend("writeOnly" = true))]
pub struct Entries {
    entries: Vec<KeyEntry>,
    wrong: Option<String>,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.name)).finish()
    }
}

impl Entries {
    /// Fails with what is wrong with the first faulty entry.
    pub fn check(&self) -> Result<(), &str> {
        self.wrong.as_deref().map_or(Ok(()), Err)
    }
}

impl<S: AsRef<str>> FromIterator<S> for Entries {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Self {
        let mut read = Self::default();
        for (number, text) in (1..).zip(texts) {
            match KeyEntry::parse(text.as_ref()) {
                Ok(entry) => read.entries.push(entry),
                Err(error) if read.wrong.is_none() => read.wrong = Some(format!("entry {number} {error}")),
                // Only the first error is told.
                Err(_) => {}
            }
        }
        read
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            List(Vec<String>),
            Text(String),
        }
        Ok(match Given::deserialize(deserializer)? {
            Given::List(texts) => texts.into_iter().collect(),
            Given::Text(text) => text.split(',').collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn keys_are_a_list_or_a_text_and_never_shown() {
        for text in [
            "write = ['shop key-of-the-shop-1', 'key-of-the-app-01']",
            "write = 'shop key-of-the-shop-1 , key-of-the-app-01'",
        ] {
            let config: AuthConfig = parse(text).expect(text);
            assert_eq!(config.write, Entries::from_iter(["shop key-of-the-shop-1", "key-of-the-app-01"]));
            let shown = format!("{config:?}");
            assert!(shown.contains("shop") && !shown.contains("key-of"), "{shown}");
        }
    }

    #[test]
    fn a_blank_key_is_refused_and_no_key_is_quoted() {
        for (text, told) in [
            ("write = ''", "auth.write: entry 1 is empty"),
            ("write = ' '", "auth.write: entry 1 is empty"),
            ("write = ['']", "auth.write: entry 1 is empty"),
            ("read = 'wall key-of-the-wall-1,'", "auth.read: entry 2 is empty"),
            ("operate = ['short-secret']", "auth.operate: entry 1 has a key of less than 16 bytes"),
        ] {
            let config: AuthConfig = parse(text).expect(text);
            assert_eq!(config.entries().expect_err(text), told);
            assert!(config.has_keys() && !format!("{config:?}").contains("secret"), "{text}");
        }
        for text in ["operate = 1234567890123456", "operate = [1234567890123456]", "operate = 0.1234567890123456"] {
            let error = parse::<AuthConfig>(text).expect_err(text).to_string();
            assert!(!error.contains("123456789"), "{error}");
        }
    }

    #[test]
    fn the_old_setting_is_told_what_to_write() {
        for text in ["keys = ['secret-1']", "keys = 'secret-1'", "keys = []"] {
            let error = parse::<AuthConfig>(text).expect(text).entries().expect_err(text);
            assert!(["auth.write", "auth.read", "auth.operate"].iter().all(|new| error.contains(new)), "{error}");
            assert!(!error.contains("secret-1"), "{error}");
        }
        assert!(!parse::<AuthConfig>("").expect("nothing").has_keys());
    }
}
