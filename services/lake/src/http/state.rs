//! What the routes work with.

use std::sync::Arc;

use axum::extract::FromRef;
use tidemill_batch_views::SqlEngine;

use crate::committer::Committers;

/// Shared by all routes.
#[derive(Clone)]
pub(crate) struct LakeApi {
    pub(crate) committers: Committers,
    pub(crate) engine: Arc<SqlEngine>,
}

impl FromRef<LakeApi> for Arc<SqlEngine> {
    fn from_ref(api: &LakeApi) -> Self {
        Self::clone(&api.engine)
    }
}
