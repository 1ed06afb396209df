//! Routes, each with the role that it needs.

use std::convert::Infallible;

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    http::StatusCode,
    middleware,
    response::IntoResponse,
    routing::{MethodFilter, Route, on},
};
use tidemill_domain::Code;
use tower::{Layer, Service};
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, OpenApi, PathItem, Ref, ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::{Access, Role, credentials::PARAMETER, guard::admit, undecided::admit_undecided};
use crate::Problem;

/// What a request must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is open to everybody.
    Nothing,
    /// A key that opens this role.
    Key(Role),
    /// The same; where no header and no address has one, it may be in the body. The
    /// handler takes an [`Admitted`](super::Admitted), and has that decided.
    KeyInBody(Role),
}

impl Needs {
    const fn role(self) -> Option<Role> {
        match self {
            Self::Nothing => None,
            Self::Key(role) | Self::KeyInBody(role) => Some(role),
        }
    }
}

impl From<Role> for Needs {
    fn from(role: Role) -> Self {
        Self::Key(role)
    }
}

/// A router whose every route says who may call it.
pub struct Routes<S = ()> {
    router: Router<S>,
    access: Access,
    declared: Vec<Declared>,
}

struct Declared {
    method: HttpMethod,
    path: &'static str,
    needs: Needs,
}

/// Routes and their documentation say different things.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undeclared {
    /// Nobody knows who may call it.
    #[error("{0} is documented, and no route")]
    Route(String),
    /// Nobody knows that it is there.
    #[error("{0} is a route, and not documented")]
    Document(String),
}

/// Answers the methods that a route does not have. Only routes that are there
/// already get this answer, so it comes after them, and before the layers that
/// wrap them.
fn answering_all_methods<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed))
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// A router without routes.
    pub fn new(access: &Access) -> Self {
        Self { router: Router::new(), access: access.clone(), declared: Vec::new() }
    }

    /// A `GET`.
    #[must_use]
    pub fn get<T: 'static>(self, needs: impl Into<Needs>, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.declare(HttpMethod::Get, MethodFilter::GET, needs.into(), path, handler)
    }

    /// A `POST`.
    #[must_use]
    pub fn post<T: 'static>(self, needs: impl Into<Needs>, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.declare(HttpMethod::Post, MethodFilter::POST, needs.into(), path, handler)
    }

    /// A `PUT`.
    #[must_use]
    pub fn put<T: 'static>(self, needs: impl Into<Needs>, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.declare(HttpMethod::Put, MethodFilter::PUT, needs.into(), path, handler)
    }

    /// A `DELETE`.
    #[must_use]
    pub fn delete<T: 'static>(self, needs: impl Into<Needs>, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.declare(HttpMethod::Delete, MethodFilter::DELETE, needs.into(), path, handler)
    }

    /// What a browser shows, and no part of the API: open to everybody.
    #[must_use]
    pub fn page<T: 'static>(self, path: &'static str, handler: impl Handler<T, S>) -> Self {
        Self { router: self.router.route(path, on(MethodFilter::GET, handler)), ..self }
    }

    fn declare<T: 'static>(
        mut self,
        method: HttpMethod,
        filter: MethodFilter,
        needs: Needs,
        path: &'static str,
        handler: impl Handler<T, S>,
    ) -> Self {
        let route = on(filter, handler);
        let route = match needs {
            Needs::Nothing => route,
            Needs::Key(role) => route.route_layer(middleware::from_fn_with_state((self.access.clone(), role), admit)),
            Needs::KeyInBody(role) => {
                route.route_layer(middleware::from_fn_with_state((self.access.clone(), role), admit_undecided))
            }
        };
        self.declared.push(Declared { method, path, needs });
        Self { router: self.router.route(path, route), ..self }
    }

    /// Wraps all routes. The layer runs before their guards.
    #[must_use]
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        Self { router: answering_all_methods(self.router).layer(layer), ..self }
    }

    /// Gives the handlers the state that they work on.
    pub fn with_state(self, state: S) -> Routes {
        let router = answering_all_methods(self.router).with_state(state);
        Routes { router, access: self.access, declared: self.declared }
    }
}

impl Routes {
    pub(crate) fn into_router(self) -> Router {
        self.router
    }

    /// Writes into the API's description what each route needs, and the answers
    /// that follow from it. It is an error if the description has other routes.
    pub fn describe(&self, openapi: &mut OpenApi) -> Result<(), Undeclared> {
        for (path, item) in &mut openapi.paths.paths {
            for (method, operation) in operations(item) {
                let here = |declared: &&Declared| (declared.path, &declared.method) == (path.as_str(), &method);
                match self.declared.iter().find(here) {
                    Some(declared) => self.guarded(operation, declared.needs),
                    None => return Err(Undeclared::Route(named(&method, path))),
                }
            }
        }
        let documented = |declared: &Declared| {
            let item = openapi.paths.paths.get_mut(declared.path);
            item.is_some_and(|item| operations(item).any(|(method, _)| method == declared.method))
        };
        let mut declared = self.declared.iter();
        let mut documented = documented;
        if let Some(missing) = declared.find(|declared| !documented(declared)) {
            return Err(Undeclared::Document(named(&missing.method, missing.path)));
        }
        self.add_components(openapi);
        Ok(())
    }

    fn guarded(&self, operation: &mut Operation, needs: Needs) {
        let Some(role) = needs.role() else {
            operation.security = Some(Vec::new());
            return;
        };
        let schemes = schemes(role, self.access.has_sessions());
        operation.security =
            Some(schemes.into_iter().map(|name| SecurityRequirement::new::<_, [&str; 0], _>(name, [])).collect());
        for (status, told) in [("401", "No valid key"), ("403", "A key of another role")] {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(told).content("application/problem+json", content);
            operation.responses.responses.entry(status.into()).or_insert_with(|| response.build().into());
        }
    }

    fn add_components(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let mut schemas = vec![(Problem::name().into_owned(), <Problem as utoipa::PartialSchema>::schema())];
        Problem::schemas(&mut schemas);
        for (name, schema) in schemas {
            components.schemas.entry(name).or_insert(schema);
        }
        let needed = |role| self.declared.iter().any(|declared| declared.needs.role() == Some(role));
        let roles = Role::ALL.into_iter().filter(|role| needed(*role));
        for name in roles.flat_map(|role| schemes(role, self.access.has_sessions())) {
            components.add_security_scheme(name, scheme(name));
        }
    }
}

fn named(method: &HttpMethod, path: &str) -> String {
    let method = match method {
        HttpMethod::Get => "GET",
        HttpMethod::Put => "PUT",
        HttpMethod::Post => "POST",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Options => "OPTIONS",
        HttpMethod::Head => "HEAD",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Trace => "TRACE",
    };
    format!("{method} {path}")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    let all = [
        (HttpMethod::Get, get),
        (HttpMethod::Put, put),
        (HttpMethod::Post, post),
        (HttpMethod::Delete, delete),
        (HttpMethod::Options, options),
        (HttpMethod::Head, head),
        (HttpMethod::Patch, patch),
        (HttpMethod::Trace, trace),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

const WRITE: [&str; 4] = ["write_key", "write_key_header", "write_key_basic", "write_key_parameter"];
const SESSION: &str = "session";

/// The names of the ways in, any of which is enough. Each begins with the role
/// of the key that it takes.
fn schemes(needs: Role, sessions: bool) -> Vec<&'static str> {
    match needs {
        Role::Write => WRITE.into(),
        Role::Read if sessions => vec!["read_key", "operate_key", SESSION],
        Role::Read => vec!["read_key", "operate_key"],
        Role::Operate => vec!["operate_key"],
    }
}

fn scheme(name: &str) -> SecurityScheme {
    match name {
        "write_key_header" => SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Write-Key"))),
        "write_key_basic" => SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)),
        "write_key_parameter" => SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new(PARAMETER))),
        SESSION => SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("tidemill_session"))),
        _ => SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    }
}
