//! From the streams into the read model: the hooks of the consumer loop, and one
//! recipe a stream.
//!
//! Each chunk is decoded, folded in one transaction, and acknowledged. What
//! was folded and not acknowledged comes again and changes nothing. Who follows
//! the metrics keeps their roll-ups, too.

mod alerts;
mod dead_letters;
mod follower;
mod generations;
mod live;
mod log;
mod metrics;
mod recipe;
mod rollups;

use std::sync::Arc;

use tidemill_ownership::Lease;

pub(crate) use live::listen;

use crate::{error::Error, state::Reporting, unit::StreamUnit};

/// Follows a unit's stream for as long as this replica owns it.
pub(crate) async fn run(reporting: Arc<Reporting>, lease: Lease<StreamUnit>) -> Result<(), Error> {
    match lease.unit() {
        StreamUnit::Metrics => {
            let follow = follower::follow::<metrics::MetricsRecipe>(&reporting, &lease);
            tokio::select! {
                biased;
                followed = follow => followed,
                never = rollups::keep(&reporting) => match never {},
            }
        }
        StreamUnit::Log => follower::follow::<log::LogRecipe>(&reporting, &lease).await,
        StreamUnit::DeadLetters => follower::follow::<dead_letters::DeadLettersRecipe>(&reporting, &lease).await,
        StreamUnit::Alerts => follower::follow::<alerts::AlertsRecipe>(&reporting, &lease).await,
        StreamUnit::Generations => follower::follow::<generations::GenerationsRecipe>(&reporting, &lease).await,
    }
}
