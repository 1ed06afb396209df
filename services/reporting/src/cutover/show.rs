//! Which generations there are, what they answer, and how they differ from the live totals.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_domain::{GenerationName, Partition, Timestamp};
use utoipa::ToSchema;

use crate::{
    catalogue::{Catalogue, Metric},
    error::Error,
    generations::{ComparedCells, Comparison, DifferenceReason, LateDifference, OrderedChange, WindowSides},
    state::Reporting,
    store::{ComparedModel, StoredGeneration},
};

/// The generations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GenerationsAnswer {
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// By name.
    generations: Vec<ShownGeneration>,
    /// The version that answers a metric, where a cutover has put it on a generation.
    served: BTreeMap<String, String>,
}

/// A generation.
#[derive(Debug, Serialize, ToSchema)]
struct ShownGeneration {
    /// Its name.
    name: String,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    begun_at: Timestamp,
    /// The release that counts it.
    release: String,
    /// The log is counted behind this `RAW` sequence.
    behind: u64,
    /// Before this moment, what reference data held at it is taken; without it, what held
    /// at each event's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    reference_of: Option<Timestamp>,
    /// When it was retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    retired_at: Option<Timestamp>,
    /// When it is to be retired, since something else answers in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    retire_at: Option<Timestamp>,
    /// The `RAW` sequence that it has reached, by partition.
    #[schema(value_type = BTreeMap<String, u64>)]
    reached: BTreeMap<Partition, u64>,
    /// When it last said so.
    #[schema(value_type = Option<String>, format = DateTime)]
    told_at: Option<Timestamp>,
    /// Its metrics.
    metrics: Vec<ShownMetric>,
}

/// A metric of a generation.
#[derive(Debug, Serialize, ToSchema)]
struct ShownMetric {
    /// Its name.
    metric: String,
    /// Its version in the generation.
    version: String,
    /// The version of the live totals; none where they have no such metric.
    live: Option<String>,
    /// Whether the generation answers it.
    served: bool,
}

/// How a generation differs from the live totals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DifferencesAnswer {
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// The generation.
    generation: String,
    /// Whether every cell was compared and is the same.
    equal: bool,
    /// The `RAW` sequence at which both are compared, by partition.
    #[schema(value_type = BTreeMap<String, u64>)]
    at: BTreeMap<Partition, u64>,
    /// Events that were late for one of the two alone. Only what both have met as a whole is looked at: hours in
    /// which ingestion took events in, by source and partition.
    late: LateDifference,
    /// By metric.
    metrics: Vec<MetricDifferences>,
}

/// How a metric differs.
#[derive(Debug, Serialize, ToSchema)]
struct MetricDifferences {
    /// Its name.
    metric: String,
    /// Its version in the generation.
    version: String,
    /// The live version; none where there is no such metric.
    live: Option<String>,
    /// Why it may differ; none where it does not.
    reasons: Vec<DifferenceReason>,
    /// Measures that the generation alone has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    new_measures: Vec<String>,
    /// Measures that the live totals alone have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone_measures: Vec<String>,
    /// What came of it.
    #[serde(flatten)]
    compared: ComparedCells,
}

/// What was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangesAnswer {
    /// The newest first.
    changes: Vec<OrderedChange>,
}

/// Lists the generations.
pub(crate) async fn list(reporting: &Reporting) -> Result<GenerationsAnswer, Error> {
    let stored = reporting.store.generations().await?;
    reporting.versions_stored(reporting.store.versions().await?);
    let catalogue = reporting.served_now().await?;
    let mut generations = Vec::new();
    // What the lake has computed is part of the live totals.
    let stored = stored.into_iter().filter(|known| known.name != GenerationName::BATCH);
    for StoredGeneration { name, inputs, retired_at, retire_at, .. } in stored {
        let progress = reporting.store.generation_progress(&name).await?;
        let metric = |of: &Metric| ShownMetric {
            metric: of.name.clone(),
            version: of.version.clone(),
            live: catalogue.of_generation(&of.name, None).map(|live| live.version.clone()),
            served: catalogue.find(&of.name, None).is_ok_and(|served| served.version == of.version),
        };
        generations.push(ShownGeneration {
            begun_at: inputs.begun_at,
            release: inputs.release,
            behind: inputs.behind,
            reference_of: inputs.reference.not_before(),
            retired_at,
            retire_at: retire_at.filter(|_| retired_at.is_none()),
            reached: progress.iter().map(|(partition, progress)| (*partition, progress.raw_seq)).collect(),
            told_at: progress.values().map(|progress| progress.as_of).max(),
            metrics: catalogue.metrics_of(&name).into_iter().map(metric).collect(),
            name,
        });
    }
    let served = reporting.store.pointers().await?;
    Ok(GenerationsAnswer { as_of: reporting.now(), generations, served })
}

/// Tells who changed what is served.
pub(crate) async fn changes(reporting: &Reporting) -> Result<ChangesAnswer, Error> {
    Ok(ChangesAnswer { changes: reporting.store.generation_changes().await? })
}

/// Compares a generation with the live totals: all its metrics, or one. Of each, `most`
/// cells that differ are told.
pub(crate) async fn differences(
    reporting: &Reporting,
    generation: &str,
    metric: Option<&str>,
    most: usize,
) -> Result<DifferencesAnswer, Error> {
    let known = reporting.store.generations().await?;
    let known = known.into_iter().find(|known| known.name == generation && known.retired_at.is_none());
    let known = known.ok_or_else(|| Error::UnknownGeneration(generation.into()))?;
    reporting.versions_stored(reporting.store.versions().await?);
    let catalogue = reporting.catalogue();
    let of_it: Vec<&Metric> = match metric {
        Some(metric) => vec![catalogue.find_of(metric, Some(generation))?],
        None => catalogue.metrics_of(generation),
    };
    let late = reporting.store.late_difference(generation).await?;
    let mut model = reporting.store.compared(generation).await?;
    let mut metrics = Vec::with_capacity(of_it.len());
    for metric in of_it {
        metrics.push(compare(reporting, (&catalogue, &known, late), &mut model, metric, most).await?);
    }
    Ok(DifferencesAnswer {
        as_of: reporting.now(),
        generation: generation.into(),
        equal: metrics.iter().all(|metric| metric.compared.is_equal()),
        at: model.at,
        late,
        metrics,
    })
}

async fn compare(
    reporting: &Reporting,
    (catalogue, generation, late): (&Catalogue, &StoredGeneration, LateDifference),
    model: &mut ComparedModel,
    metric: &Metric,
    most: usize,
) -> Result<MetricDifferences, Error> {
    let live = catalogue.of_generation(&metric.name, None);
    let (at, live_version) = (model.at.clone(), live.map(|live| live.version.as_str()));
    let mut comparison = Comparison::new(live, metric, &at, most);
    let mixed = |source| Error::Merge { metric: metric.name.clone(), version: metric.version.clone(), source };
    let visit = |window: &WindowSides| comparison.compare(window).map_err(mixed);
    model.each_window(&metric.name, live_version, &metric.version, visit).await?;
    let compared = comparison.finish();
    let differs = compared.changed + compared.only_live + compared.only_generation > 0;
    let reasons = if differs { reasons(reporting, (generation, late), live, metric).await? } else { Vec::new() };
    let only = |here: Option<&Metric>, there: Option<&Metric>| {
        let names = |of: Option<&Metric>| -> Vec<String> {
            of.into_iter().flat_map(|of| &of.measures).map(|measure| measure.name.clone()).collect()
        };
        let known = names(there);
        names(here).into_iter().filter(|name| !known.contains(name)).collect()
    };
    Ok(MetricDifferences {
        metric: metric.name.clone(),
        version: metric.version.clone(),
        live: live_version.map(str::to_owned),
        reasons,
        new_measures: only(Some(metric), live),
        gone_measures: only(live, Some(metric)),
        compared,
    })
}

/// What of a generation's inputs is not as the live totals have it.
async fn reasons(
    reporting: &Reporting,
    (generation, late): (&StoredGeneration, LateDifference),
    live: Option<&Metric>,
    metric: &Metric,
) -> Result<Vec<DifferenceReason>, Error> {
    let is_redefined = live.map(|live| live.version.as_str()) != metric.version.split('@').next();
    let counts_alike = match live {
        Some(live) => reporting.store.count_alike(live, metric, None).await?,
        None => true,
    };
    Ok(DifferenceReason::of(is_redefined, counts_alike, late, &generation.inputs, env!("CARGO_PKG_VERSION")))
}
