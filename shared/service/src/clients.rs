//! Telling clients apart by address, so that one cannot take what is for all.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, request},
};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An address range, for instance `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let one = IpAddr::from_str(&text).map(IpNet::from);
        let network = one.or_else(|_| text.parse());
        network.map(Self).map_err(|_| format!("{text:?} is no network, for instance 10.0.0.0/8"))
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

/// What tells a client from others: its IPv4 address, or its /64 network of
/// IPv6, since one subscriber is given a whole /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey(IpAddr);

impl ClientKey {
    /// The key of an address. `None` if the address is in a `shared` network:
    /// its addresses each stand for many clients.
    pub fn of(address: IpAddr, shared: &[Network]) -> Option<Self> {
        let address = address.to_canonical();
        if shared.iter().any(|network| network.0.contains(&address)) {
            return None;
        }
        Some(Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        }))
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// The address that a request comes from: the one that the outermost of
/// `proxies` trusted proxies saw, else the connection's own.
pub fn address(head: &request::Parts, proxies: usize) -> Option<IpAddr> {
    let connection = || head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    forwarded(&head.headers, proxies).or_else(connection).map(|address| address.to_canonical())
}

/// The address that the outermost trusted proxy saw. Each proxy appends the
/// address that called it. Anything before those is the sender's own word.
fn forwarded(headers: &HeaderMap, trusted: usize) -> Option<IpAddr> {
    let nth_last = trusted.checked_sub(1)?;
    let lists = headers.get_all("x-forwarded-for").iter().filter_map(|list| list.to_str().ok());
    let mut addresses: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
    addresses.reverse();
    let text = addresses.get(nth_last)?;
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Counts what each client holds, and gives none more than its share.
#[derive(Debug, Clone)]
pub struct Shares {
    most: NonZeroU32,
    /// The clients that hold something, so at most as many as there are things
    /// to hold.
    held: Arc<Mutex<HashMap<ClientKey, u32>>>,
}

/// One thing out of a client's share. Dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    key: ClientKey,
    held: Arc<Mutex<HashMap<ClientKey, u32>>>,
}

impl Shares {
    /// Gives each client `most` at most.
    pub fn new(most: NonZeroU32) -> Self {
        Self { most, held: Arc::default() }
    }

    /// One more for this client, if it may have it.
    pub fn take(&self, key: ClientKey) -> Option<Share> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(key).or_default();
        if *count >= self.most.get() {
            return None;
        }
        *count += 1;
        Some(Share { key, held: self.held.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = held.entry(self.key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.to_owned().try_into().expect(text)
    }

    fn key(text: &str) -> ClientKey {
        ClientKey::of(text.parse().expect(text), &[]).expect("nothing is shared")
    }

    fn came_from(proxies: usize, list: &str) -> String {
        let from = ConnectInfo(SocketAddr::from(([192, 0, 2, 9], 1)));
        let request = axum::http::Request::builder().extension(from).header("x-forwarded-for", list);
        let (head, ()) = request.body(()).expect("a request").into_parts();
        address(&head, proxies).expect("one").to_string()
    }

    #[test]
    fn only_what_a_trusted_proxy_saw_is_believed() {
        assert_eq!(came_from(0, "203.0.113.1"), "192.0.2.9");
        assert_eq!(came_from(1, "10.0.0.1, 203.0.113.1"), "203.0.113.1");
        assert_eq!(came_from(2, "10.0.0.1, 203.0.113.1, 198.51.100.1:80"), "203.0.113.1");
        assert_eq!(came_from(1, "203.0.113.1:8080"), "203.0.113.1");
        assert_eq!(came_from(1, "::ffff:203.0.113.1"), "203.0.113.1");
        assert_eq!(came_from(3, "203.0.113.1"), "192.0.2.9");
        assert_eq!(came_from(1, "unknown"), "192.0.2.9");
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_its_own() {
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1").to_string(), "2001:db8::/64");
    }

    #[test]
    fn an_address_that_many_share_is_nobody() {
        let shared = [network("10.0.0.0/8"), network("2001:db8::/32"), network("192.0.2.1")];
        for address in ["10.9.8.7", "::ffff:10.9.8.7", "2001:db8:1::1", "192.0.2.1"] {
            assert_eq!(ClientKey::of(address.parse().expect(address), &shared), None, "{address}");
        }
        assert!(ClientKey::of("192.0.2.2".parse().expect("one"), &shared).is_some());
        assert!(Network::try_from("10.0.0.0/33".to_owned()).expect_err("none").contains("10.0.0.0/33"));
    }

    #[test]
    fn shares_are_each_clients_own_and_come_back() {
        let shares = Shares::new(NonZeroU32::MIN.saturating_add(1));
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(key);
        let held = [shares.take(one).expect("the first"), shares.take(one).expect("the second")];
        assert!(shares.take(one).is_none());
        assert!(shares.take(two).is_some());
        drop(held);
        assert!(shares.take(one).is_some());
        assert!(shares.held.lock().expect("sound").is_empty(), "who holds nothing takes no memory");
    }
}
