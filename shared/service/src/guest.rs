//! Routes of another service of the same process, answered on this service's port too.

use std::sync::{Arc, PoisonError, RwLock};

use axum::{Router, response::IntoResponse};

use crate::Problem;

/// The routes that a service has by now; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct CurrentRoutes(Arc<RwLock<Router>>);

impl Default for CurrentRoutes {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(none_yet())))
    }
}

fn none_yet() -> Router {
    Router::new().fallback(|| async { Problem::unavailable("the service is starting").into_response() })
}

impl CurrentRoutes {
    /// There are none yet, or none any more.
    pub(crate) fn clear(&self) {
        self.set(none_yet());
    }

    pub(crate) fn get(&self) -> Router {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, routes: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = routes;
    }
}

/// Another service, and below which path it answers here.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    path: &'static str,
    routes: CurrentRoutes,
}

impl Guest {
    pub(crate) fn new(path: &'static str, routes: CurrentRoutes) -> Self {
        Self { path, routes }
    }

    /// Its routes, for a path of its own.
    pub(crate) fn routes_of(&self, path: &str) -> Option<Router> {
        let rest = path.strip_prefix(self.path)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| self.routes.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_answers_below_its_path_alone() {
        let guest = Guest::new("/v1/recommendations", CurrentRoutes::default());
        let is_its = |path: &str| guest.routes_of(path).is_some();
        assert!(is_its("/v1/recommendations") && is_its("/v1/recommendations/popular"));
        assert!(!is_its("/v1/recommendationsx") && !is_its("/v1/profiles/c") && !is_its("/"));
    }
}
