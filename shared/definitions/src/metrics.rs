//! All metrics of a shop.

mod totals;

#[cfg(test)]
mod recommended;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::Path};

use crate::{DefinitionError, MetricDefinition, read_folder};

/// The metrics that are kept.
#[derive(Debug, Clone)]
pub struct Metrics {
    all: Vec<MetricDefinition>,
    /// By event type, the places of those that look at it.
    by_type: HashMap<String, Vec<usize>>,
}

/// What a shop gets without a word: file name and text.
const DEFAULTS: [(&str, &str); 8] = [
    ("conversion.yaml", include_str!("../metrics/conversion.yaml")),
    ("daily_country.yaml", include_str!("../metrics/daily_country.yaml")),
    ("daily_sales.yaml", include_str!("../metrics/daily_sales.yaml")),
    ("order_metrics.yaml", include_str!("../metrics/order_metrics.yaml")),
    ("product_views.yaml", include_str!("../metrics/product_views.yaml")),
    ("recommendation_metrics.yaml", include_str!("../metrics/recommendation_metrics.yaml")),
    ("recommended_sales.yaml", include_str!("../metrics/recommended_sales.yaml")),
    ("sales_metrics.yaml", include_str!("../metrics/sales_metrics.yaml")),
];

/// What a shop has whichever metrics it has: what `tidemill check` looks at, and what the
/// suite's services measure.
const OWN: [(&str, &str); 2] = [
    ("recommendation_quality.yaml", include_str!("../metrics/recommendation_quality.yaml")),
    ("tidemill_check.yaml", include_str!("../metrics/tidemill_check.yaml")),
];

impl Metrics {
    /// What a shop gets that has no folder of its own: file names and texts.
    pub fn built_in() -> &'static [(&'static str, &'static str)] {
        &DEFAULTS
    }

    /// Reads every definition of a folder, or the defaults without one. The suite's own
    /// come on top.
    pub fn load(folder: Option<&Path>) -> Result<Self, DefinitionError> {
        let metrics = Self::parse(&Self::texts(folder)?)?;
        if metrics.is_empty() {
            let folder = folder.map(|f| f.display().to_string()).unwrap_or_default();
            return Err(DefinitionError::new(&folder, None, "holds no metric definitions (*.yaml)"));
        }
        Self::with_own(metrics)
    }

    /// The files of a folder, or the defaults without one: names and texts.
    pub fn texts(folder: Option<&Path>) -> Result<Vec<(String, String)>, DefinitionError> {
        match folder {
            Some(folder) => read_folder(folder),
            None => Ok(DEFAULTS.map(|(file, text)| (file.to_owned(), text.to_owned())).to_vec()),
        }
    }

    /// The metrics of these files, and the suite's own.
    pub fn of_texts(files: &[(String, String)]) -> Result<Self, DefinitionError> {
        Self::with_own(Self::parse(files)?)
    }

    fn parse(files: &[(String, String)]) -> Result<Vec<MetricDefinition>, DefinitionError> {
        let mut metrics: Vec<MetricDefinition> = Vec::with_capacity(files.len());
        for (file, text) in files {
            let definition = MetricDefinition::parse(file, text)?;
            if metrics.iter().any(|known| known.name == definition.name) {
                let reason = format!("metric `{}` is defined twice", definition.name);
                return Err(DefinitionError::at(file, text, "name:", reason));
            }
            metrics.push(definition);
        }
        for ((file, text), metric) in files.iter().zip(&metrics) {
            totals::check(file, text, metric, &metrics)?;
        }
        Ok(metrics)
    }

    fn with_own(mut metrics: Vec<MetricDefinition>) -> Result<Self, DefinitionError> {
        for (file, text) in OWN {
            let own = MetricDefinition::parse(file, text)?;
            if metrics.iter().all(|metric| metric.name != own.name) {
                metrics.push(own);
            }
        }
        Ok(Self::of(metrics))
    }

    fn of(all: Vec<MetricDefinition>) -> Self {
        let mut by_type: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, metric) in all.iter().enumerate() {
            for kind in &metric.types {
                let places = by_type.entry(kind.clone()).or_default();
                // A type may be named twice.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        Self { all, by_type }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &MetricDefinition> {
        self.all.iter()
    }

    /// Those that look at events of a type, in the same order.
    pub fn of_type(&self, kind: &str) -> impl ExactSizeIterator<Item = &MetricDefinition> {
        self.by_type.get(kind).map(Vec::as_slice).unwrap_or_default().iter().map(|place| &self.all[*place])
    }

    /// The one with this name.
    pub fn get(&self, name: &str) -> Option<&MetricDefinition> {
        self.iter().find(|metric| metric.name == name)
    }
}
