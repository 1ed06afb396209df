//! Customers' profiles, one for each partition that has events of theirs.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row, any::AnyRow};
use tidemill_domain::Partition;
use tidemill_store::{Error as StoreError, SqlValues, for_keys, insert_rows};

use super::{Store, number};
use crate::{
    error::Error,
    learning::{LearntBatch, VisitorId},
    profiles::CustomerProfile,
};

const PROFILES: &str = "profiles (partition_no, customer, last_active, changed, body)";
const PROFILES_UPDATE: &str = "ON CONFLICT (partition_no, customer) DO UPDATE SET \
                               last_active = excluded.last_active, changed = excluded.changed, body = excluded.body";

impl Store {
    /// What is known of a customer; `None` for nothing.
    pub(crate) async fn profile(&self, customer: VisitorId) -> Result<Option<CustomerProfile>, Error> {
        self.call(async {
            let query = sqlx::query("SELECT body FROM profiles WHERE customer = $1 ORDER BY partition_no");
            let rows = query.bind(customer.0.to_vec()).fetch_all(self.database.pool()).await;
            let mut merged: Option<CustomerProfile> = None;
            for row in rows.map_err(StoreError::from)? {
                merged.get_or_insert_default().merge(read(&row, 0)?);
            }
            Ok(merged)
        })
        .await
    }

    /// The same for who must not wait: it fails at once while the store is known to be away.
    pub(crate) async fn profile_at_once(&self, customer: VisitorId) -> Result<Option<CustomerProfile>, Error> {
        if self.breaker.is_open() {
            return Err(Error::StoreAway);
        }
        self.profile(customer).await
    }
}

/// Folds events into the profiles of a partition, whose row is locked.
pub(super) async fn fold(
    connection: &mut AnyConnection,
    partition: Partition,
    raw_seq: u64,
    batches: &[LearntBatch],
) -> Result<(), Error> {
    let events = || batches.iter().flat_map(|batch| &batch.events);
    let partition_no = number(partition);
    let customers = events().filter_map(|event| event.customer).map(|customer| customer.0.to_vec());
    let sql = "SELECT customer, body FROM profiles WHERE partition_no = ? AND customer IN (?)";
    let rows = for_keys(connection, sql, &SqlValues::new().bind(partition_no), customers).await?;
    let mut profiles: BTreeMap<VisitorId, CustomerProfile> = BTreeMap::new();
    for row in rows {
        let customer: Vec<u8> = row.try_get(0).map_err(StoreError::from)?;
        let customer = customer.try_into().map_err(|_| StoreError::Malformed("customer"))?;
        profiles.insert(VisitorId(customer), read(&row, 1)?);
    }
    for event in events() {
        if let Some(customer) = event.customer {
            profiles.entry(customer).or_default().take(event);
        }
    }
    let mut rows = Vec::with_capacity(profiles.len());
    for (customer, profile) in &profiles {
        let body = serde_json::to_vec(profile).map_err(|_| StoreError::Malformed("profile"))?;
        let row = SqlValues::new().bind(partition_no).bind(customer.0.to_vec());
        rows.push(row.bind(profile.last_active.millis()).bind(raw_seq.cast_signed()).bind(body));
    }
    insert_rows(connection, PROFILES, PROFILES_UPDATE, rows).await?;
    Ok(())
}

fn read(row: &AnyRow, column: usize) -> Result<CustomerProfile, StoreError> {
    let body: Vec<u8> = row.try_get(column)?;
    let mut profile: CustomerProfile = serde_json::from_slice(&body).map_err(|_| StoreError::Malformed("profile"))?;
    if profile.value.is_empty() {
        profile.in_base.get_or_insert_default();
    }
    Ok(profile)
}
