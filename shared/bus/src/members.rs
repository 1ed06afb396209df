//! Who is alive. Every instance says so in a bucket. The bucket forgets an
//! instance soon after it falls silent.

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use tidemill_domain::Timestamp;
use tidemill_events::topology::MEMBERS_BUCKET;

use crate::{Bus, Error};

/// One instance of a service, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The service's name.
    pub service: String,
    /// Unique name of the instance.
    pub instance: String,
    /// Release that it runs.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Whether it does its work now.
    pub ready: bool,
    /// Whether it takes a share of the work that replicas divide among them.
    #[serde(default)]
    pub shares: bool,
    /// Why it does not do its work now, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Member {
    /// Its key in the bucket.
    pub fn key(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
        format!("{}.{}", self.service, self.instance.chars().map(plain).collect::<String>())
    }
}

impl Bus {
    /// Says that a member is alive; to be repeated well within [`MEMBER_TTL`](crate::MEMBER_TTL).
    pub async fn announce(&self, member: &Member) -> Result<(), Error> {
        let value = serde_json::to_vec(member)?;
        let bucket = self.bucket(MEMBERS_BUCKET).await?;
        bucket.put(member.key(), value.into()).await.map(|_| ()).map_err(|e| bucket_error(MEMBERS_BUCKET, &e))
    }

    /// Takes a member's word back, at its orderly end.
    pub async fn withdraw(&self, member: &Member) -> Result<(), Error> {
        self.bucket(MEMBERS_BUCKET).await?.purge(member.key()).await.map_err(|e| bucket_error(MEMBERS_BUCKET, &e))
    }

    /// The members that are alive, by service and instance.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let bucket = self.bucket(MEMBERS_BUCKET).await?;
        let keys: Vec<String> = bucket
            .keys()
            .await
            .map_err(|e| bucket_error(MEMBERS_BUCKET, &e))?
            .try_collect()
            .await
            .map_err(|e| bucket_error(MEMBERS_BUCKET, &e))?;
        let mut members: Vec<Member> = Vec::with_capacity(keys.len());
        for key in keys {
            // A member that left between the two calls is simply gone.
            if let Some(value) = bucket.get(key).await.map_err(|e| bucket_error(MEMBERS_BUCKET, &e))?
                && let Ok(member) = serde_json::from_slice(&value)
            {
                members.push(member);
            }
        }
        members.sort_by(|a, b| (&a.service, &a.instance).cmp(&(&b.service, &b.instance)));
        Ok(members)
    }

    pub(crate) async fn bucket(&self, name: &'static str) -> Result<async_nats::jetstream::kv::Store, Error> {
        self.context.get_key_value(name).await.map_err(|e| bucket_error(name, &e))
    }
}

pub(crate) fn bucket_error(bucket: &'static str, reason: &impl ToString) -> Error {
    Error::Read { stream: bucket, reason: reason.to_string() }
}
