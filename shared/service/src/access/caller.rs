//! The caller of a request.

use std::{fmt, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use tidemill_domain::Timestamp;

use super::key::NamedKey;
use crate::Problem;

/// The caller of a request: the holder of a key, or anybody where a service is
/// open to everybody.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) key: Option<Arc<NamedKey>>,
    /// When the caller's session ends, if it has one.
    pub(super) until: Option<Timestamp>,
}

impl Caller {
    /// The caller of a service that is open to everybody.
    pub const ANYBODY: Self = Self { key: None, until: None };

    /// The name of the caller's key, or `anybody` if it has none. There are
    /// only as many names as keys, so a name may be a label.
    pub fn name(&self) -> &str {
        self.key.as_ref().map_or("anybody", |key| &key.name)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Only a guarded route has a caller. A handler that asks for one elsewhere is
/// a fault of ours.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(Problem::internal)
    }
}
