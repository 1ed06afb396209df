//! Which visits belong to which customer.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use tidemill_domain::Timestamp;
use tidemill_store::{SqlValues, insert_rows};

use crate::{
    error::Error,
    learning::{LearntBatch, VisitorId},
};

const VISITS: &str = "visits (customer, visit, seen_at)";
const VISITS_UPDATE: &str = "ON CONFLICT (customer, visit) DO UPDATE SET seen_at = excluded.seen_at";

/// In the order of their keys, so that partitions that write the same ones wait for each
/// other, and not in a circle.
pub(super) async fn write(connection: &mut AnyConnection, batches: &[LearntBatch]) -> Result<(), Error> {
    let mut seen: BTreeMap<(VisitorId, VisitorId), Timestamp> = BTreeMap::new();
    for batch in batches {
        for event in &batch.events {
            if let (Some(customer), Some(visit)) = (event.customer, event.session) {
                seen.insert((customer, visit), batch.ingested_at);
            }
        }
    }
    let row = |((customer, visit), at): ((VisitorId, VisitorId), Timestamp)| {
        SqlValues::new().bind(customer.0.to_vec()).bind(visit.0.to_vec()).bind(at.millis())
    };
    insert_rows(connection, VISITS, VISITS_UPDATE, seen.into_iter().map(row)).await?;
    Ok(())
}
