//! Who asks.

use std::{fmt, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use tidemill_domain::Timestamp;

use super::key::NamedKey;
use crate::Problem;

/// Who asks: the holder of a key, or whoever asks where everybody may.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) key: Option<Arc<NamedKey>>,
    /// When its session ends, where it has one.
    pub(super) until: Option<Timestamp>,
}

impl Caller {
    /// Whoever asks where everybody may.
    pub const ANYBODY: Self = Self { key: None, until: None };

    /// The name of its key; `anybody` where there are none. There are as many
    /// as there are keys, so that it may be a label.
    pub fn name(&self) -> &str {
        self.key.as_ref().map_or("anybody", |key| &key.name)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Of a guarded route; on another one it is a fault of ours.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(Problem::internal)
    }
}
