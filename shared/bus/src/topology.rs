//! Makes the streams and the bucket, whoever starts first.

use std::time::Duration;

use async_nats::jetstream::{
    kv,
    stream::{self, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType},
};
use tidemill_events::{
    StreamName,
    topology::{DUPLICATE_WINDOW, LEASES_BUCKET, MEMBERS_BUCKET, REQUESTS_BUCKET},
};

use crate::{Bus, Error};

/// How long a member is believed alive after its last word.
///
/// Whoever takes over from a silent member waits this long, and a member that
/// could not speak for this long lets go by itself.
pub const MEMBER_TTL: Duration = Duration::from_secs(6);

impl Bus {
    /// Makes every stream and bucket that is missing. Every service calls it
    /// at start, so that they may start in any order.
    pub async fn ensure_topology(&self) -> Result<(), Error> {
        for name in StreamName::ALL {
            self.ensure_stream(name).await?;
        }
        self.ensure_bucket(MEMBERS_BUCKET, "Instances of services that are alive", MEMBER_TTL).await?;
        self.ensure_bucket(LEASES_BUCKET, "Which instance does which part of a service's work", Duration::ZERO).await?;
        self.ensure_bucket(REQUESTS_BUCKET, "Batches that readers of ENRICHED miss", Duration::ZERO).await
    }

    /// With `max_age` zero, entries stay.
    async fn ensure_bucket(&self, name: &str, description: &str, max_age: Duration) -> Result<(), Error> {
        let bucket = kv::Config {
            bucket: name.into(),
            description: description.into(),
            max_age,
            history: 1,
            num_replicas: usize::from(self.config.replicas),
            ..kv::Config::default()
        };
        self.context.create_or_update_key_value(bucket).await.map(|_| ()).map_err(|e| topology_error(name, &e))
    }

    async fn ensure_stream(&self, name: StreamName) -> Result<(), Error> {
        let config = stream::Config {
            name: name.as_str().into(),
            subjects: vec![name.subjects().into()],
            max_age: name.max_age(),
            max_bytes: i64::try_from(self.config.log_bytes / name.share()).unwrap_or(i64::MAX),
            // A stream that cannot be made again refuses messages when it is
            // full, and never forgets any.
            discard: if name.forgets_when_full() { DiscardPolicy::Old } else { DiscardPolicy::New },
            max_messages_per_subject: if name.keeps_the_latest() { 1 } else { -1 },
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: usize::from(self.config.replicas),
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            persist_mode: (name.is_derived() && self.config.replicas == 1).then_some(PersistenceMode::Async),
            ..stream::Config::default()
        };
        match self.context.get_stream(name.as_str()).await {
            Ok(existing) => {
                // The persistence mode cannot be changed in place; keep what
                // the stream was made with.
                let config = stream::Config { persist_mode: existing.cached_info().config.persist_mode, ..config };
                self.context.update_stream(config).await.map(|_| ()).map_err(|e| topology_error(name.as_str(), &e))
            }
            Err(_) => self
                .context
                .create_or_update_stream(config)
                .await
                .map(|_| ())
                .map_err(|e| topology_error(name.as_str(), &e)),
        }
    }
}

fn topology_error(what: &str, reason: &impl ToString) -> Error {
    Error::Topology { what: what.into(), reason: reason.to_string() }
}
