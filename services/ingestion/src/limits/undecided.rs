//! How much is done for requests of which nobody knows yet who sends them.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::http::request;
use governor::{DefaultKeyedRateLimiter, Quota};
use moka::sync::Cache;
use tidemill_service::clients::{self, ClientKey, Network, Share, Shares};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::Config, error::Error};

/// Bytes of a body in which a key is looked for: what Segment allows a batch to have.
pub(crate) const KEY_BYTES: usize = 500 << 10;
/// The same once it is inflated.
pub(crate) const INFLATED_KEY_BYTES: usize = 1 << 20;
/// How long such a body may take to arrive.
pub(crate) const KEY_SECONDS: u64 = 10;
/// Of the requests in work, one in so many may wait for its key, and no more than so
/// many: strangers leave the rest to those whose key is known.
const SHARE: u32 = 16;
const MOST: u32 = 32;
/// Of these places, one address may hold one in so many: a client that is slow keeps
/// nobody else from his.
const SHARE_OF_AN_ADDRESS: u32 = 4;
/// Requests of an address in a minute, and at once, that turn out to have no key.
const STRANGERS: NonZeroU32 = NonZeroU32::MIN.saturating_add(119);
/// How long an address that had more waits.
const REFUSED: Duration = Duration::from_secs(10);
/// Addresses that are told apart. Beyond them those that were not here lately are
/// forgotten, and while there are none every further stranger waits.
const ADDRESSES: usize = 10_000;

/// The bounds of requests whose key may be in the body.
pub(crate) struct UndecidedLimits {
    places: Arc<Semaphore>,
    shares: Shares,
    strangers: DefaultKeyedRateLimiter<ClientKey>,
    refused: Cache<ClientKey, ()>,
    shared_networks: Vec<Network>,
    trusted_proxies: usize,
}

/// A place to look for a key, until it is dropped.
#[derive(Debug)]
pub(crate) struct UndecidedPlace {
    _place: OwnedSemaphorePermit,
    /// Of its address.
    _share: Option<Share>,
}

impl UndecidedLimits {
    pub(crate) fn new(config: &Config) -> Self {
        let places = (config.limits.in_flight_requests / SHARE).clamp(1, MOST);
        Self {
            places: Arc::new(Semaphore::new(places as usize)),
            shares: Shares::new(NonZeroU32::new(places / SHARE_OF_AN_ADDRESS).unwrap_or(NonZeroU32::MIN)),
            strangers: DefaultKeyedRateLimiter::keyed(Quota::per_minute(STRANGERS)),
            refused: Cache::builder().max_capacity(ADDRESSES as u64).time_to_live(REFUSED).build(),
            shared_networks: config.http.shared_networks.clone(),
            trusted_proxies: config.sender.trusted_proxies,
        }
    }

    /// Whom a request is counted against: nobody where its address stands for many.
    pub(crate) fn client(&self, head: &request::Parts) -> Option<ClientKey> {
        self.client_at(clients::address(head, self.trusted_proxies)?)
    }

    fn client_at(&self, address: IpAddr) -> Option<ClientKey> {
        ClientKey::of(address, &self.shared_networks)
    }

    /// A place to look for a key, if there is one and this client may have it.
    pub(crate) fn place(&self, client: Option<ClientKey>) -> Result<UndecidedPlace, Error> {
        if client.is_some_and(|client| self.refused.contains_key(&client)) {
            return Err(Error::TooManyStrangers { retry_after: REFUSED.as_secs() });
        }
        let share = client.map(|client| self.shares.take(client).ok_or(Error::Busy)).transpose()?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        Ok(UndecidedPlace { _place: place, _share: share })
    }

    /// A request of this client had no key that opens anything, or did not arrive in
    /// time.
    pub(crate) fn stranger(&self, client: Option<ClientKey>) {
        let Some(client) = client else { return };
        if self.strangers.len() >= ADDRESSES {
            self.strangers.retain_recent();
        }
        if self.strangers.len() >= ADDRESSES || self.strangers.check_key(&client).is_err() {
            self.refused.insert(client, ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(shared: &[&str]) -> UndecidedLimits {
        let mut config = Config::default();
        config.http.shared_networks =
            shared.iter().map(|text| Network::try_from((*text).to_owned()).expect("a network")).collect();
        UndecidedLimits::new(&config)
    }

    #[test]
    fn an_address_of_many_strangers_waits_and_others_do_not() {
        let limits = limits(&["10.0.0.0/8"]);
        let client = |text: &str| limits.client_at(text.parse().expect("an address"));
        for _ in 0..STRANGERS.get() {
            limits.stranger(client("192.0.2.1"));
        }
        assert!(limits.place(client("192.0.2.1")).is_ok());
        limits.stranger(client("192.0.2.1"));
        let refused = limits.place(client("192.0.2.1")).err();
        assert_eq!(refused, Some(Error::TooManyStrangers { retry_after: REFUSED.as_secs() }));
        assert!(limits.place(client("192.0.2.2")).is_ok());
        for _ in 0..2 * STRANGERS.get() {
            limits.stranger(client("10.1.2.3"));
        }
        assert!(limits.place(client("10.1.2.3")).is_ok(), "a proxy stands for many");
    }

    #[test]
    fn an_address_leaves_most_places_to_other_addresses() {
        let limits = limits(&["10.0.0.0/8"]);
        let client = |text: &str| limits.client_at(text.parse().expect("an address"));
        let hers = || limits.place(client("192.0.2.1"));
        let places: Vec<_> = (0..MOST / SHARE_OF_AN_ADDRESS).map(|_| hers().expect("a place")).collect();
        assert_eq!(hers().err(), Some(Error::Busy));
        let others: Vec<_> = (0..20).map(|_| limits.place(client("10.1.2.3")).expect("a place")).collect();
        assert!(limits.place(client("192.0.2.2")).is_ok());
        drop((places, others));
        assert!(hers().is_ok());
    }

    #[test]
    fn strangers_leave_most_places_to_others() {
        let limits = limits(&[]);
        let places: Vec<_> = (0..MOST).map(|_| limits.place(None).expect("a place")).collect();
        assert_eq!(limits.place(None).err(), Some(Error::Busy));
        drop(places);
        assert!(limits.place(None).is_ok());
    }
}
