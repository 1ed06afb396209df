//! `GET /v1/rules`.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{app::App, rules::RuleMeta};

#[derive(Serialize, ToSchema)]
pub(super) struct RulesAnswer {
    rules: Vec<RuleView>,
}

#[derive(Serialize, ToSchema)]
struct RuleView {
    name: String,
    /// The hash of the whole rule.
    version: String,
    severity: &'static str,
    description: String,
    /// `metric`, `event` or `quality`.
    on: &'static str,
    /// The rest of the rule, as in its file.
    #[schema(value_type = Object)]
    definition: serde_json::Value,
}

fn view(meta: &RuleMeta, on: &'static str, body: &impl Serialize) -> RuleView {
    RuleView {
        name: meta.rule.clone(),
        version: meta.version.clone(),
        severity: meta.severity.as_str(),
        description: meta.description.clone(),
        on,
        definition: serde_json::to_value(body).unwrap_or_default(),
    }
}

/// The rules that are evaluated.
#[utoipa::path(get, path = "/v1/rules", responses((status = 200, body = RulesAnswer)))]
pub(super) async fn rules(State(app): State<Arc<App>>) -> Json<RulesAnswer> {
    let metric = app.rules.metric.iter().map(|rule| view(&rule.meta, "metric", &rule.body));
    let event = app.rules.event.iter().map(|rule| view(&rule.meta, "event", &rule.body));
    let quality = app.rules.quality.iter().map(|rule| view(&rule.meta, "quality", &rule.body));
    Json(RulesAnswer { rules: metric.chain(event).chain(quality).collect() })
}
