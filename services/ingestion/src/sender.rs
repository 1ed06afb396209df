//! Where a request comes from.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, header, request},
};

use crate::{
    config::{ClientIp, SenderConfig},
    error::{Error, clip},
};

/// Refuses pages of other origins than those configured; with none configured
/// there is nothing to refuse.
pub(crate) fn check_origin(headers: &HeaderMap, allowed: &BTreeSet<String>) -> Result<(), Error> {
    match headers.get(header::ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes())) {
        Some(origin) if !allowed.is_empty() && !allowed.contains(&*origin) => {
            Err(Error::ForbiddenOrigin(clip(&origin)))
        }
        _ => Ok(()),
    }
}

/// The address that becomes the `clientip` of a request's events.
pub(crate) fn clientip(head: &request::Parts, config: &SenderConfig) -> Option<IpAddr> {
    match config.clientip {
        ClientIp::Never => None,
        ClientIp::Browsers if !head.headers.contains_key(header::ORIGIN) => None,
        ClientIp::Browsers | ClientIp::Always => {
            let address = forwarded(&head.headers, config.trusted_proxies).or_else(|| connection(head));
            address.map(|address| address.to_canonical())
        }
    }
}

/// What the outermost trusted proxy saw: each appends the address that it was
/// called from, and what stands before is the sender's own word.
fn forwarded(headers: &HeaderMap, trusted: usize) -> Option<IpAddr> {
    let nth_last = trusted.checked_sub(1)?;
    let lists = headers.get_all("x-forwarded-for").iter().filter_map(|list| list.to_str().ok());
    let mut addresses: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
    addresses.reverse();
    let text = addresses.get(nth_last)?;
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn connection(head: &request::Parts) -> Option<IpAddr> {
    head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(config: SenderConfig, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = axum::http::Request::builder().extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 9], 1))));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        clientip(&head, &config).map(|address| address.to_string())
    }

    #[test]
    fn a_browser_speaks_for_its_user() {
        let config = |clientip| SenderConfig { clientip, trusted_proxies: 0 };
        let page = [("origin", "https://shop.example"), ("x-forwarded-for", "203.0.113.1")];
        assert_eq!(address(config(ClientIp::Browsers), &page).as_deref(), Some("192.0.2.9"));
        assert_eq!(address(config(ClientIp::Browsers), &[]), None);
        assert_eq!(address(config(ClientIp::Always), &[]).as_deref(), Some("192.0.2.9"));
        assert_eq!(address(config(ClientIp::Never), &page), None);
    }

    #[test]
    fn only_what_a_trusted_proxy_saw_is_believed() {
        let behind = |trusted_proxies, list: &str| {
            address(SenderConfig { clientip: ClientIp::Always, trusted_proxies }, &[("x-forwarded-for", list)])
                .expect("one")
        };
        assert_eq!(behind(1, "10.0.0.1, 203.0.113.1"), "203.0.113.1");
        assert_eq!(behind(2, "10.0.0.1, 203.0.113.1, 198.51.100.1:80"), "203.0.113.1");
        assert_eq!(behind(1, "203.0.113.1:8080"), "203.0.113.1");
        assert_eq!(behind(1, "::ffff:203.0.113.1"), "203.0.113.1");
        assert_eq!(behind(3, "203.0.113.1"), "192.0.2.9");
        assert_eq!(behind(1, "unknown"), "192.0.2.9");
    }

    #[test]
    fn other_pages_are_refused_where_pages_are_named() {
        let headers = HeaderMap::from_iter([(header::ORIGIN, "https://evil.example".parse().expect("a value"))]);
        let named = BTreeSet::from(["https://shop.example".to_owned()]);
        assert_eq!(check_origin(&headers, &named).expect_err("another").code(), "forbidden_origin");
        assert_eq!(check_origin(&headers, &BTreeSet::new()), Ok(()));
        assert_eq!(check_origin(&HeaderMap::new(), &named), Ok(()));
    }
}
