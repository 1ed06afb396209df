//! Cutover, rollback and retirement.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tidemill_domain::{GenerationName, Timestamp};
use tidemill_service::Caller;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use crate::{
    error::Error,
    generations::{GenerationAct, GenerationOrder, GenerationRequest, ServedChange},
    parameters::wrong,
    state::Reporting,
    store::Retired,
};

/// How long a generation may take to get as far as the live totals were when a cutover was
/// ordered. One that has caught up is there in less.
const CATCH_UP: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderedAnswer {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// What each metric is answered by from here on. None of it where all was so before.
    changes: Vec<ServedChange>,
}

/// Does what is asked of a generation.
pub(crate) async fn order(
    reporting: &Reporting,
    act: GenerationAct,
    generation: &str,
    caller: &Caller,
    asked: GenerationRequest,
) -> Result<OrderedAnswer, Error> {
    asked.check()?;
    let known = reporting.store.generations().await?;
    // What the lake has computed is merged with the stream's totals, and not served in their place.
    let is_there = generation != GenerationName::BATCH
        && known.iter().any(|known| known.name == generation && known.retired_at.is_none());
    if !is_there {
        return Err(Error::UnknownGeneration(generation.into()));
    }
    let GenerationRequest { metrics, by, reason, force, warm_hours } = asked;
    let order = GenerationOrder {
        act,
        generation: generation.into(),
        by,
        key: caller.name().into(),
        reason,
        at: reporting.now(),
        warm_hours,
    };
    let changes = match act {
        GenerationAct::Cutover => {
            let versions = versions(reporting, generation, metrics).await?;
            if !force {
                wait_for(reporting, generation).await?;
            }
            let changes = reporting.store.cut_over(&order, &versions).await?;
            changes.ok_or_else(|| Error::UnknownGeneration(generation.into()))?
        }
        GenerationAct::Rollback => {
            reporting.store.roll_back(&order, &versions(reporting, generation, metrics).await?).await?
        }
        GenerationAct::Retire => match reporting.store.retire(&order).await? {
            Retired::Done => Vec::new(),
            Retired::Serves(metrics) => {
                return Err(Error::GenerationServed { generation: generation.into(), metrics });
            }
        },
    };
    reporting.look_at_pointers().await?;
    let GenerationOrder { by, key, .. } = &order;
    tracing::info!(act = act.as_str(), generation, by, key, changes = changes.len(), "a generation was ordered about");
    Ok(OrderedAnswer { as_of: order.at, changes })
}

/// The version of each metric that is meant.
async fn versions(
    reporting: &Reporting,
    generation: &str,
    metrics: Option<Vec<String>>,
) -> Result<BTreeMap<String, String>, Error> {
    // Another replica may have learnt of the generation.
    reporting.versions_stored(reporting.store.versions().await?);
    let catalogue = reporting.catalogue();
    let all = catalogue.metrics_of(generation).into_iter().map(|of| (of.name.clone(), of.version.clone()));
    let mut all: BTreeMap<String, String> = all.collect();
    let Some(named) = metrics else { return Ok(all) };
    let unknown = named.iter().filter(|name| !all.contains_key(*name));
    let errors: Vec<_> =
        unknown.map(|name| wrong("metrics", format!("{name:?} is no metric of generation {generation}"))).collect();
    if !errors.is_empty() {
        return Err(Error::Request(errors));
    }
    all.retain(|name, _| named.contains(name));
    Ok(all)
}

/// Waits until a generation has counted what the live totals have counted by now.
async fn wait_for(reporting: &Reporting, generation: &str) -> Result<(), Error> {
    let live = reporting.store.standing().await?.watermarks.reached();
    let until = Instant::now() + CATCH_UP;
    loop {
        let progress = reporting.store.generation_progress(generation).await?;
        let reached = |partition| progress.get(partition).map_or(0, |progress| progress.raw_seq);
        let Some((partition, of)) = live.iter().find(|(partition, of)| reached(partition) < **of) else {
            return Ok(());
        };
        if Instant::now() >= until {
            let (generation, partition, at) = (generation.into(), *partition, reached(partition));
            return Err(Error::GenerationBehind { generation, partition, at, of: *of });
        }
        sleep(LOOK).await;
    }
}
