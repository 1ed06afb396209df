//! Makes the streams and the bucket, whoever starts first.

use std::{collections::HashMap, fmt, time::Duration};

use async_nats::jetstream::{
    ErrorCode,
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    kv,
    stream::{self, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType},
};
use futures::TryStreamExt;
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

/// Where `RAW` says how many partitions it was made for: so the log and its number are made
/// and put back together.
const PARTITIONS: &str = "tidemill_partitions";

/// A stream or bucket of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopologyPart {
    /// A stream.
    Stream(StreamName),
    /// The bucket of members.
    Members,
    /// The bucket of leases.
    Leases,
    /// The bucket of requests.
    Requests,
}

impl TopologyPart {
    /// All of them. The log is the first: where it is refused, nothing else is touched.
    fn all() -> impl Iterator<Item = Self> {
        StreamName::ALL.into_iter().map(Self::Stream).chain([Self::Members, Self::Leases, Self::Requests])
    }

    /// What the server calls its stream.
    fn on_server(self) -> String {
        match self {
            Self::Stream(name) => name.as_str().into(),
            Self::Members | Self::Leases | Self::Requests => format!("KV_{self}"),
        }
    }
}

impl fmt::Display for TopologyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(name) => name.as_str(),
            Self::Members => MEMBERS_BUCKET,
            Self::Leases => LEASES_BUCKET,
            Self::Requests => REQUESTS_BUCKET,
        })
    }
}

impl Bus {
    /// Makes every stream and bucket that is missing, and gives the others their settings.
    /// Every service calls it at start, so that they may start in any order. Fails with
    /// [`Error::PartitionsDiffer`] where the log was made for another number of partitions.
    pub async fn ensure_topology(&self) -> Result<(), Error> {
        for part in TopologyPart::all() {
            self.ensure(part).await?;
        }
        Ok(())
    }

    /// What is not there. It costs the server one answer.
    pub async fn missing(&self) -> Result<Vec<TopologyPart>, Error> {
        let names: Result<Vec<String>, _> = self.context.stream_names().try_collect().await;
        let names = names.map_err(|e| topology_error("streams", &e))?;
        Ok(TopologyPart::all().filter(|part| !names.contains(&part.on_server())).collect())
    }

    /// Makes these, where nobody else has by now.
    pub async fn make(&self, parts: &[TopologyPart]) -> Result<(), Error> {
        for part in parts {
            self.ensure(*part).await?;
        }
        Ok(())
    }

    /// Fails with [`Error::PartitionsDiffer`] where the log was made for another number of
    /// partitions: it may have been made anew, or exchanged, since the start.
    pub async fn same_partitions(&self) -> Result<(), Error> {
        let config = self.info(StreamName::Raw).await?.config;
        // A service of an earlier release takes the number away when it starts.
        match config.metadata.contains_key(PARTITIONS) {
            true => self.compare_partitions(&config).await,
            false => self.ensure_stream(StreamName::Raw).await,
        }
    }

    /// Waits until a call finds a stream or bucket gone.
    pub async fn found_missing(&self) {
        self.missed.notified().await;
    }

    async fn ensure(&self, part: TopologyPart) -> Result<(), Error> {
        let forever = Duration::ZERO;
        match part {
            TopologyPart::Stream(name) => self.ensure_stream(name).await,
            TopologyPart::Members => self.ensure_bucket(part, "Instances of services that are alive", MEMBER_TTL).await,
            TopologyPart::Leases => {
                self.ensure_bucket(part, "Which instance does which part of a service's work", forever).await
            }
            TopologyPart::Requests => self.ensure_bucket(part, "Batches that readers of ENRICHED miss", forever).await,
        }
    }

    /// With `max_age` zero, entries stay.
    async fn ensure_bucket(&self, part: TopologyPart, description: &str, max_age: Duration) -> Result<(), Error> {
        let bucket = kv::Config {
            bucket: part.to_string(),
            description: description.into(),
            max_age,
            history: 1,
            num_replicas: usize::from(self.config.replicas),
            ..kv::Config::default()
        };
        self.context.create_or_update_key_value(bucket).await.map(|_| ()).map_err(|e| topology_error(part, &e))
    }

    async fn ensure_stream(&self, name: StreamName) -> Result<(), Error> {
        let config = self.stream_config(name);
        let existing = match self.existing(name).await? {
            Some(existing) => existing,
            None => match self.context.create_stream(config.clone()).await {
                Ok(_) => return Ok(()),
                // Somebody else was quicker, with other settings.
                Err(error) if is_refusal(&error.kind(), ErrorCode::STREAM_NAME_EXIST) => {
                    self.existing(name).await?.ok_or_else(|| topology_error(name, &error))?
                }
                Err(error) => return Err(topology_error(name, &error)),
            },
        };
        if name == StreamName::Raw {
            self.compare_partitions(&existing).await?;
        }
        // The persistence mode cannot be changed in place; keep what the stream was made with.
        let config = stream::Config { persist_mode: existing.persist_mode, ..config };
        self.context.update_stream(config).await.map(|_| ()).map_err(|e| topology_error(name, &e))
    }

    fn stream_config(&self, name: StreamName) -> stream::Config {
        let of_log = || HashMap::from([(PARTITIONS.to_owned(), self.partitions().get().to_string())]);
        stream::Config {
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
            metadata: if name == StreamName::Raw { of_log() } else { HashMap::new() },
            ..stream::Config::default()
        }
    }

    /// The settings of a stream, where it is there.
    async fn existing(&self, name: StreamName) -> Result<Option<stream::Config>, Error> {
        match self.context.get_stream(name.as_str()).await {
            Ok(existing) => Ok(Some(existing.cached_info().config.clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(refused) if refused.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Ok(None)
                }
                _ => Err(topology_error(name, &error)),
            },
        }
    }

    /// Compares the number of partitions with that of the log, which has these settings.
    async fn compare_partitions(&self, log: &stream::Config) -> Result<(), Error> {
        let configured = self.partitions().get();
        let differ = |log: String| Err(Error::PartitionsDiffer { configured, log });
        match log.metadata.get(PARTITIONS) {
            Some(made_for) if *made_for != configured.to_string() => differ(format!("was made for {made_for}")),
            Some(_) => Ok(()),
            // It is of an earlier release.
            None => match self.partitions_in_the_log().await? {
                least if least > configured => differ(format!("has messages of {least} or more")),
                _ => Ok(()),
            },
        }
    }

    /// One more than the highest partition of which the log has a message.
    async fn partitions_in_the_log(&self) -> Result<u16, Error> {
        let failed = |e: &dyn fmt::Display| topology_error(StreamName::Raw, &e);
        let stream = self.stream(StreamName::Raw).await?;
        let subjects = stream.info_with_subjects(StreamName::Raw.subjects()).await.map_err(|e| failed(&e))?;
        let subjects: Vec<(String, usize)> = subjects.try_collect().await.map_err(|e| failed(&e))?;
        let partitions = subjects.iter().filter_map(|(subject, _)| subject.rsplit('.').next()?.parse::<u16>().ok());
        Ok(partitions.max().map_or(0, |highest| highest.saturating_add(1)))
    }
}

fn is_refusal(kind: &CreateStreamErrorKind, code: ErrorCode) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(refused) if refused.error_code() == code)
}

fn topology_error(what: impl fmt::Display, reason: &impl ToString) -> Error {
    Error::Topology { what: what.to_string(), reason: reason.to_string() }
}
