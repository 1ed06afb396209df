//! Window totals and outcomes.

use std::time::Duration;

use bytes::Bytes;
use tidemill_events::MetricsUpdate;
use tidemill_store::{answered, refused};

use super::recipe::{Recipe, report_span};
use crate::{
    error::Error,
    read_model::MetricsFold,
    state::Reporting,
    store::Folded,
    unit::{SequenceRange, StreamUnit},
};

pub(super) struct MetricsRecipe;

impl Recipe for MetricsRecipe {
    const UNIT: StreamUnit = StreamUnit::Metrics;
    /// People look at them.
    const PACE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));
    type Message = MetricsUpdate;

    async fn fold(
        reporting: &Reporting,
        range: SequenceRange,
        messages: Vec<(u64, MetricsUpdate)>,
    ) -> Result<Folded<()>, Error> {
        let mut fold = MetricsFold::default();
        let mut spans = Vec::new();
        for (_, update) in messages {
            spans.extend(report_span(update.trace, Self::UNIT.durable(), update.cells.len()));
            reporting.telemetry.fresh(update.as_of, reporting.now());
            fold.observe(update);
        }
        let now = reporting.now();
        let Folded::Done(change) = reporting.store.fold_metrics(range, &fold, now).await? else {
            return Ok(Folded::DoesNotFollow);
        };
        reporting.metrics_folded(&fold, range, now);
        change.into_iter().for_each(|number| reporting.seen.change(number));
        reporting.telemetry.cells(fold.cells.len());
        Ok(Folded::Done(()))
    }

    /// A message holds many totals, which have nothing to do with each other.
    async fn without_refused(
        reporting: &Reporting,
        update: MetricsUpdate,
        _: Bytes,
    ) -> Result<(Option<MetricsUpdate>, Vec<Bytes>), Error> {
        let MetricsUpdate { cells, books, .. } = &update;
        let with = |places: &[usize]| {
            let cell = |place: &usize| cells.get(*place).cloned();
            let line = |place: &usize| place.checked_sub(cells.len()).and_then(|place| books.get(place)).cloned();
            MetricsUpdate {
                cells: places.iter().filter_map(cell).collect(),
                books: places.iter().filter_map(line).collect(),
                ..update.clone()
            }
        };
        let trial = |places: Vec<usize>| {
            let mut fold = MetricsFold::default();
            fold.observe(with(&places));
            async move { answered(reporting.store.try_fold_metrics(&fold)).await }
        };
        let count = cells.len() + books.len();
        let refused = refused(count, trial, tidemill_store::Error::is_refusal).await?;
        let body = |place: &usize| {
            let json = match cells.get(*place) {
                Some(cell) => serde_json::to_vec(cell),
                None => serde_json::to_vec(&books[*place - cells.len()]),
            };
            Ok(json.map_err(tidemill_bus::Error::from)?.into())
        };
        let bodies = refused.iter().map(body).collect::<Result<_, Error>>()?;
        let kept: Vec<usize> = (0..count).filter(|place| !refused.contains(place)).collect();
        Ok((Some(with(&kept)), bodies))
    }
}
