//! For the tests of this crate.

use tidemill_service::{Access, AuthConfig, Caller, Context, Role};

/// Callers with a key of their own each.
pub(crate) fn two_callers() -> (Caller, Caller) {
    let auth: AuthConfig =
        tidemill_service::config::parse("write = 'one key-number-one-1,two key-number-two-2'").expect("right");
    let access = Access::start(&auth, &Context::new("test"), &[Role::Write]).expect("keys");
    let caller = |key: &str| {
        let header = ("x-write-key".parse().expect("a name"), key.parse().expect("a value"));
        let headers = axum::http::HeaderMap::from_iter([header]);
        access.check(&axum::http::Method::POST, &headers, Role::Write).expect("known")
    };
    (caller("key-number-one-1"), caller("key-number-two-2"))
}
