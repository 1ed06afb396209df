//! The books.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use tidemill_domain::Timestamp;
use tidemill_service::Problem;
use utoipa::IntoParams;

use super::extract::Parameters;
use crate::{
    books::{BooksAnswer, HOUR},
    calendar::AskedTime,
    error::Error,
    range,
    state::Reporting,
};

/// Sources that the books list.
const SOURCES: usize = 10_000;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BooksParameters {
    /// Of this source alone.
    source: Option<String>,
    /// Whether each source is told by hour of ingestion too.
    hours: Option<bool>,
    /// Hours from this one on (RFC 3339): an hour's first instant.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<AskedTime>,
}

/// The books: what was received, and what became of it.
///
/// `received = accepted + rejected`, and the books balance when it equals
/// `counted + late + duplicate + dead_lettered`. An event of a dead letter that
/// is redriven is received anew, in the hour of that; the letter stays the
/// outcome of its first attempt. Dead letters of alert and reporting are not in
/// the books: they are failures of readers, whose events have their outcome.
#[utoipa::path(get, path = "/v1/books",
    params(BooksParameters),
    responses(
        (status = 200, body = BooksAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn books(
    State(reporting): State<Arc<Reporting>>,
    Parameters(asked): Parameters<BooksParameters>,
) -> Result<Json<BooksAnswer>, Error> {
    let from = asked.from.map(|from| from.0);
    range::check("the books", HOUR, from, None)?;
    let from = from.unwrap_or(Timestamp::saturating_from_millis(i64::MIN));
    let as_of = reporting.now();
    let lines = reporting.store.book_lines().await?.into_iter();
    let lines = lines.filter(|(source, _)| asked.source.as_ref().is_none_or(|wanted| wanted == source));
    let books = BooksAnswer::new(as_of, lines, SOURCES);
    Ok(Json(match asked.hours {
        Some(true) => books.with_hours(reporting.store.book_hours(from).await?),
        Some(false) | None => books,
    }))
}
