//! A request whose key may be in its body.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{Method, request::Parts},
    middleware::Next,
    response::Response,
};

use super::{
    Access, Caller, Denied, Role,
    credentials::{Credentials, brings_key},
    guard::admit,
};
use crate::Problem;

/// Who sends a request to a route whose key may be in the body.
#[derive(Debug, Clone)]
pub enum Admitted {
    /// The holder of a key, or anybody where a service is open to everybody.
    Known(Caller),
    /// Nobody knows yet.
    Undecided(Undecided),
}

/// A request that brings no key before its body. Until its caller is known, it is one
/// of a stranger, and nothing is done for it but to look for the key.
#[derive(Debug, Clone)]
pub struct Undecided {
    access: Access,
    needs: Role,
}

impl Undecided {
    /// The caller, by the key that was found in the body. It is compared and counted
    /// as one in a header is.
    pub fn decide(self, key: Option<&str>) -> Result<Caller, Denied> {
        let credentials = key.map_or(Credentials::None, |key| Credentials::Key(key.to_owned()));
        let decided = self.access.judge(&Method::POST, credentials, self.needs);
        self.access.tell(&decided);
        decided
    }
}

/// The guard before a route whose key may be in the body. It decides as the other one
/// does, but where a request brings no key before its body: then the handler has to
/// have it decided.
pub(super) async fn admit_undecided(
    State((access, needs)): State<(Access, Role)>,
    mut request: Request,
    next: Next,
) -> Response {
    if access.is_open() || brings_key(request.headers(), request.uri(), needs) {
        return admit(State((access, needs)), request, next).await;
    }
    request.extensions_mut().insert(Undecided { access, needs });
    next.run(request).await
}

/// Only a guarded route has one. A handler that asks for one elsewhere is a fault of
/// ours.
impl<S: Sync> FromRequestParts<S> for Admitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let known = parts.extensions.get::<Caller>().cloned().map(Self::Known);
        let undecided = || parts.extensions.get::<Undecided>().cloned().map(Self::Undecided);
        known.or_else(undecided).ok_or_else(Problem::internal)
    }
}
