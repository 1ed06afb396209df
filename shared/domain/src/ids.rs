//! Identifiers of an event, as CloudEvents names them.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text::has_control;

/// Why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing in it.
    #[error("must not be empty")]
    Empty,
    /// Longer than the limit.
    #[error("must not be longer than {0} bytes")]
    TooLong(usize),
    /// A control character in it.
    #[error("must not hold control characters")]
    ControlCharacter,
    /// Not made of letters, digits, `.`, `_` and `-`.
    #[error("must be made of letters, digits, '.', '_' and '-'")]
    BadCharacter,
    /// Not made of small letters, digits and `_`, or `live`.
    #[error("must be made of small letters, digits and '_', and not be 'live'")]
    NotPlain,
}

fn check(text: &str, limit: usize) -> Result<(), IdError> {
    if text.is_empty() {
        Err(IdError::Empty)
    } else if text.len() > limit {
        Err(IdError::TooLong(limit))
    } else if has_control(text) {
        Err(IdError::ControlCharacter)
    } else {
        Ok(())
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $extra:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest allowed text, in bytes.
            pub const MAX_BYTES: usize = $limit;

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether a text is one, without making it.
            pub fn check(text: &str) -> Result<(), IdError> {
                check(text, $limit)?;
                let extra: fn(&str) -> Result<(), IdError> = $extra;
                extra(text)
            }
        }


        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::check(text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

identifier!(
    /// Who produced an event: CloudEvents `source`, a URI reference.
    SourceName, 200, |_| Ok(())
);

impl SourceName {
    /// Stands for the source of an event that names none.
    pub const UNKNOWN: &'static str = "unknown";
}

identifier!(
    /// An event's identifier, unique within its source: CloudEvents `id`.
    EventId, 200, |_| Ok(())
);
identifier!(
    /// The name of a load of history, as the attribute `backfill` has it.
    BackfillName, 100, |_| Ok(())
);
identifier!(
    /// What happened: CloudEvents `type`, for instance `order.placed`.
    EventType, 100, |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.bytes().all(plain) { Ok(()) } else { Err(IdError::BadCharacter) }
    }
);

identifier!(
    /// The name of a generation of totals that is counted beside the live one. It is a
    /// token of a subject, stands behind the version of a metric, and is part of the names
    /// of its stores.
    GenerationName, 32, |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.bytes().all(plain) && text != "live" { Ok(()) } else { Err(IdError::NotPlain) }
    }
);

impl GenerationName {
    /// The name of what the lake has computed from silver. No replay is called so.
    pub const BATCH: &'static str = "batch";

    /// That name.
    pub fn batch() -> Self {
        Self(Self::BATCH.into())
    }

    /// The version of a metric in this generation, whose definition has this version.
    pub fn version_of(&self, version: &str) -> String {
        format!("{version}@{self}")
    }

    /// The generation that a version belongs to; `None` of the live one.
    pub fn of_version(version: &str) -> Option<&str> {
        version.split_once('@').map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_would_break_a_line_or_a_label() {
        assert_eq!("".parse::<EventId>(), Err(IdError::Empty));
        assert_eq!("a\nb".parse::<SourceName>(), Err(IdError::ControlCharacter));
        assert_eq!("x".repeat(201).parse::<EventId>(), Err(IdError::TooLong(200)));
        assert_eq!("order placed".parse::<EventType>(), Err(IdError::BadCharacter));
        assert_eq!("order.placed".parse::<EventType>().expect("a type").as_str(), "order.placed");
        assert_eq!("v2.1".parse::<GenerationName>(), Err(IdError::NotPlain), "it is one token of a subject");
        assert_eq!("V2".parse::<GenerationName>(), Err(IdError::NotPlain));
        assert_eq!("live".parse::<GenerationName>(), Err(IdError::NotPlain));
    }

    #[test]
    fn a_version_tells_its_generation() {
        let name: GenerationName = "v2".parse().expect("a name");
        let version = name.version_of("0123456789ab");
        assert_eq!(version, "0123456789ab@v2");
        assert_eq!(GenerationName::of_version(&version), Some("v2"));
        assert_eq!(GenerationName::of_version("0123456789ab"), None);
    }
}
