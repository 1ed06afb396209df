//! How much of the stream of dead letters each caller may fill.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, Quota};
use moka::sync::Cache;
use tidemill_service::Caller;

use crate::{config::DeadLettersConfig, limits::MOST_CALLERS};

/// Bytes of letters that each caller may have in a minute.
pub(crate) struct Budgets {
    quota: Quota,
    spent: Cache<String, Arc<DefaultDirectRateLimiter>>,
}

impl Budgets {
    pub(crate) fn new(config: &DeadLettersConfig) -> Self {
        Self { quota: Quota::per_minute(config.bytes_per_minute), spent: Cache::new(MOST_CALLERS) }
    }

    /// Whether the caller may have a letter of so many bytes; if so, it has.
    pub(super) fn spend(&self, caller: &Caller, bytes: usize) -> bool {
        let budget =
            self.spent.get_with(caller.name().to_owned(), || Arc::new(DefaultDirectRateLimiter::direct(self.quota)));
        let Some(bytes) = u32::try_from(bytes).ok().and_then(NonZeroU32::new) else { return false };
        matches!(budget.check_n(bytes), Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests;
