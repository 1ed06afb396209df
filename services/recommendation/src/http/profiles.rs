//! `/v1/profiles/{customer}`: what is known of a customer, and its end; and that of a
//! visit.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use tidemill_domain::Timestamp;
use tidemill_service::{Caller, Problem, parameters::Given};
use utoipa::ToSchema;

use super::{
    answer::ProfileAnswer,
    parameters::{ProfileParameters, given, id},
};
use crate::{
    app::Recommender,
    error::Error,
    learning::VisitorId,
    store::{ErasureOrder, ErasureWritten, NOTHING_FOR_MILLIS},
    upkeep::carry_out_erasures,
};

type NoneGiven = Given<ProfileParameters>;

/// What is known of a customer.
///
/// It lags a little behind recommendations: it is read from the store.
#[utoipa::path(get, path = "/v1/profiles/{customer}",
    params(("customer" = String, Path, description = "The customer's id")),
    responses(
        (status = 200, body = ProfileAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn profile(
    State(app): State<Arc<Recommender>>,
    Path(customer): Path<String>,
    query: NoneGiven,
) -> Result<Json<ProfileAnswer>, Error> {
    given(query)?;
    let profile = app.store.profile_at_once(whose(customer)?).await?.ok_or(Error::UnknownCustomer)?;
    Ok(Json(ProfileAnswer::new(app.now(), profile.published(&app.segments))))
}

/// What an erasure comes to.
#[derive(Serialize, ToSchema)]
pub(super) struct ErasureAnswer {
    /// Its number, higher than those of all before: the store keeps when it was asked for, and by which key.
    number: u64,
    /// No event of theirs is learnt that was taken in before or then: ten seconds after the
    /// call, or more where clocks differ.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
}

/// Forget a customer.
///
/// What is known of the customer and of their visits is gone at once on this replica, and
/// within a second on all others, but on one that cannot reach the store: its `/readyz` says so.
/// Their events that are in the log are not learnt again, whatever starts anew. Events that are
/// taken in after `until`, which is ten seconds later or a little more, are learnt as those of
/// anybody.
/// The log itself keeps events for as long as it keeps any.
#[utoipa::path(delete, path = "/v1/profiles/{customer}",
    params(("customer" = String, Path, description = "The customer's id")),
    responses(
        (status = 200, body = ErasureAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn erase(
    State(app): State<Arc<Recommender>>,
    Path(customer): Path<String>,
    query: NoneGiven,
    caller: Caller,
) -> Result<Json<ErasureAnswer>, Error> {
    given(query)?;
    forget(&app, whose(customer)?, caller.name()).await
}

/// Forget a visit.
///
/// For a visitor who is not known as a customer: everything that was learnt of the visit
/// is forgotten as a customer's is. What names a customer, too, is the customer's, and
/// stays.
#[utoipa::path(delete, path = "/v1/sessions/{session}",
    params(("session" = String, Path, description = "The visit's id")),
    responses(
        (status = 200, body = ErasureAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn erase_session(
    State(app): State<Arc<Recommender>>,
    Path(session): Path<String>,
    query: NoneGiven,
    caller: Caller,
) -> Result<Json<ErasureAnswer>, Error> {
    given(query)?;
    let session = id("session", Some(session))?.unwrap_or_default();
    forget(&app, VisitorId::session(&session), caller.name()).await
}

/// Forgets a customer with their visits, or a visit alone.
async fn forget(app: &Recommender, visitor: VisitorId, by: &str) -> Result<Json<ErasureAnswer>, Error> {
    let at = app.now();
    let until = at.plus_millis(NOTHING_FOR_MILLIS);
    let order = ErasureOrder { customer: visitor, until, at, known: app.model.erasure(), by };
    let ErasureWritten { number, until } = app.store.erase(order, app.bus.partitions().all()).await?;
    tracing::info!(number, by, "a visitor is forgotten");
    carry_out_erasures(app).await?;
    Ok(Json(ErasureAnswer { number, until }))
}

fn whose(customer: String) -> Result<VisitorId, Error> {
    let id = id("customer", Some(customer))?.unwrap_or_default();
    Ok(VisitorId::customer(&id))
}
