use std::net::SocketAddr;

use axum::extract::ConnectInfo;

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
    assert_eq!(behind(1, "unknown"), "192.0.2.9");
}

#[test]
fn other_pages_are_refused_where_pages_are_named() {
    let headers = HeaderMap::from_iter([(header::ORIGIN, "https://evil.example".parse().expect("a value"))]);
    let named = BTreeSet::from(["https://shop.example".to_owned()]);
    assert_eq!(check_origin(&headers, &named).expect_err("another").code().as_str(), "forbidden_origin");
    assert_eq!(check_origin(&headers, &BTreeSet::new()), Ok(()));
    assert_eq!(check_origin(&HeaderMap::new(), &named), Ok(()));
}

#[test]
fn an_address_is_read_however_programs_write_it() {
    for (text, address) in [
        ("203.0.113.1", "203.0.113.1"),
        (" 203.0.113.1:8080 ", "203.0.113.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("\"[2001:db8::1]:443\"", "2001:db8::1"),
        ("203.0.113.1, 10.0.0.1,10.0.0.2", "203.0.113.1"),
        ("unknown, 203.0.113.1", "203.0.113.1"),
        ("::ffff:203.0.113.1", "203.0.113.1"),
    ] {
        assert_eq!(read(text).map(|address| address.to_string()).as_deref(), Some(address), "{text}");
    }
    for text in ["", "here", "unknown", "203.0.113", "203.0.113.1:x", "2001:db8::1:", "[2001:db8::1", "-", ",,"] {
        assert_eq!(read(text), None, "{text}");
    }
}
