//! What the routes work with.

use crate::committer::Committers;

/// Shared by all routes.
#[derive(Clone)]
pub(crate) struct LakeApi {
    pub(crate) committers: Committers,
}
