//! Limits how often a client may try to log in.

use std::num::NonZeroU32;

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use tidemill_service::clients::ClientKey;

use crate::error::Error;

/// Logins that an address may try in a minute, and at once. A key cannot be
/// guessed anyway; the limit keeps the trying cheap.
const TRIES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Addresses that are told apart. Beyond them those that have not tried lately
/// are forgotten, and while there are none nobody new may try.
const ADDRESSES: usize = 10_000;

pub(crate) struct Logins {
    tries: DefaultKeyedRateLimiter<ClientKey>,
}

impl Logins {
    pub(crate) fn new() -> Self {
        Self { tries: DefaultKeyedRateLimiter::keyed(Quota::per_minute(TRIES)) }
    }

    /// Whether this client may try; one whose address stands for many always
    /// may.
    pub(crate) fn allow(&self, client: Option<ClientKey>) -> Result<(), Error> {
        let Some(client) = client else { return Ok(()) };
        if self.tries.len() >= ADDRESSES {
            self.tries.retain_recent();
        }
        if self.tries.len() >= ADDRESSES {
            return Err(Error::TooManyLogins(60));
        }
        self.tries.check_key(&client).map_err(|not_until| {
            Error::TooManyLogins(not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1)
        })
    }
}
