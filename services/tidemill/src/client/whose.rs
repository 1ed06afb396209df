//! Whose reporting is at an address.

use url::{Host, Url};

/// Whether two addresses are of one server. Loopback has several names.
pub(super) fn is_same(one: &Url, other: &Url) -> bool {
    let host = |url: &Url| {
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if is_loopback { Some("localhost".into()) } else { url.host_str().map(str::to_owned) }
    };
    host(one) == host(other) && one.port_or_known_default() == other.port_or_known_default()
}

/// What a person is told of a reporting that nobody named.
pub(super) fn told(reporting: &Url, found: Option<&Url>) -> String {
    match found {
        Some(ingestion) => format!("the reporting at {reporting} is of another suite, that of {ingestion}"),
        None => format!("the reporting at {reporting} does not say of which suite it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_known_by_its_ingestion() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let is_same = |one: &str, other: &str| is_same(&url(one), &url(other));
        assert!(is_same("http://localhost:7070", "http://127.0.0.1:7070/"));
        assert!(is_same("http://[::1]:7070", "http://localhost:7070"));
        assert!(is_same("https://events.example.org", "https://events.example.org:443/"));
        assert!(!is_same("http://localhost:7070", "http://localhost:9070"));
        assert!(!is_same("https://events.example.org", "https://shop.example.org"));
        assert!(!is_same("http://localhost:7070", "http://10.0.0.5:7070"));
    }
}
