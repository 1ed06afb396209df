//! `GET /v1/recommendations`, and the lists beside it.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use tidemill_service::{Problem, parameters::Given};

use super::{
    answer::RecommendationsAnswer,
    parameters::{ShelfParameters, VisitParameters, given, item},
};
use crate::{
    app::Recommender,
    error::Error,
    recommend::{Recommended, Sources},
    rules::{AssignedVariant, RecommendationRules},
};

type AnswerMade = Result<Json<RecommendationsAnswer>, Error>;

/// What continues a visit.
///
/// The visit is what is known of the customer's and the session's current one, and the
/// items that the caller names. Where too little is known, the answer is filled up by what
/// is popular in the visit's categories, and by what is popular.
#[utoipa::path(get, path = "/v1/recommendations", params(
    VisitParameters,
    ("item" = Option<Vec<String>>, Query,
        description = "Like `items`, one id each time: of items with a comma in theirs"),
), responses(
    (status = 200, body = RecommendationsAnswer),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn recommendations(State(app): State<Arc<Recommender>>, RawQuery(query): RawQuery) -> AnswerMade {
    let (given, named) = VisitParameters::of(query.as_deref())?;
    let (visit, mut wanted, whose_purchases) = given.read(&named)?;
    if let Some(customer) = whose_purchases {
        let profile = app.store.profile_at_once(customer).await?;
        wanted.without.extend(profile.into_iter().flat_map(|profile| profile.purchases).map(|bought| bought.item));
    }
    let rules = app.rules.current();
    let (rules, variant) = rules.of(visit.customer.or(visit.session));
    Ok(answer_by(&app, "visit", rules, variant, |sources| sources.for_visit(&visit, wanted)))
}

/// What is like an item: by the visits that have both.
///
/// Where too little is known, the answer is filled up by the rules' fallbacks, also of an item
/// that nothing is known of: `reason.strategy` is `similar` for what is like it alone.
#[utoipa::path(get, path = "/v1/recommendations/similar/{item}",
    params(("item" = String, Path, description = "The item's id"), ShelfParameters),
    responses(
        (status = 200, body = RecommendationsAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn similar(
    State(app): State<Arc<Recommender>>,
    Path(id): Path<String>,
    query: Given<ShelfParameters>,
) -> AnswerMade {
    let (id, wanted) = (item(&id)?, given(query)?.wanted()?);
    Ok(answer(&app, "similar", |sources| sources.similar(&id, wanted)))
}

/// What is bought together with an item, by lift: what is there more often than by chance.
#[utoipa::path(get, path = "/v1/recommendations/bought-together/{item}",
    params(("item" = String, Path, description = "The item's id"), ShelfParameters),
    responses(
        (status = 200, body = RecommendationsAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn bought_together(
    State(app): State<Arc<Recommender>>,
    Path(id): Path<String>,
    query: Given<ShelfParameters>,
) -> AnswerMade {
    let (id, wanted) = (item(&id)?, given(query)?.wanted()?);
    Ok(answer(&app, "bought_together", |sources| sources.bought_together(&id, wanted)))
}

/// What is popular.
#[utoipa::path(get, path = "/v1/recommendations/popular", params(ShelfParameters), responses(
    (status = 200, body = RecommendationsAnswer),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn popular(State(app): State<Arc<Recommender>>, query: Given<ShelfParameters>) -> AnswerMade {
    let wanted = given(query)?.wanted()?;
    Ok(answer(&app, "popular", |sources| sources.popular(wanted)))
}

/// What is popular lately: interactions count half after a day.
#[utoipa::path(get, path = "/v1/recommendations/trending", params(ShelfParameters), responses(
    (status = 200, body = RecommendationsAnswer),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn trending(State(app): State<Arc<Recommender>>, query: Given<ShelfParameters>) -> AnswerMade {
    let wanted = given(query)?.wanted()?;
    Ok(answer(&app, "trending", |sources| sources.trending(wanted)))
}

/// Makes a list by the rules of all visitors.
fn answer(
    app: &Recommender,
    list: &'static str,
    choose: impl FnOnce(&Sources<'_>) -> Vec<Recommended>,
) -> Json<RecommendationsAnswer> {
    answer_by(app, list, &app.rules.current().standard, None, choose)
}

/// Makes a list from memory alone.
fn answer_by(
    app: &Recommender,
    list: &'static str,
    rules: &RecommendationRules,
    variant: Option<AssignedVariant>,
    choose: impl FnOnce(&Sources<'_>) -> Vec<Recommended>,
) -> Json<RecommendationsAnswer> {
    let (begun, now) = (Instant::now(), app.now());
    let charts = app.model.charts(now);
    let state = app.model.read();
    let chosen = choose(&Sources { state: &state, rules, charts: &charts, now });
    let answer = RecommendationsAnswer::new(&state, now, app.context.new_id(), variant, chosen);
    app.telemetry.answered(list, begun.elapsed());
    Json(answer)
}
