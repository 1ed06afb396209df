//! How many connections there may be, and how many of one client.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    HttpConfig,
    clients::{ClientKey, Network, Share, Shares},
    descriptors,
};

/// The places that a port has for connections.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    by_client: Shares,
    shared: Vec<Network>,
}

/// One of them; dropping it gives it back.
#[derive(Debug)]
pub(super) struct TakenPlace {
    _of_all: OwnedSemaphorePermit,
    _of_client: Option<Share>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// All are taken.
    All,
    /// The client has its share.
    Address,
}

impl NoPlace {
    /// As a label has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Address => "address",
        }
    }
}

impl Places {
    pub(super) fn new(config: &HttpConfig) -> Self {
        let wanted = config.connections.get();
        let connections = descriptors::for_connections(wanted);
        if connections < wanted {
            tracing::info!(connections, wanted, "the process may have few files open, and so few connections");
        }
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        Self {
            all: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            by_client: Shares::new(config.connections_per_address),
            shared: config.shared_networks.clone(),
        }
    }

    pub(super) fn take(&self, address: IpAddr) -> Result<TakenPlace, NoPlace> {
        let of_client = match ClientKey::of(address, &self.shared) {
            Some(client) => Some(self.by_client.take(client).ok_or(NoPlace::Address)?),
            None => None,
        };
        let of_all = self.all.clone().try_acquire_owned().map_err(|_| NoPlace::All)?;
        Ok(TakenPlace { _of_all: of_all, _of_client: of_client })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others_and_all_together_are_bounded() {
        let mut config = HttpConfig::at(([127, 0, 0, 1], 0).into());
        config.connections = 4.try_into().expect("positive");
        config.connections_per_address = 2.try_into().expect("positive");
        config.shared_networks = vec!["10.0.0.0/8".to_owned().try_into().expect("a network")];
        let places = Places::new(&config);
        let take = |address: &str| places.take(address.parse().expect(address));
        let held = [take("192.0.2.1"), take("192.0.2.1")];
        assert_eq!(held.each_ref().map(|held| held.as_ref().err()), [None, None]);
        assert_eq!(take("192.0.2.1").err(), Some(NoPlace::Address));
        let proxied = [take("10.0.0.1"), take("10.0.0.1")];
        assert_eq!(proxied.each_ref().map(|held| held.as_ref().err()), [None, None], "a proxy stands for many");
        assert_eq!(take("192.0.2.2").err(), Some(NoPlace::All));
        drop(proxied);
        assert_eq!(take("192.0.2.2").err(), None, "who was refused holds nothing");
    }
}
