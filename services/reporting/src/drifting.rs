//! Tells how the stream and the batch views of the lake differ.

use crate::{
    batch::{DriftAnswer, DriftMetric, told},
    error::Error,
    state::Reporting,
};

/// What differs of one metric, or of all.
pub(crate) async fn answer(reporting: &Reporting, metric: Option<&str>, most: u16) -> Result<DriftAnswer, Error> {
    // Another replica may have heard of a version that nobody here knows yet.
    reporting.versions_stored(reporting.store.versions().await?);
    let catalogue = reporting.catalogue();
    if let Some(metric) = metric {
        catalogue.find(metric, None)?;
    }
    let page = reporting.store.drift(metric, most).await?;
    let differ = |metric: &str, version: &str| {
        page.counts.get(&(metric.to_owned(), version.to_owned())).copied().unwrap_or_default()
    };
    let views = reporting.store.landed_views().await?.into_iter();
    let views = views.filter(|view| metric.is_none_or(|metric| view.metric == metric));
    let metrics: Vec<_> = views
        .map(|view| {
            let differ = differ(&view.metric, &view.version);
            DriftMetric::of(view, differ)
        })
        .collect();
    let cells = page
        .cells
        .iter()
        .filter_map(|(metric, version, cell)| Some(told(catalogue.find(metric, Some(version)).ok()?, cell)));
    let is_asked = |name: &str| metric.is_none_or(|metric| metric == name);
    let equal = !page.counts.iter().any(|((name, _), count)| *count > 0 && is_asked(name));
    Ok(DriftAnswer { as_of: reporting.now(), equal, metrics, cells: cells.collect() })
}
