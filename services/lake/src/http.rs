//! What is asked over HTTP.

mod batch_views;
mod bronze;
mod lineage;
mod quality;
mod rebuilds;
mod redrives;
mod sql;
mod state;
mod tables;

use axum::response::{IntoResponse, Response};
use tidemill_service::{Access, Role, Routes};
use tidemill_stage::Failure;
use utoipa::OpenApi;

pub(crate) use self::state::LakeApi;
use crate::error::Error;

#[derive(OpenApi)]
#[openapi(
    paths(
        tables::tables,
        quality::quality,
        sql::sql,
        sql::plan,
        redrives::order,
        redrives::redrive,
        lineage::lineage,
        rebuilds::begin,
        rebuilds::newest,
        rebuilds::stop,
        batch_views::views,
        batch_views::order,
        batch_views::ordered,
        bronze::batches,
        bronze::log
    ),
    info(title = "Tidemill lake", description = "The tables of the lake, and questions over them")
)]
struct LakeDocumentation;

pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    LakeDocumentation::openapi()
}

pub(crate) fn routes(access: &Access, api: LakeApi) -> Routes {
    Routes::new(access)
        .get(Role::Read, "/v1/tables", tables::tables)
        .get(Role::Read, "/v1/quality", quality::quality)
        .post(Role::Read, "/v1/sql", sql::sql)
        .get(Role::Read, "/v1/plans/{metric}", sql::plan)
        .post(Role::Operate, "/v1/redrives", redrives::order)
        .get(Role::Read, "/v1/redrives/{number}", redrives::redrive)
        .get(Role::Read, "/v1/lineage/{metric}", lineage::lineage)
        .post(Role::Operate, "/v1/rebuilds", rebuilds::begin)
        .get(Role::Read, "/v1/rebuilds", rebuilds::newest)
        .delete(Role::Operate, "/v1/rebuilds", rebuilds::stop)
        .get(Role::Read, "/v1/batch-views", batch_views::views)
        .post(Role::Operate, "/v1/batch-views/orders", batch_views::order)
        .get(Role::Read, "/v1/batch-views/orders/{number}", batch_views::ordered)
        .get(Role::Read, "/v1/bronze/batches", bronze::batches)
        .get(Role::Read, "/v1/bronze/log", bronze::log)
        .with_state(api)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        tracing::warn!(error = %self, code = self.code().as_str(), "a request failed");
        self.problem().into_response()
    }
}
