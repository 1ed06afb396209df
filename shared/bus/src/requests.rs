//! Requests of readers of `ENRICHED` for batches that they miss. A bucket keeps
//! one request for each partition, so that it outlives both the process that
//! asked and the one that is to answer.

use async_nats::jetstream::kv::{CreateErrorKind, Operation, UpdateErrorKind};
use bytes::Bytes;
use tidemill_domain::Partition;
use tidemill_events::topology::REQUESTS_BUCKET;

use crate::{Bus, Error, members::bucket_error};

/// A request that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Everything behind this `RAW` sequence is wanted again.
    pub after: u64,
    /// Its revision: another one is another request.
    pub revision: u64,
}

fn key(partition: Partition) -> String {
    format!("enriched.{partition}")
}

impl Bus {
    /// Asks enrichment to publish a partition's batches behind `after` again,
    /// in order, behind the current end of `ENRICHED`. If two ask, the one that
    /// wants more is heard.
    pub async fn ask_again(&self, partition: Partition, after: u64) -> Result<(), Error> {
        let bucket = self.bucket(REQUESTS_BUCKET).await?;
        let value = || Bytes::from(after.to_string());
        loop {
            let written = match self.asked_again(partition).await? {
                Some(standing) if standing.after <= after => return Ok(()),
                Some(standing) => match bucket.update(key(partition), value(), standing.revision).await {
                    Err(e) if e.kind() == UpdateErrorKind::WrongLastRevision => continue,
                    written => written.map_err(|e| e.to_string()),
                },
                None => match bucket.create(key(partition), value()).await {
                    Err(e) if e.kind() == CreateErrorKind::AlreadyExists => continue,
                    written => written.map_err(|e| e.to_string()),
                },
            };
            return written.map(|_| ()).map_err(|e| bucket_error(REQUESTS_BUCKET, &e));
        }
    }

    /// The request for a partition, if one is not answered yet.
    pub async fn asked_again(&self, partition: Partition) -> Result<Option<Request>, Error> {
        let bucket = self.bucket(REQUESTS_BUCKET).await?;
        let entry = bucket.entry(key(partition)).await.map_err(|e| bucket_error(REQUESTS_BUCKET, &e))?;
        Ok(entry.filter(|entry| entry.operation == Operation::Put).and_then(|entry| {
            let after = std::str::from_utf8(&entry.value).ok()?.parse().ok()?;
            Some(Request { after, revision: entry.revision })
        }))
    }

    /// The request is answered. One that was widened meanwhile stands.
    pub async fn answered_again(&self, partition: Partition, request: Request) -> Result<(), Error> {
        let bucket = self.bucket(REQUESTS_BUCKET).await?;
        match bucket.purge_expect_revision(key(partition), Some(request.revision)).await {
            Ok(()) => Ok(()),
            Err(e) if e.to_string().contains("wrong last sequence") => Ok(()),
            Err(e) => Err(bucket_error(REQUESTS_BUCKET, &e)),
        }
    }
}
