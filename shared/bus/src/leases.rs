//! Leases: which instance of a service does which unit of its work. A lease
//! stands until it is given back. It counts only while its holder is a member
//! that is alive.

use async_nats::jetstream::kv::{CreateErrorKind, Entry, Operation, UpdateErrorKind};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tidemill_events::topology::{LEASES_BUCKET, MEMBERS_BUCKET};

use crate::{Bus, Error, Member, members::bucket_error};

/// What changed among a service's members and leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A member says that it is alive.
    Alive(Member),
    /// A member has left.
    Left {
        /// Its key, as [`Member::key`] gives it.
        key: String,
    },
    /// A unit has a holder.
    Held {
        /// The unit.
        unit: String,
        /// The holder: a member's instance.
        holder: String,
        /// The lease's revision.
        revision: u64,
    },
    /// A unit was given back.
    Free {
        /// The unit.
        unit: String,
    },
}

impl Bus {
    /// A service's members and leases as they stand, and then each change. A
    /// member that dies says nothing: the watcher has to notice its silence.
    pub async fn watch_work(&self, service: &str) -> Result<impl Stream<Item = Result<Change, Error>> + use<>, Error> {
        let all = format!("{service}.>");
        let members = self.bucket(MEMBERS_BUCKET).await?;
        let members = members.watch_with_history(&all).await.map_err(|e| bucket_error(MEMBERS_BUCKET, &e))?;
        let leases = self.bucket(LEASES_BUCKET).await?;
        let leases = leases.watch_with_history(&all).await.map_err(|e| bucket_error(LEASES_BUCKET, &e))?;
        let members =
            members.map(|entry| entry.map_err(|e| bucket_error(MEMBERS_BUCKET, &e)).map(|entry| member_change(&entry)));
        let leases =
            leases.map(|entry| entry.map_err(|e| bucket_error(LEASES_BUCKET, &e)).map(|entry| lease_change(&entry)));
        // An entry that cannot be read is of another release, and counts as
        // nobody's.
        Ok(stream::select(members, leases).filter_map(async |change| change.transpose()))
    }

    /// Takes a unit: a free one, or one whose lease stands at `revision` and
    /// whose holder is gone. Answers the new revision, or `None` where
    /// somebody else was quicker.
    pub async fn take_lease(
        &self,
        service: &str,
        unit: &str,
        holder: &str,
        revision: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let bucket = self.bucket(LEASES_BUCKET).await?;
        let (key, value) = (format!("{service}.{unit}"), Bytes::copy_from_slice(holder.as_bytes()));
        match revision {
            None => match bucket.create(key, value).await {
                Ok(revision) => Ok(Some(revision)),
                Err(e) if e.kind() == CreateErrorKind::AlreadyExists => Ok(None),
                Err(e) => Err(bucket_error(LEASES_BUCKET, &e)),
            },
            Some(revision) => match bucket.update(key, value, revision).await {
                Ok(revision) => Ok(Some(revision)),
                Err(e) if e.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
                Err(e) => Err(bucket_error(LEASES_BUCKET, &e)),
            },
        }
    }

    /// Gives a unit back, unless somebody else has it by now.
    pub async fn release_lease(&self, service: &str, unit: &str, revision: u64) -> Result<(), Error> {
        let bucket = self.bucket(LEASES_BUCKET).await?;
        match bucket.purge_expect_revision(format!("{service}.{unit}"), Some(revision)).await {
            Ok(()) => Ok(()),
            Err(e) if e.to_string().contains("wrong last sequence") => Ok(()),
            Err(e) => Err(bucket_error(LEASES_BUCKET, &e)),
        }
    }
}

/// The key without the service before it.
fn unit_of(key: &str) -> Option<String> {
    key.split_once('.').map(|(_, unit)| unit.to_owned())
}

fn member_change(entry: &Entry) -> Option<Change> {
    match entry.operation {
        Operation::Put => serde_json::from_slice(&entry.value).ok().map(Change::Alive),
        Operation::Delete | Operation::Purge => Some(Change::Left { key: entry.key.clone() }),
    }
}

fn lease_change(entry: &Entry) -> Option<Change> {
    let unit = unit_of(&entry.key)?;
    match entry.operation {
        Operation::Put => {
            let holder = String::from_utf8(entry.value.to_vec()).ok()?;
            Some(Change::Held { unit, holder, revision: entry.revision })
        }
        Operation::Delete | Operation::Purge => Some(Change::Free { unit }),
    }
}
