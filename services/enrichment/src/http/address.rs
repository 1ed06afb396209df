//! Addresses of records.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::Deserialize;
use tidemill_service::Problem;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use crate::reference::RecordKind;

/// The kind in the address, by its plural.
impl<S: Send + Sync> FromRequestParts<S> for RecordKind {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct KindAddress {
            kind: String,
        }
        let Path(KindAddress { kind: name }) =
            Path::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        RecordKind::ALL.into_iter().find(|kind| kind.plural() == name).ok_or_else(Problem::not_found)
    }
}

impl PartialSchema for RecordKind {
    fn schema() -> RefOr<Schema> {
        let plurals = Self::ALL.map(Self::plural);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(plurals)).into()
    }
}

impl ToSchema for RecordKind {}

/// The id in the address.
#[derive(Deserialize)]
pub(super) struct RecordAddress {
    pub(super) id: String,
}
