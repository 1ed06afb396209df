//! Other metrics have the totals that a metric says they have.

use crate::{DefinitionError, MetricDefinition, TotalPlace, Window};

#[cfg(test)]
mod tests;

/// Checks every total that a metric names.
pub(super) fn check(
    file: &str,
    text: &str,
    metric: &MetricDefinition,
    all: &[MetricDefinition],
) -> Result<(), DefinitionError> {
    let places = metric.measures.iter().filter_map(|(name, measure)| Some((name, measure.total.as_ref()?)));
    for (name, place) in places {
        let there = all.iter().find(|other| other.name == place.metric);
        if let Some(why) = fault(place, metric, there) {
            let reason = format!("metric `{}`: `total: {place}` of `{name}`: {why}", metric.name);
            return Err(DefinitionError::at(file, text, "total:", reason));
        }
    }
    Ok(())
}

/// Why the total of a measure of `metric` is not found in a place, if it is not;
/// `there` is the metric that the place names, if there is one.
fn fault(place: &TotalPlace, metric: &MetricDefinition, there: Option<&MetricDefinition>) -> Option<String> {
    let Some(there) = there else {
        return Some(format!("there is no metric `{}`", place.metric));
    };
    match there.measures.get(&place.measure) {
        None => return Some(format!("metric `{}` has no measure `{}`", place.metric, place.measure)),
        Some(measure) if !measure.kind.is_count() => {
            return Some(format!("`{}` is no count of rows (`count: rows`)", place.measure));
        }
        Some(_) => {}
    }
    if !fits(there.window, metric.window) {
        return Some(format!(
            "windows of `{}` do not make up those of `{}`: both must be tumbling, and a window here a whole number \
             of windows there",
            there.name, metric.name
        ));
    }
    let differs = |(name, field): &(&String, _)| there.dimensions.get(*name).is_some_and(|other| other != *field);
    let (name, _) = metric.dimensions.iter().find(differs)?;
    Some(format!("dimension `{name}` is another field in `{}`", there.name))
}

/// Whether windows `there` make up those `here`.
fn fits(there: Window, here: Window) -> bool {
    match (there, here) {
        (Window::Tumbling { size_millis: there }, Window::Tumbling { size_millis: here }) => here % there == 0,
        _ => false,
    }
}
