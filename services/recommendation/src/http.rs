//! The service's API: what is recommended, and what is known of customers.

mod answer;
mod parameters;
mod profiles;
mod recommendations;
mod snippet;

use std::sync::Arc;

use tidemill_service::{Access, Role, Routes};
use utoipa::OpenApi;

// By their bare names: of a module in a path, utoipa would make a tag.
use self::{profiles::*, recommendations::*};
use crate::app::Recommender;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidemill recommendation",
        description = "What a visitor wants next, what is popular, and what is known of customers."
    ),
    paths(recommendations, similar, bought_together, popular, trending, profile, erase, erase_session)
)]
struct Api;

/// The API's description.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

pub(crate) fn routes(access: &Access, app: Arc<Recommender>) -> Routes {
    Routes::new(access)
        .page("/assets/recommend.js", snippet::snippet)
        .get(Role::Read, "/v1/recommendations", recommendations)
        .get(Role::Read, "/v1/recommendations/similar/{item}", similar)
        .get(Role::Read, "/v1/recommendations/bought-together/{item}", bought_together)
        .get(Role::Read, "/v1/recommendations/popular", popular)
        .get(Role::Read, "/v1/recommendations/trending", trending)
        // What a customer bought is personal: a key that a page may show must not read it.
        .get(Role::Operate, "/v1/profiles/{customer}", profile)
        .delete(Role::Operate, "/v1/profiles/{customer}", erase)
        .delete(Role::Operate, "/v1/sessions/{session}", erase_session)
        .with_state(app)
}
