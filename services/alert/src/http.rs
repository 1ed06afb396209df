//! The service's own API: what fired, and what is watched.

mod alerts;
mod rules;

use std::sync::Arc;

use tidemill_service::{Access, Role, Routes};
use utoipa::OpenApi;

use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tidemill alert", description = "Alerts that fired, and the rules behind them."),
    paths(alerts::alerts, rules::rules)
)]
struct Api;

/// The API's description.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

pub(crate) fn routes(access: &Access, app: Arc<App>) -> Routes {
    Routes::new(access)
        .get(Role::Read, "/v1/alerts", alerts::alerts)
        .get(Role::Read, "/v1/rules", rules::rules)
        .with_state(app)
}
