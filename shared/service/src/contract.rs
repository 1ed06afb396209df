//! What every route of every service takes and answers, said once: the server
//! completes each `/openapi.json` with it. What a route says itself stays.

use utoipa::{
    PartialSchema,
    openapi::{
        Content, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, Parameter, ParameterIn, PathItem},
        schema::{Schema, SchemaType, Type},
    },
};

use crate::{FieldError, Problem, address};

/// Statuses that the server answers before a route is asked.
const ANSWERS: [(&str, &str); 4] = [
    ("400", "The address holds a control character, or a parameter is wrong"),
    ("403", "A page of another origin asks, or the key is of another role"),
    ("421", "The request names a host that is not this one"),
    ("503", "The service is not ready"),
];

/// Adds to a description what its service did not have to say.
pub(crate) fn complete(mut openapi: OpenApi) -> OpenApi {
    for operation in openapi.paths.paths.values_mut().flat_map(operations) {
        for (status, description) in ANSWERS {
            operation.responses.responses.entry(status.into()).or_insert_with(|| RefOr::T(problem(description)));
        }
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                restrict(parameter);
            }
        }
    }
    let components = openapi.components.get_or_insert_default();
    components.schemas.entry("Problem".into()).or_insert_with(Problem::schema);
    components.schemas.entry("FieldError".into()).or_insert_with(FieldError::schema);
    openapi
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", Content::new(Some(schema)))
        .build()
}

/// A text in an address holds no control character: the rule of [`address`].
fn restrict(parameter: &mut Parameter) {
    let is_of_address = matches!(parameter.parameter_in, ParameterIn::Path | ParameterIn::Query);
    if let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
        && is_of_address
        && is_text(&object.schema_type)
        && object.pattern.is_none()
        && object.format.is_none()
        && object.enum_values.is_none()
    {
        object.pattern = Some(address::PATTERN.into());
    }
}

fn is_text(kind: &SchemaType) -> bool {
    match kind {
        SchemaType::Type(kind) => *kind == Type::String,
        SchemaType::Array(kinds) => kinds.contains(&Type::String),
        SchemaType::AnyValue => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::OpenApi as _;

    use super::*;

    #[utoipa::path(get, path = "/things/{id}",
        params(("id" = String, Path), ("kind" = Option<String>, Query, pattern = "^a$"), ("n" = u64, Query)),
        responses((status = 503, description = "its own words")))]
    #[allow(dead_code, reason = "only its description is looked at")]
    fn thing() {}

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(thing))]
    struct Api;

    #[test]
    fn a_description_is_completed_and_what_it_says_stays() {
        let openapi = serde_json::to_value(complete(Api::openapi())).expect("JSON");
        let operation = &openapi["paths"]["/things/{id}"]["get"];
        let parameter = |index: usize| &operation["parameters"][index]["schema"]["pattern"];
        assert_eq!((parameter(0), parameter(1)), (&json!(address::PATTERN), &json!("^a$")));
        assert!(parameter(2).is_null());
        assert_eq!(operation["responses"]["503"]["description"], "its own words");
        let answer = &operation["responses"]["400"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(answer, "#/components/schemas/Problem");
        assert!(openapi["components"]["schemas"]["FieldError"].is_object());
    }
}
