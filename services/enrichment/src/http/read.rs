//! What is known, read.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use tidemill_domain::{Currency, Timestamp};
use tidemill_service::{
    Problem,
    parameters::{Given, given},
};
use utoipa::{IntoParams, ToSchema};

use super::{address::RecordAddress, api::Api};
use crate::{
    error::Error,
    reference::{RecordAttributes, RecordChange, RecordKind},
};

const MOST_LISTED: u32 = 1000;

/// An accepted change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    /// The version that it made.
    version: u64,
    /// From when it is valid; `null` for the beginning of time.
    #[schema(value_type = Option<String>)]
    valid_from: Option<Timestamp>,
    /// What is known from then on.
    attributes: RecordAttributes,
    /// When the event happened that says so; absent where a person has set it. What a
    /// person has set goes before what events say.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_at: Option<Timestamp>,
    /// Of a rate: the base currency that it leads to. Where the shop's is another by
    /// now, the rate is not used.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<Currency>,
}

/// What is known of one thing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordView {
    /// Its id.
    id: String,
    /// All accepted changes, the latest first.
    changes: Vec<ChangeView>,
}

impl RecordView {
    fn new(id: String, changes: Vec<RecordChange>) -> Self {
        let view = |RecordChange { version, valid_from, attributes, claimed_at, base }: RecordChange| ChangeView {
            version,
            valid_from,
            attributes,
            claimed_at,
            base,
        };
        Self { id, changes: changes.into_iter().rev().map(view).collect() }
    }
}

/// A page of records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Page)]
pub(crate) struct RecordPage {
    /// The version of all reference data: its number of accepted changes.
    version: u64,
    /// Records in the order of their ids.
    items: Vec<RecordView>,
    /// What to give as `after` for the next page; `null` at the end.
    next: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The id after which to begin.
    #[serde(default)]
    after: String,
    /// Records at most.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000)]
    limit: u32,
}

fn default_limit() -> u32 {
    100
}

/// What is known of one product, customer or country, with all versions.
#[utoipa::path(
    get, path = "/v1/reference/{kind}/{id}",
    params(("kind" = inline(RecordKind), Path), ("id" = String, Path, min_length = 1, max_length = 200)),
    responses(
        (status = 200, body = RecordView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(
    State(api): State<Api>,
    kind: RecordKind,
    Path(named): Path<RecordAddress>,
) -> Result<Json<RecordView>, Error> {
    let id = named.id;
    let changes = api.store.histories(kind, &[&id]).await?.remove(&id).ok_or(Error::Unknown { kind })?;
    Ok(Json(RecordView::new(id, changes)))
}

/// What is known of a kind, a page at a time.
#[utoipa::path(
    get, path = "/v1/reference/{kind}",
    params(("kind" = inline(RecordKind), Path), PageQuery),
    responses(
        (status = 200, body = RecordPage),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    kind: RecordKind,
    query: Given<PageQuery>,
) -> Result<Json<RecordPage>, Error> {
    let query = given(query).map_err(Error::Parameter)?;
    let limit = query.limit;
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(Error::Parameter(format!("limit must be between 1 and {MOST_LISTED}")));
    }
    let version = api.store.version().await?;
    let ids = api.store.ids(kind, &query.after, limit).await?;
    let next = ids.last().filter(|_| ids.len() == limit as usize).cloned();
    let mut found = api.store.histories(kind, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let items = ids
        .into_iter()
        .map(|id| {
            let changes = found.remove(&id).unwrap_or_default();
            RecordView::new(id, changes)
        })
        .collect();
    Ok(Json(RecordPage { version, items, next }))
}
