//! What the routes work with.

use std::sync::Arc;

use axum::extract::FromRef;
use tidemill_batch_views::{Gold, SqlEngine};
use tidemill_bus::Bus;
use tidemill_domain::SharedClock;

use crate::{committer::Committers, rebuild::Rebuilder, silver::SilverRules, sql::SqlProcesses, store::Store};

/// Shared by all routes.
#[derive(Clone)]
pub(crate) struct LakeApi {
    pub(crate) bus: Bus,
    pub(crate) committers: Committers,
    pub(crate) engine: Arc<SqlEngine>,
    pub(crate) sql: Arc<SqlProcesses>,
    pub(crate) store: Store,
    pub(crate) clock: SharedClock,
    pub(crate) gold: Arc<Gold>,
    pub(crate) rebuilder: Arc<Rebuilder>,
    pub(crate) rules: Arc<SilverRules>,
}

impl FromRef<LakeApi> for Arc<SqlEngine> {
    fn from_ref(api: &LakeApi) -> Self {
        Self::clone(&api.engine)
    }
}

impl FromRef<LakeApi> for Arc<SqlProcesses> {
    fn from_ref(api: &LakeApi) -> Self {
        Self::clone(&api.sql)
    }
}

impl FromRef<LakeApi> for Arc<Rebuilder> {
    fn from_ref(api: &LakeApi) -> Self {
        Self::clone(&api.rebuilder)
    }
}
