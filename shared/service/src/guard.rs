//! What keeps pages of other origins out. A browser on the same machine or in
//! the same network may open such a page.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_domain::Code;

use crate::Problem;

/// A host's name or address, without a port; one of IPv6 in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HostName(String);

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_name = host(&text).is_some_and(|host| host.eq_ignore_ascii_case(&text));
        if is_name { Ok(Self(text.to_ascii_lowercase())) } else { Err(format!("{text:?} is no host without a port")) }
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

/// The host of `host:port`. Credentials before it are no part of a `Host`.
fn host(authority: &str) -> Option<String> {
    let parsed: Authority = authority.parse().ok().filter(|_| !authority.contains('@'))?;
    Some(parsed.host().to_ascii_lowercase()).filter(|host| !host.is_empty())
}

/// Refuses requests that name a host outside `hosts`, if there are any. By DNS
/// rebinding a page makes the browser believe that this server is the page's
/// own. The page cannot change the name that the browser asks for.
pub(crate) async fn known_host(State(hosts): State<Arc<BTreeSet<HostName>>>, request: Request, next: Next) -> Response {
    if hosts.is_empty() || names_only(&request, &hosts) {
        return next.run(request).await;
    }
    Problem::new(StatusCode::MISDIRECTED_REQUEST, Code::MisdirectedRequest)
        .detail("http.hosts lists the names by which this server may be asked")
        .into_response()
}

/// Whether the request names a host, and names none but these.
fn names_only(request: &Request, hosts: &BTreeSet<HostName>) -> bool {
    let in_address = request.uri().authority().map(Authority::as_str);
    let mut named = in_address
        .into_iter()
        .map(Some)
        .chain(request.headers().get_all(header::HOST).iter().map(|host| host.to_str().ok()))
        .peekable();
    named.peek().is_some() && named.all(|name| name.and_then(host).is_some_and(|name| hosts.contains(&HostName(name))))
}

/// Refuses requests that a page of another origin has a browser send: a change
/// in any case, and a read unless a person goes to it. Browsers tell of this in
/// `Sec-Fetch-Site`. If one does not, the origin of a change is compared with
/// the host. Routes that pages may ask have a rule of their own, CORS.
pub(crate) async fn own_pages(request: Request, next: Next) -> Response {
    if is_foreign(request.method(), request.headers()) {
        return Problem::new(StatusCode::FORBIDDEN, Code::ForeignPage)
            .detail("pages may be opened here, and may not ask this server on their own")
            .into_response();
    }
    next.run(request).await
}

fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match said("sec-fetch-site") {
        Some("same-origin" | "none") => false,
        Some(_) => changes || !is_visit(said("sec-fetch-mode"), said("sec-fetch-dest")),
        None => changes && said("origin").is_some_and(|origin| !is_of_host(origin, headers)),
    }
}

/// Whether a person follows a link. A frame is a part of the other page.
fn is_visit(mode: Option<&str>, destination: Option<&str>) -> bool {
    mode == Some("navigate") && matches!(destination, None | Some("document"))
}

fn is_of_host(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin.split_once("://").is_some_and(|(_, authority)| host.is_some_and(|host| authority.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn asks_for(hosts: &[&str], address: &str, named: &[&str]) -> bool {
        let known = hosts.iter().map(|name| HostName::try_from((*name).to_owned()).expect(name)).collect();
        let mut request = Request::builder().uri(address);
        for host in named {
            request = request.header("host", *host);
        }
        names_only(&request.body(Body::empty()).expect("a request"), &known)
    }

    #[test]
    fn every_host_that_is_named_must_be_known() {
        let local = ["localhost", "127.0.0.1", "[::1]"];
        for host in ["localhost", "LocalHost:7080", "127.0.0.1:1", "[::1]:7080", "[::1]"] {
            assert!(asks_for(&local, "/", &[host]), "{host}");
        }
        for host in ["evil.example", "evil.example:7080", "localhost.evil.example", "localhost@evil", "x@localhost", ""]
        {
            assert!(!asks_for(&local, "/", &[host]), "{host}");
        }
        assert!(!asks_for(&local, "/", &[]), "a host must be named");
        assert!(!asks_for(&local, "/", &["localhost", "evil.example"]));
        assert!(!asks_for(&local, "http://evil.example/", &["localhost"]));
        assert!(asks_for(&local, "http://localhost/", &["localhost"]));
    }

    #[test]
    fn a_host_is_a_name_without_a_port() {
        for wrong in ["localhost:80", "http://localhost", "a b", "", "::1", "a@b", "localhost/"] {
            let refused = HostName::try_from(wrong.to_owned()).expect_err(wrong);
            assert!(refused.contains(wrong), "{refused}");
        }
    }

    fn foreign(method: &Method, headers: &[(&'static str, &str)]) -> bool {
        let named = [("host", "127.0.0.1:7071")];
        let headers = named.iter().chain(headers).map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).expect(value))
        });
        is_foreign(method, &headers.collect())
    }

    #[test]
    fn a_page_of_another_origin_changes_and_reads_nothing() {
        for site in ["cross-site", "same-site"] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert!(foreign(&method, &[("sec-fetch-site", site), ("sec-fetch-mode", "navigate")]), "{method}");
            }
            for mode in ["no-cors", "cors", "websocket"] {
                assert!(foreign(&Method::GET, &[("sec-fetch-site", site), ("sec-fetch-mode", mode)]), "{mode}");
            }
            let visit = [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            assert!(!foreign(&Method::GET, &visit));
            let frame = [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
            assert!(foreign(&Method::GET, &frame));
        }
    }

    #[test]
    fn the_page_itself_a_person_and_a_program_do_as_they_like() {
        for method in [Method::GET, Method::POST, Method::PUT] {
            for site in ["same-origin", "none"] {
                assert!(!foreign(&method, &[("sec-fetch-site", site), ("sec-fetch-mode", "cors")]), "{method} {site}");
            }
            assert!(!foreign(&method, &[]));
            assert!(!foreign(&method, &[("origin", "http://127.0.0.1:7071")]));
        }
    }

    #[test]
    fn an_old_browser_gives_its_page_away_by_the_origin() {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:3000"] {
            assert!(foreign(&Method::POST, &[("origin", origin)]), "{origin}");
        }
    }
}
