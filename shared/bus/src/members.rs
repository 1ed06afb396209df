//! Who is alive: every instance says so in a bucket that forgets it soon after
//! it stops saying so.

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
    /// Why it does not, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Member {
    fn key(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
        format!("{}.{}", self.service, self.instance.chars().map(plain).collect::<String>())
    }
}

impl Bus {
    /// Says that a member is alive; to be repeated every five seconds.
    pub async fn announce(&self, member: &Member) -> Result<(), Error> {
        let value = serde_json::to_vec(member)?;
        let bucket = self.bucket().await?;
        bucket.put(member.key(), value.into()).await.map(|_| ()).map_err(|e| bucket_error(&e))
    }

    /// Takes a member's word back, at its orderly end.
    pub async fn withdraw(&self, member: &Member) -> Result<(), Error> {
        self.bucket().await?.purge(member.key()).await.map_err(|e| bucket_error(&e))
    }

    /// The members that are alive, by service and instance.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let bucket = self.bucket().await?;
        let keys: Vec<String> =
            bucket.keys().await.map_err(|e| bucket_error(&e))?.try_collect().await.map_err(|e| bucket_error(&e))?;
        let mut members: Vec<Member> = Vec::with_capacity(keys.len());
        for key in keys {
            // A member that left between the two calls is simply gone.
            if let Some(value) = bucket.get(key).await.map_err(|e| bucket_error(&e))?
                && let Ok(member) = serde_json::from_slice(&value)
            {
                members.push(member);
            }
        }
        members.sort_by(|a, b| (&a.service, &a.instance).cmp(&(&b.service, &b.instance)));
        Ok(members)
    }

    async fn bucket(&self) -> Result<async_nats::jetstream::kv::Store, Error> {
        self.context.get_key_value(MEMBERS_BUCKET).await.map_err(|e| bucket_error(&e))
    }
}

fn bucket_error(reason: &impl ToString) -> Error {
    Error::Read { stream: MEMBERS_BUCKET, reason: reason.to_string() }
}
