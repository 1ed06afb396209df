//! The service's own API: what fired, and what is watched.

mod alerts;
mod rules;

use std::sync::Arc;

use tidemill_service::{Access, Role, Routes};
use utoipa::OpenApi;

// By their names alone: a path would become a tag of the description.
use self::{
    alerts::{__path_alerts, alerts},
    rules::{__path_rules, rules},
};
use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tidemill alert", description = "Alerts that fired, and the rules behind them."),
    paths(alerts, rules)
)]
struct Api;

/// The API's description.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

pub(crate) fn routes(access: &Access, app: Arc<App>) -> Routes {
    Routes::new(access).get(Role::Read, "/v1/alerts", alerts).get(Role::Read, "/v1/rules", rules).with_state(app)
}
