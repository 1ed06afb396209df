//! The health of the chain.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::extract::{NoParameters, Parameters};
use crate::{chain::ChainHealth, state::Reporting};

/// The health of the chain.
#[utoipa::path(get, path = "/v1/health", responses((status = 200, body = ChainHealth)))]
pub(super) async fn health(State(reporting): State<Arc<Reporting>>, _: Parameters<NoParameters>) -> Json<ChainHealth> {
    Json(reporting.health.borrow().clone())
}
